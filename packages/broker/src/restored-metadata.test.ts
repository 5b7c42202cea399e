/** A broker whose metadata goes on from a snapshot: what happened in between comes as one change, or not at all. */
import { nodeId } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { MetadataUpdate } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, clientAddress } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const topicsOf = (cluster: BrokerCluster, id: number): ReadonlySet<TopicId> =>
  new Set(
    cluster
      .at(id)
      .nodeLog.logIds()
      .map((log) => log.topicId),
  );

/** Role and epoch of each replica of the node, and what metadata says of them. */
const replicas = (cluster: BrokerCluster, id: number): readonly unknown[] =>
  [...cluster.at(id).broker.hosts].map((host) => [host.id.topicId, host.replica?.role, host.replica?.leaderEpoch]);
const assigned = (cluster: BrokerCluster, id: number): readonly unknown[] =>
  [...cluster.image.replicasOn(nodeId(id))].map(({ topicId, leader, leaderEpoch }) => [
    topicId,
    leader === id ? 'leader' : 'follower',
    leaderEpoch,
  ]);

test('topics deleted, made anew and led by others while it heard nothing are told by one change', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  for (const name of ['stays', 'goes', 'again']) cluster.createTopic({ name, partitions: 3 });
  await cluster.clock.pass(300);
  const updates: MetadataUpdate[] = [];
  const watch = { onMessage: (update: MetadataUpdate) => void updates.push(update), onClose: () => undefined };
  cluster.rpc.stream(methods.admin.watchMetadata, clientAddress(1), watch).send({ topicNames: ['again'] });
  await cluster.clock.pass(100);
  const { feed, broker } = cluster.at(1);
  // The partitions that it led are led by others, until they go back to it.
  cluster.fence(3);
  await cluster.clock.pass(1_000);
  const before = cluster.image.topicNamed('default', 'again')?.topicId;

  feed.held = true;
  cluster.deleteTopic('goes');
  cluster.deleteTopic('again');
  cluster.createTopic({ name: 'passes' });
  cluster.deleteTopic('passes');
  const again = cluster.createTopic({ name: 'again', partitions: 3 });
  const fresh = cluster.createTopic({ name: 'fresh' });
  cluster.decide({ type: 'electPreferred', partitionsMax: 100 });
  await cluster.clock.pass(300);
  feed.restore();
  feed.held = false;
  await cluster.clock.pass(1_000);

  const stays = cluster.image.topicNamed('default', 'stays')?.topicId;
  expect(topicsOf(cluster, 1)).toEqual(new Set([stays, again, fresh]));
  expect([...broker.hosts]).toHaveLength(7);
  expect(new Set(replicas(cluster, 1))).toEqual(new Set(assigned(cluster, 1)));
  expect(updates.flatMap(({ deletedTopicIds }) => deletedTopicIds)).toEqual([before]);
  expect(updates.at(-1)?.topics.map(({ topicId }) => topicId)).toEqual([again]);

  const { partition, leader } = cluster.image.topic(again)!.partitions.find((each) => each.leader !== null)!;
  const client = new ProduceClient(cluster, leader!);
  client.send(again, producedBatch(), partition);
  await cluster.clock.until('a batch is acked', () => client.results.get(1) === 0);
});

test('the log of a topic that was deleted while the node was away goes, also when no record of it comes (H5)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  for (const name of ['goes', 'stays']) {
    const topic = cluster.createTopic({ name });
    await cluster.clock.pass(300);
    const { leader } = cluster.image.topic(topic)!.partitions[0]!;
    const client = new ProduceClient(cluster, leader!);
    client.send(topic, producedBatch());
    await cluster.clock.until('a batch is on both disks', () => client.results.get(1) === 0);
  }
  expect(topicsOf(cluster, 1).size).toBe(2);
  cluster.kill(1);
  cluster.deleteTopic('goes');
  await cluster.start(1);
  await cluster.clock.pass(300);
  expect(topicsOf(cluster, 1)).toEqual(new Set([cluster.image.topicNamed('default', 'stays')?.topicId]));
});
