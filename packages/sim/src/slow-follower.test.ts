/** A follower whose disk is slow all the time: what it costs the others ends in bounded time, and it is back when it is well. */
import { nodeId } from '@sluice/base';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient, SimLoad } from './sim-load.ts';

/** Of each sync of its disk, always the same: it never lags for the 2 s of D10. */
const syncMs = 600;
const leavesWithinMs = 10_000;
const rejoinsWithinMs = 10_000;
/** Between acks of one partition once it has left: an append of the others takes a few. */
const gapMsMax = 100;

/** The longest gap between acks of a partition, once the slow follower is out. */
async function gapMsWithout(seed: number): Promise<number> {
  const cluster = new SimCluster(seed);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 3, replication: 3 });
  const topic = await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 30 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 200);

  const slow = cluster.ids.find((id) => id !== cluster.leader) ?? 0;
  const others = topic.partitions.filter(({ leader }) => leader !== slow).map(({ partition }) => partition);
  const isOut = (): boolean => {
    const image = cluster.leaderImage;
    const state = [...(image?.topics.values() ?? [])].find(({ name }) => name === 'orders');
    return others.every((at) => state?.partitions[at]?.isr.includes(nodeId(slow)) === false);
  };
  const disk = cluster.diskConditions(slow);
  const calm = disk.delayMs.bind(disk);
  disk.delayMs = (operation) => (['sync', 'writeDurable'].includes(operation.kind) ? syncMs : calm(operation));
  await simulation.until('the slow one leaves', leavesWithinMs, isOut);

  let seen = load.acked.length;
  const lastMs = new Map(others.map((at) => [at, simulation.nowMs]));
  const endMs = simulation.nowMs + 5000;
  let worstGapMs = 0;
  await simulation.until('acks without it', 6000, () => {
    for (const { partition } of load.acked.slice(seen)) {
      const before = lastMs.get(partition);
      if (before === undefined) continue;
      worstGapMs = Math.max(worstGapMs, simulation.nowMs - before);
      lastMs.set(partition, simulation.nowMs);
    }
    seen = load.acked.length;
    return simulation.nowMs >= endMs;
  });
  disk.delayMs = calm;
  await simulation.until('it is back', rejoinsWithinMs, () => cluster.isWhole());
  await load.stop();
  expect(load.failures).toEqual([]);
  return worstGapMs;
}

test.each([1, 2, 3])('it leaves, costs nothing more, and comes back (seed %i)', async (seed) => {
  const worstGapMs = await gapMsWithout(seed);
  expect(worstGapMs).toBeLessThan(gapMsMax);
});
