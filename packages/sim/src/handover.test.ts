/** How long it takes until everybody follows a new controller leader: one that was asked to lead, and one that was elected. */
import { nodeId } from '@sluice/base';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';

const heartbeatMs = 100;
const seeds = [1, 2, 3, 4, 5, 6];

/** Three voters, and three that follow. */
async function born(seed: number) {
  const cluster = new SimCluster(seed, 6, { 'raft.heartbeatMs': `${heartbeatMs}ms` }, [1, 2, 3]);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const leader = cluster.leader ?? 0;
  return { cluster, simulation: cluster.simulation, leader };
}

/** Until all of them follow `leader`; each is heard of when it does. */
async function followed(cluster: SimCluster, leader: number, ids: readonly number[]): Promise<number> {
  const { simulation } = cluster;
  const startMs = simulation.nowMs;
  const self = cluster.inspect(leader)?.raft?.self;
  const follows = (id: number): boolean => self !== undefined && cluster.inspect(id)?.raft?.leader === self;
  await simulation.until('all follow', 10_000, () => ids.every(follows));
  return simulation.nowMs - startMs;
}

test('a leader that was asked to lead is followed by everybody within round trips', async () => {
  const tookMs: number[] = [];
  for (const seed of seeds) {
    const { cluster, simulation, leader } = await born(seed);
    const to = (leader % 3) + 1;
    expect(cluster.node(leader).transferController(nodeId(to))).toEqual({ outcome: 'begun' });
    await simulation.until('it leads', 1000, () => cluster.leader === to);
    tookMs.push(await followed(cluster, to, [4, 5, 6]));
  }
  expect(Math.max(...tookMs)).toBeLessThan(20);
});

test('a leader that fell silent is replaced, and whoever observes follows the next within a heartbeat', async () => {
  const tookMs: number[] = [];
  for (const seed of seeds) {
    const { cluster, simulation, leader } = await born(seed);
    cluster.pause(leader);
    await simulation.until('another leads', 5000, () => cluster.leader !== undefined && cluster.leader !== leader);
    tookMs.push(await followed(cluster, cluster.leader ?? 0, [4, 5, 6]));
  }
  expect(Math.max(...tookMs)).toBeLessThan(heartbeatMs + 20);
});
