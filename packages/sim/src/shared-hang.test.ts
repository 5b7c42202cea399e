/**
 * A hang that all nodes share, as of a machine that carries them all: no disk is slower than the others for it, so nobody
 * is marked, no leadership moves, and no replica leaves.
 */
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient, SimLoad } from './sim-load.ts';

test.each([1, 2, 3, 4, 5, 6])(
  'all machines stand still for 900 ms: no disk is taken for hung, seed %i',
  async (seed) => {
    const cluster = new SimCluster(seed, 3, { diskStallMs: '500ms' });
    const { simulation, ids } = cluster;
    await cluster.start();
    await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
    const { admin } = simClient(cluster, 'admin');
    await simulation.settle('topic', 10_000, admin.createTopic({ name: 'orders', partitions: 6, replication: 3 }));
    const load = new SimLoad(cluster, { topic: 'orders', everyMs: 1, keys: 60 });
    await simulation.until('first acks', 10_000, () => load.acked.length >= 200);
    for (const id of ids) cluster.disk(id).holdSyncs();
    for (const id of ids) cluster.pause(id);
    await simulation.pass(900);
    for (const id of ids) cluster.resume(id);
    // A process sees its timers first, and then what the disk has done.
    await simulation.pass(5);
    for (const id of ids) cluster.disk(id).releaseSyncs();
    const marked = new Set<number>();
    const acked = load.acked.length;
    await simulation.until('acks again', 10_000, () => {
      for (const id of ids) {
        for (const { nodeId, stalled } of cluster.inspect(id)?.image.nodes.values() ?? [])
          if (stalled) marked.add(nodeId);
      }
      return load.acked.length >= acked + 1_000;
    });
    expect([...marked]).toEqual([]);
    await load.stop();
  },
);
