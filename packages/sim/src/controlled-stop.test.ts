/** A node stops in order, under load: no send fails, and no partition pauses for long, be it the controller leader or not. */
import { expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const partitions = 12;
const pauseMsMax = 250;

/** The longest time without an ack on each partition, from when the node is told to stop to a second after its end. */
async function stopped(seed: number, choose: (cluster: SimCluster) => number): Promise<readonly number[]> {
  const cluster = new SimCluster(seed);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions, replication: 3 });
  await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 1, keys: 240 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 1_000);
  const victim = choose(cluster);
  const lastMs = new Map<number, number>();
  const pauseMs = new Map<number, number>();
  let seen = load.acked.length;
  const look = (): void => {
    for (const { partition } of load.acked.slice(seen)) {
      const pause = simulation.nowMs - (lastMs.get(partition) ?? simulation.nowMs);
      pauseMs.set(partition, Math.max(pause, pauseMs.get(partition) ?? 0));
      lastMs.set(partition, simulation.nowMs);
    }
    seen = load.acked.length;
  };
  const toldMs = simulation.nowMs;
  let overMs = Infinity;
  const stopping = cluster.stop(victim).then(() => (overMs = simulation.nowMs));
  await simulation.until('it is gone for a second', 20_000, () => {
    look();
    return simulation.nowMs > overMs + 1_000;
  });
  await stopping;
  await load.stop();
  const read = verdict(load.acked, await readBack(cluster, 'orders'), load.sent);
  expect([isClean(read), load.failures, cluster.halted, pauseMs.size]).toEqual([true, [], [], partitions]);
  // Two heartbeats and more of the others, and the time that calls get to end.
  expect(overMs - toldMs).toBeLessThan(1_000);
  return [...pauseMs.values()];
}

const roles = {
  'the controller leader': (cluster: SimCluster): number => cluster.leader ?? 0,
  'another node': (cluster: SimCluster): number => cluster.ids.find((id) => id !== cluster.leader) ?? 0,
};

for (const [role, choose] of Object.entries(roles)) {
  test.each([1, 2, 3, 4])(`${role} stops: no send fails and no partition pauses, seed %i`, async (seed) => {
    expect(Math.max(...(await stopped(seed, choose)))).toBeLessThan(pauseMsMax);
  });
}
