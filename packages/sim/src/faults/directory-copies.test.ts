/** Directories that are copied, as a plan has it: they happen where the product promises to bear them, and nowhere else. */
import { expect, test } from 'vitest';
import { isClean, verdict } from '../ledger.ts';
import { SimCluster } from '../sim-cluster.ts';
import { readBack, simClient, SimLoad } from '../sim-load.ts';
import type { Fault } from './fault.ts';
import { FaultDriver } from './fault-driver.ts';

interface Outcome {
  readonly cluster: SimCluster;
  readonly driver: FaultDriver;
  readonly rolledBack: readonly string[];
  readonly twinsSeen: number;
}

/** Under load, healed after `forMs`; everything acked is there. */
async function outcomeOf(forMs: number, ...faults: readonly Fault[]): Promise<Outcome> {
  const roles = (id: number) => (id === 4 ? ['broker'] : id < 4 ? ['controller', 'broker'] : ['controller']);
  const cluster = new SimCluster(1, 6, (id) => ({ roles: roles(id) }), [1, 2, 3, 5, 6]);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 3, replication: 4 });
  await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 20, keys: 20 });
  const rolledBack: string[] = [];
  const driver = new FaultDriver({
    cluster,
    random: simulation.random.fork('faults'),
    topics: ['orders'],
    onFault: () => undefined,
    onRolledBack: (member) => void rolledBack.push(member),
  });
  driver.plan(faults);
  let twinsSeen = 0;
  simulation.afterEvent = () => {
    for (const id of cluster.twins) {
      const twin = cluster.inspectTwin(id)?.raft;
      if (twin !== undefined) twinsSeen += 1;
      expect(twin?.isLeader ?? false).toBe(false);
    }
  };
  // Something to promise, when the copies of the older ones are made.
  await simulation.pass(500);
  await simulation.settle('a change', 5000, admin.createTopic({ name: 'later', partitions: 1, replication: 4 }));
  await simulation.pass(forMs - 500);
  driver.heal([]);
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady() && isInSync(cluster));
  for (const id of cluster.twins) expect(cluster.inspectTwin(id)).toBeUndefined();
  await load.stop();
  const counted = verdict(load.acked, await readBack(cluster, 'orders'), load.sent);
  expect([isClean(counted), load.acked.length > 100]).toEqual([true, true]);
  return { cluster, driver, rolledBack, twinsSeen };
}

const said = (cluster: SimCluster, node: string, phrase: string): number =>
  cluster.log.filter((line) => line.node === node && line.phrase === phrase).length;

const isInSync = (cluster: SimCluster): boolean =>
  cluster.ids.every((id) => cluster.node(id).figures().sluice_partitions_under_replicated === 0);

const older = 'data directory is an older copy of itself and votes no more';

test('a directory is put back older than it was: its node follows, and votes no more', async () => {
  const fault: Fault = { kind: 'rolled-back-directory', atMs: 2000, ageMs: 1500, forMs: 4000, node: 2 };
  const { cluster, driver, rolledBack } = await outcomeOf(8000, fault);
  expect(Object.fromEntries(driver.happened)).toEqual({ 'rolled-back-directory': 1 });
  expect(rolledBack).toHaveLength(1);
  expect(driver.damaged).toEqual(new Set([2]));
  expect(said(cluster, 'node2', older)).toBeGreaterThan(0);
  expect(cluster.inspect(2)?.raft?.votingAllowed).toBe(false);
});

test('it is not, where one voter of five may lack what it promised: it comes back as it was', async () => {
  const { cluster, driver, rolledBack } = await outcomeOf(
    8000,
    { kind: 'crash', atMs: 1000, forMs: 6000, node: 5, keeps: 'nothing', tears: false, silent: false },
    { kind: 'rolled-back-directory', atMs: 2000, ageMs: 1500, forMs: 4000, node: 2 },
  );
  expect(Object.fromEntries(driver.happened)).toEqual({ crash: 1 });
  expect(rolledBack).toEqual([]);
  expect(cluster.lives(2)).toBe(2);
  expect(cluster.inspect(2)?.raft?.votingAllowed).toBe(true);
});

test('it is not, where its machine was given another disk since', async () => {
  const { driver, rolledBack } = await outcomeOf(
    8000,
    { kind: 'wipe', atMs: 1000, forMs: 100, node: 2 },
    { kind: 'rolled-back-directory', atMs: 2000, ageMs: 1500, forMs: 4000, node: 2 },
  );
  expect(Object.fromEntries(driver.happened)).toEqual({ wipe: 1 });
  expect(rolledBack).toEqual([]);
});

test('a copy beside its original is not heard, and is told so', async () => {
  const fault: Fault = { kind: 'copied-directory', atMs: 1000, forMs: 4000, node: 2, original: 'restarts' };
  const { cluster, driver, twinsSeen } = await outcomeOf(8000, fault);
  expect(Object.fromEntries(driver.happened)).toEqual({ 'copied-directory': 1 });
  expect(twinsSeen).toBeGreaterThan(0);
  const told = said(cluster, 'node2-twin', older) + said(cluster, 'node2-twin', 'another node refuses this one');
  expect(told).toBeGreaterThan(0);
  expect(said(cluster, 'node2', older)).toBe(0);
  expect(cluster.inspect(2)?.raft?.votingAllowed).toBe(true);
});

test('a copy in place of its original keeps its replicas; the original is the older one then', async () => {
  const fault: Fault = { kind: 'copied-directory', atMs: 1000, forMs: 8000, node: 4, original: 'stays-away' };
  const { cluster, driver, twinsSeen } = await outcomeOf(12_000, fault);
  expect(Object.fromEntries(driver.happened)).toEqual({ 'copied-directory': 1 });
  expect(twinsSeen).toBeGreaterThan(0);
  expect(said(cluster, 'node4-twin', 'broker serves')).toBeGreaterThan(0);
  expect(said(cluster, 'node4', older)).toBeGreaterThan(0);
});
