import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';

test('three empty nodes give birth to a cluster and serve', async () => {
  const cluster = new SimCluster(1);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  expect(cluster.halted).toEqual([]);
});
