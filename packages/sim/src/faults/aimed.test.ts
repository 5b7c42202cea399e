/** Faults of a partition befall whoever leads or follows it when they come. */
import { expect, test } from 'vitest';
import { SimCluster } from '../sim-cluster.ts';
import { simClient } from '../sim-load.ts';
import { metBy } from './aimed.ts';
import type { PartitionLeaderStruck } from './fault.ts';

const topic = 'orders';

async function clusterWithTopic() {
  const cluster = new SimCluster(3);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('ready', 60_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  await simulation.settle('topic', 30_000, admin.createTopic({ name: topic, partitions: 1, replication: 3 }));
  const leader = cluster.inspect(1)?.image.topicNamed('default', topic)?.partitions[0]?.leader ?? 0;
  return { cluster, leader };
}

const strike = (by: PartitionLeaderStruck['by']): PartitionLeaderStruck => ({
  kind: 'partition-leader-struck',
  atMs: 0,
  forMs: 1000,
  draw: 4,
  by,
});

test('the leader is struck, a follower is slow, the link between both is reset', async () => {
  const { cluster, leader } = await clusterWithTopic();
  for (const by of ['crash', 'pause', 'hung-disk', 'slow-disk'] as const) {
    expect(metBy(strike(by), cluster, topic)).toMatchObject({ kind: by, node: leader, forMs: 1000 });
  }
  const cut = metBy(strike('isolate'), cluster, topic);
  expect(cut).toMatchObject({ kind: 'isolate' });
  expect(cut?.kind === 'isolate' && cut.links.every((link) => link.includes(leader))).toBe(true);
  const slow = metBy({ kind: 'slow-follower', atMs: 0, forMs: 1000, draw: 4, meanMs: 50 }, cluster, topic);
  expect(slow).toMatchObject({ kind: 'slow-disk', meanMs: 50 });
  expect(slow).not.toMatchObject({ node: leader });
  expect(metBy({ kind: 'link-reset', atMs: 0, draw: 4 }, cluster, topic)).toMatchObject({ kind: 'reset', one: leader });
}, 60_000);

test('where nobody leads there is nobody to strike', async () => {
  const { cluster } = await clusterWithTopic();
  expect(metBy(strike('crash'), cluster, 'another')).toBe(undefined);
}, 60_000);
