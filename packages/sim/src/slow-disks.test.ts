/**
 * Disks that are all slower than `diskStallMs` allows: whoever leads the controller goes on, since no other could do
 * better, and what is asked of it is done, if slowly.
 */
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

/** A write takes up to this, and more than `diskStallMs`. */
const syncMs = 3_000;
const diskStallMs = 2_000;

/** Each disk finishes what it has every `syncMs`, each at its own times. */
function slowDown(cluster: SimCluster): () => void {
  const { simulation, ids } = cluster;
  let isOver = false;
  const turn = (id: number, afterMs: number): void => {
    simulation.schedule(afterMs * 1000, 'slow disk', () => {
      cluster.disk(id).releaseSyncs();
      if (isOver) return;
      cluster.disk(id).holdSyncs();
      turn(id, syncMs);
    });
  };
  for (const [at, id] of ids.entries()) {
    cluster.disk(id).holdSyncs();
    turn(id, syncMs + at * 10);
  }
  return () => {
    isOver = true;
  };
}

test.each([1, 2, 3, 4])('all disks are slow: the controller keeps its leader and decides, seed %i', async (seed) => {
  const cluster = new SimCluster(seed, 3, { diskStallMs: `${diskStallMs}ms` });
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { leader } = cluster;
  const { admin } = simClient(cluster, 'admin');
  const names = ['one', 'two', 'three'];
  for (const name of names) {
    await simulation.settle('topic', 10_000, admin.createTopic({ name, partitions: 1, replication: 3 }));
  }
  const quicken = slowDown(cluster);
  await simulation.pass(10_000);
  const leaders = new Set([cluster.leader]);
  for (const name of names) {
    await simulation.settle('deletion', 20_000, admin.deleteTopic(name));
    leaders.add(cluster.leader);
  }
  expect([...leaders]).toEqual([leader]);
  quicken();
  await simulation.until('all are ready', 30_000, () => cluster.isReady() && cluster.isWhole());
  expect(cluster.halted).toEqual([]);
});
