/** What a client is told of a topic that was created and cannot be served yet. */
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

test('a topic that exists and is not served in time is in doubt, not refused', async () => {
  // A seed in which the client does not ask the silent node.
  const cluster = new SimCluster(2);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const silent = cluster.ids.find((id) => !cluster.leads(id)) ?? 0;
  cluster.pause(silent);
  const creation = admin.createTopic({ name: 'slow', partitions: 6, replication: 2 }, { timeoutMs: 900 });
  const error: unknown = await simulation.settle('an answer', 10_000, creation).catch((thrown: unknown) => thrown);
  const isThere = cluster.ids.some((id) => cluster.inspect(id)?.image.topicNamed('default', 'slow') !== undefined);
  expect(isThere).toBe(true);
  expect(error).toMatchObject({ code: 'TIMEOUT', definite: false });
});
