/** The whole path in one thread: what keeps the shells honest. */
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

interface Run {
  readonly traceHash: string;
  readonly events: number;
  readonly ackedIds: readonly number[];
}

/** Three nodes, a topic, load; the leader of a partition dies and comes back; everything acked is read back. */
async function killALeader(seed: number): Promise<Run> {
  const cluster = new SimCluster(seed);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const admin = simClient(cluster, 'admin');
  const topic = await simulation.settle(
    'topic',
    10_000,
    admin.admin.createTopic({ name: 'orders', partitions: 3, replication: 3 }),
  );
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 20 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 100);
  const victim = topic.partitions[0]?.leader ?? 0;
  cluster.kill(victim);
  const before = load.acked.length;
  await simulation.until('acks without it', 10_000, () => load.acked.length >= before + 200);
  await cluster.start(victim);
  await simulation.until('it serves again', 20_000, () => cluster.isReady());
  await simulation.until('it is in sync again', 20_000, () => cluster.isWhole());
  await load.stop();
  const read = await readBack(cluster, 'orders');
  const counted = verdict(load.acked, read, load.sent);
  expect(counted).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, unexpected: 0 });
  expect(isClean(counted)).toBe(true);
  expect(load.failures).toEqual([]);
  expect(cluster.halted).toEqual([]);
  return { traceHash: simulation.traceHash, events: simulation.events, ackedIds: load.acked.map(({ id }) => id) };
}

test('a leader dies under load: everything acked is read back, and the same seed gives the same trace twice', async () => {
  const first = await killALeader(1);
  const second = await killALeader(1);
  expect(second).toEqual(first);
  const other = await killALeader(2);
  expect(other.traceHash).not.toBe(first.traceHash);
});
