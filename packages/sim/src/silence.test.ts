/** How long nothing is acked after a node fell silent that led the controller and partitions, in simulated time. */
import { expect, test } from 'vitest';
import { pausesUntilAcked } from './first-acks.testing.ts';
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
  // What is on the way when it stops does not come from a new leader.
  const pauses = await pausesUntilAcked(simulation, load, {
    partitions: led,
    sinceMs: simulation.nowMs,
    ignoredMs: 50,
    limitMs: 10_000,
  });
  await load.stop();
  return pauses;
}

/** An election after 1 to 2 s, then what is left of a session of 1.5 s; two sessions in a row would be 3.65 s. */
const pauseMsMax = 2300;

test.each([1, 2, 3, 4, 5, 6])('partitions of a silent controller leader are served again, seed %i', async (seed) => {
  const pauses = await pausesMs(seed);
  expect(pauses.length).toBeGreaterThan(0);
  expect(Math.max(...pauses)).toBeLessThan(pauseMsMax);
});
