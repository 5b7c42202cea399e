/** What the driver makes of a plan: how long a condition holds, and what counts as having happened. */
import { expect, test } from 'vitest';
import { SimCluster } from '../sim-cluster.ts';
import type { Cut, Fault } from './fault.ts';
import { FaultDriver } from './fault-driver.ts';

async function clusterWith(...faults: readonly Fault[]): Promise<{ cluster: SimCluster; driver: FaultDriver }> {
  const cluster = new SimCluster(1);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const driver = new FaultDriver({
    cluster,
    random: simulation.random.fork('faults'),
    topics: ['orders'],
    onFault: () => undefined,
    onRolledBack: () => undefined,
  });
  driver.plan(faults);
  return { cluster, driver };
}

const links: Cut['links'] = [
  [1, 3],
  [2, 3],
  [3, 1],
  [3, 2],
];

const hasLeader = (cluster: SimCluster, id: number): boolean => cluster.inspect(id)?.raft?.leader !== undefined;

test('a link that two faults cut is whole when both are over, whichever ends first', async () => {
  const { cluster, driver } = await clusterWith(
    { kind: 'isolate', atMs: 0, forMs: 9000, links },
    { kind: 'partition', atMs: 100, forMs: 400, links },
    { kind: 'one-way', atMs: 8900, forMs: 4000, links: links.slice(0, 2) },
  );
  const { simulation } = cluster;
  await simulation.pass(8000);
  expect(hasLeader(cluster, 3)).toBe(false);
  await simulation.pass(4000);
  expect(hasLeader(cluster, 3)).toBe(false);
  await simulation.until('it hears the others again', 10_000, () => cluster.isReady());
  expect(driver.total).toBe(3);
});

test('all is calm after `heal`, and what would have ended later changes nothing', async () => {
  const { cluster, driver } = await clusterWith(
    { kind: 'isolate', atMs: 0, forMs: 60_000, links },
    { kind: 'refuse', atMs: 0, forMs: 5000, node: 1 },
    { kind: 'hung-disk', atMs: 0, forMs: 60_000, node: 2 },
    { kind: 'delay', atMs: 0, forMs: 5000, meanMs: 100 },
  );
  await cluster.simulation.pass(1000);
  driver.heal([]);
  await cluster.simulation.until('all nodes ready', 10_000, () => cluster.isReady());
  expect(cluster.conditions.extraMeanMs).toBe(0);
  expect([...driver.happened.keys()].toSorted()).toEqual(['delay', 'hung-disk', 'isolate', 'refuse']);
});

test('what strikes nobody has not happened; what lasts until its node is back has', async () => {
  const { cluster, driver } = await clusterWith(
    { kind: 'crash', atMs: 0, forMs: 5000, node: 3, keeps: 'nothing', tears: false, silent: false },
    { kind: 'isolate', atMs: 100, forMs: 2000, links },
    { kind: 'refuse', atMs: 100, forMs: 2000, node: 3 },
    { kind: 'reset', atMs: 100, one: 1, other: 3 },
    { kind: 'clog', atMs: 100, forMs: 2000, from: 3, to: 1 },
    { kind: 'slow-disk', atMs: 3000, forMs: 4000, node: 3, meanMs: 10 },
  );
  const { simulation } = cluster;
  await simulation.pass(4000);
  expect(Object.fromEntries(driver.happened)).toEqual({ crash: 1 });
  await simulation.pass(2000);
  expect(Object.fromEntries(driver.happened)).toEqual({ crash: 1, 'slow-disk': 1 });
});
