import { topicId } from '@sluice/base';
import { Acks } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

async function threeBrokers(): Promise<BrokerCluster> {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  return cluster;
}

const leaderOf = (cluster: BrokerCluster, topic: string, partition = 0): number =>
  cluster.image.topic(topicId(topic))?.partitions[partition]?.leader ?? 0;

test('what is acked is durable on all in-sync replicas, in order, and one turn answers in one message (P2)', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, leaderOf(cluster, topic));
  await cluster.clock.settle();
  client.sendMany(topic, [producedBatch({ records: 2 }), producedBatch(), producedBatch({ records: 3 })]);
  await cluster.clock.until('all are acked', () => client.results.size === 3);
  expect([...client.results.values()]).toEqual([0, 2, 3]);
  expect(client.messages).toBe(2);
  for (const { nodeLog } of cluster.brokers.values()) {
    expect(nodeLog.log(nodeLog.logIds()[0]!).durableOffset).toBe(6);
  }
});

test.each([
  ['an unknown topic', 'f'.repeat(32), 0, () => producedBatch(), 'UNKNOWN_TOPIC'],
  ['no topic id at all', 'orders', 0, () => producedBatch(), 'INVALID_REQUEST'],
  ['a partition that does not exist', '', 1, () => producedBatch(), 'UNKNOWN_PARTITION'],
  ['a partition that no partition can be', '', 2 ** 32 - 1, () => producedBatch(), 'UNKNOWN_PARTITION'],
  ['no batch', '', 0, () => new Uint8Array(0), 'CORRUPT_BATCH'],
  ['a cut-off batch', '', 0, () => producedBatch().subarray(0, 60), 'CORRUPT_BATCH'],
  ['a wrong CRC', '', 0, () => flipped(producedBatch(), 70), 'CORRUPT_BATCH'],
  ['a batch over the limit', '', 0, () => producedBatch({ valueBytes: 2 * 1024 * 1024 }), 'RECORD_TOO_LARGE'],
  [
    'a producer id that was never issued',
    '',
    0,
    () => producedBatch({ stamp: { producerId: 5_000_000, producerEpoch: 0, baseSequence: 0 } }),
    'UNKNOWN_PRODUCER_ID',
  ],
])('%s fails alone (P3), and its bytes come back as credit', async (...[, topicText, partition, batch, code]) => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, leaderOf(cluster, topic));
  const bad = client.send(topicText === '' ? topic : topicText, batch(), partition);
  const good = client.send(topic, producedBatch());
  await cluster.clock.until('both are answered', () => client.results.size === 2);
  expect([client.results.get(bad), client.definite.get(bad)]).toEqual([code, true]);
  expect([client.results.get(good), client.closed]).toEqual([0, undefined]);
  expect(client.creditBytes - client.sentBytes).toBeGreaterThanOrEqual(64 * 1024);
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  bytes[at]! ^= 1;
  return bytes;
}

test('a stream that overruns its credit is closed, what it had accepted stays bounded, and others are unhurt (P1)', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = leaderOf(cluster, topic);
  cluster.disks.get(leader)?.holdSyncs();
  const hog = new ProduceClient(cluster, leader);
  const modest = new ProduceClient(cluster, leader);
  await cluster.clock.settle();
  expect(hog.creditBytes).toBe(64 * 1024);
  for (let sent = 0; sent < 40; sent += 1) hog.send(topic, producedBatch({ valueBytes: 16 * 1024 }));
  const kept = modest.send(topic, producedBatch());
  await cluster.clock.settle();
  expect(hog.closed).toMatchObject({ code: 'CREDIT_EXCEEDED' });
  expect(hog.results.size).toBe(0);
  // Four batches used the window up and one overdrew it; nothing after them was taken.
  const log = cluster.at(leader).nodeLog;
  expect(log.log(log.logIds()[0]!).endOffset).toBeLessThanOrEqual(5);
  expect(log.pendingBytes).toBeLessThan(100 * 1024);
  cluster.disks.get(leader)?.releaseSyncs();
  await cluster.clock.until('the other is acked', () => modest.results.size === 1);
  expect(modest.results.get(kept)).toBe(4);
  expect(modest.closed).toBe(undefined);
});

test('parked bytes are not given back before their answer (P1)', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = leaderOf(cluster, topic);
  cluster.disks.get(leader)?.holdSyncs();
  const client = new ProduceClient(cluster, leader);
  client.send(topic, producedBatch({ valueBytes: 40 * 1024 }));
  await cluster.clock.pass(400);
  expect([client.creditBytes, client.results.size]).toEqual([64 * 1024, 0]);
  cluster.disks.get(leader)?.releaseSyncs();
  await cluster.clock.until('it is acked', () => client.results.size === 1);
  expect(client.creditBytes).toBeGreaterThanOrEqual(64 * 1024 + 40 * 1024);
});

test('a leader that is replaced answers what is parked with LEADERSHIP_LOST, indefinite', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = leaderOf(cluster, topic);
  cluster.disks.get(leader)?.holdSyncs();
  const client = new ProduceClient(cluster, leader);
  const parked = client.send(topic, producedBatch());
  await cluster.clock.settle();
  cluster.fence(leader);
  await cluster.clock.until('it is answered', () => client.results.size === 1);
  expect([client.results.get(parked), client.definite.get(parked)]).toEqual(['LEADERSHIP_LOST', false]);
});

test('after a topic was deleted and created again under its name, its old id is unknown and nothing lands in the new one', async () => {
  const cluster = await threeBrokers();
  const old = cluster.createTopic({ name: 'orders' });
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, leaderOf(cluster, old));
  cluster.deleteTopic('orders');
  const recreated = cluster.createTopic({ name: 'orders' });
  await cluster.clock.pass(1_000);
  const late = client.send(old, producedBatch());
  await cluster.clock.until('it is answered', () => client.results.size === 1);
  expect([client.results.get(late), client.definite.get(late)]).toEqual(['UNKNOWN_TOPIC', true]);
  for (const { nodeLog } of cluster.brokers.values()) {
    expect(nodeLog.logIds().map((id) => [id.topicId, nodeLog.log(id).endOffset])).toEqual([[recreated, 0]]);
  }
});

test('a batch that waits for its replicas too long is answered TIMEOUT, indefinite', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = leaderOf(cluster, topic);
  cluster.disks.get(leader)?.holdSyncs();
  const client = new ProduceClient(cluster, leader);
  const parked = client.send(topic, producedBatch());
  await cluster.clock.pass(6_000);
  expect([client.results.get(parked), client.definite.get(parked)]).toEqual(['TIMEOUT', false]);
});

test('a stream that does not open itself is ended with a sentence; one that ends is answered first', async () => {
  const cluster = await threeBrokers();
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, leaderOf(cluster, topic), Acks.leader);
  client.send(topic, producedBatch());
  client.end();
  await cluster.clock.until('it is over', () => client.closed !== undefined);
  expect([client.closed, client.results.get(1)]).toEqual(['success', 0]);
});
