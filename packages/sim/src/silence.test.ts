/** How long nothing is acked after a node fell silent that led the controller and partitions, in simulated time. */
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient, SimLoad } from './sim-load.ts';

/** From SIGSTOP to the first ack on each partition that the node led. */
async function pausesMs(seed: number): Promise<readonly number[]> {
  const cluster = new SimCluster(seed);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 6, replication: 3 });
  const topic = await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 60 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 500);
  const victim = cluster.leader ?? 0;
  const led = topic.partitions.flatMap(({ leader, partition }) => (leader === victim ? [partition] : []));
  cluster.pause(victim);
  const pausedMs = simulation.nowMs;
  const ackedMs = new Map<number, number>();
  let seen = load.acked.length;
  await simulation.until('acks on every partition', 10_000, () => {
    // What is on the way when it stops does not come from a new leader.
    if (simulation.nowMs - pausedMs > 50) {
      for (const { partition } of load.acked.slice(seen)) {
        if (!ackedMs.has(partition)) ackedMs.set(partition, simulation.nowMs);
      }
    }
    seen = load.acked.length;
    return led.every((partition) => ackedMs.has(partition));
  });
  await load.stop();
  return led.map((partition) => (ackedMs.get(partition) ?? Number.NaN) - pausedMs);
}

/** An election after 1 to 2 s, then what is left of a session of 1.5 s; two sessions in a row would be 3.65 s. */
const pauseMsMax = 2300;

test.each([1, 2, 3, 4, 5, 6])('partitions of a silent controller leader are served again, seed %i', async (seed) => {
  const pauses = await pausesMs(seed);
  expect(pauses.length).toBeGreaterThan(0);
  expect(Math.max(...pauses)).toBeLessThan(pauseMsMax);
});
