import type { TopicId } from '@sluice/base';
import { identityMessage, methods } from '@sluice/wire';
import type { DescribeLogsRequest, DescribeLogsResponse, Partially } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, peerAddress } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const ask = (
  cluster: BrokerCluster,
  id: number,
  request: Partially<DescribeLogsRequest>,
): Promise<DescribeLogsResponse> =>
  cluster.settled(cluster.rpc.unary(methods.replication.describeLogs, peerAddress(id), request, { timeoutMs: 1_000 }));

async function withRecords(): Promise<{ cluster: BrokerCluster; topic: TopicId; leader: number }> {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const client = new ProduceClient(cluster, leader);
  for (let at = 0; at < 3; at += 1) {
    const id = client.send(topic, producedBatch({ records: 2 }));
    await cluster.clock.until('it is acked', () => client.results.has(id));
  }
  return { cluster, topic, leader };
}

test('tells the last epoch and the end of each log, and who says so', async () => {
  const { cluster, topic, leader } = await withRecords();
  await cluster.clock.pass(300);
  const follower = (leader % 3) + 1;
  cluster.fence(leader);
  await cluster.clock.pass(300);
  const { identity: own } = cluster.at(follower);
  const identity = identityMessage(own);
  const unknown = 'e'.repeat(32);
  const partitions = [
    { topicId: unknown, partition: 0 },
    { topicId: topic, partition: 0 },
    { topicId: topic, partition: 7 },
  ];
  const answer = await ask(cluster, follower, { identity, partitions });
  expect(answer.identity).toMatchObject({ nodeId: follower, brokerEpoch: own.brokerEpoch });
  expect(answer.logs).toMatchObject([
    { error: { code: 'UNKNOWN_PARTITION' } },
    // The new epoch has no batch yet.
    { lastEpoch: 0, logEnd: 6, error: null },
    { error: { code: 'UNKNOWN_PARTITION' } },
  ]);
});

test('what is not durable yet is not told of', async () => {
  const { cluster, topic, leader } = await withRecords();
  const request = {
    identity: identityMessage(cluster.at(leader).identity),
    partitions: [{ topicId: topic, partition: 0 }],
  };
  cluster.disks.get(leader)?.holdSyncs();
  new ProduceClient(cluster, leader).send(topic, producedBatch());
  await cluster.clock.settle();
  expect((await ask(cluster, leader, request)).logs).toMatchObject([{ error: { code: 'LEADER_NOT_AVAILABLE' } }]);
  cluster.disks.get(leader)?.releaseSyncs();
  await cluster.clock.settle();
  expect((await ask(cluster, leader, request)).logs).toMatchObject([{ logEnd: 7, error: null }]);
});

test.each([
  ['of another cluster', { clusterId: 'e'.repeat(32) }, 0, 'WRONG_CLUSTER'],
  ['about no partition', {}, -1, 'INVALID_REQUEST'],
])('a question %s is refused', async (_what, odd, partition, code) => {
  const { cluster, topic, leader } = await withRecords();
  const identity = { ...identityMessage(cluster.at(leader).identity), ...odd };
  const topicId = partition < 0 ? 'orders' : topic;
  const asked = ask(cluster, leader, { identity, partitions: [{ topicId, partition: Math.max(0, partition) }] });
  await expect(asked).rejects.toMatchObject({ code });
});
