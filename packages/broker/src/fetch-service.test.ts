import { offset } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';
import { methods } from '@sluice/wire';

interface Ready {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
  readonly leader: number;
  readonly producer: ProduceClient;
}

async function ready(fetchWindowBytesMax = 256 * 1024, delayMs?: number): Promise<Ready> {
  const cluster = new BrokerCluster({ fetchWindowBytesMax }, delayMs);
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  return { cluster, topic, leader, producer: new ProduceClient(cluster, leader) };
}

async function produce({ cluster, topic, producer }: Ready, count: number, valueBytes = 1_000): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    const id = producer.send(topic, producedBatch({ valueBytes }));
    await cluster.clock.until('it is acked', () => producer.results.has(id));
  }
}

test('runs come in offset order, each batch once, and only what is committed (C1, C2)', async () => {
  const it = await ready();
  await produce(it, 5);
  const client = new FetchClient(it.cluster, it.leader);
  client.read(it.topic, 1, 100_000);
  await it.cluster.clock.pass(100);
  expect(client.offsets(1)).toEqual([0, 1, 2, 3, 4]);
  // No follower makes anything durable: the leader has the batch, and nobody may see it.
  for (const [id, disk] of it.cluster.disks) if (id !== it.leader) disk.holdSyncs();
  it.producer.send(it.topic, producedBatch());
  await it.cluster.clock.pass(500);
  const log = it.cluster.at(it.leader).nodeLog;
  expect(log.log(log.logIds()[0]!).durableOffset).toBe(6);
  const late = new FetchClient(it.cluster, it.leader);
  late.read(it.topic, 1, 100_000);
  await it.cluster.clock.pass(100);
  expect([client.offsets(1), late.offsets(1)]).toEqual([
    [0, 1, 2, 3, 4],
    [0, 1, 2, 3, 4],
  ]);
  for (const disk of it.cluster.disks.values()) disk.releaseSyncs();
  await it.cluster.clock.pass(500);
  expect(client.offsets(1)).toEqual([0, 1, 2, 3, 4, 5]);
});

test('no more is sent than was granted, one run more; a client that grants nothing is sent nothing (C3)', async () => {
  const it = await ready();
  await produce(it, 20);
  const [idle, slow] = [new FetchClient(it.cluster, it.leader), new FetchClient(it.cluster, it.leader)];
  idle.read(it.topic, 1, 0);
  slow.send({
    start: [{ subscription: 1, topicId: it.topic, partition: 0, fromOffset: 0, leaderEpoch: -1, runBytesMax: 1 }],
  });
  slow.send({ creditBytes: 3_000 });
  await it.cluster.clock.pass(1_000);
  expect([idle.receivedBytes, idle.failures.size]).toEqual([0, 0]);
  expect(slow.receivedBytes).toBeGreaterThanOrEqual(3_000);
  expect(slow.receivedBytes).toBeLessThan(3_000 + 1_200);
  slow.send({ creditBytes: 1_000_000 });
  await it.cluster.clock.pass(100);
  expect(slow.offsets(1)).toHaveLength(20);
});

test('a client whose window is larger than the server wants loses none of it, and gets everything', async () => {
  const it = await ready(64 * 1024);
  await produce(it, 12, 30_000);
  const client = new FetchClient(it.cluster, it.leader);
  // As a client with a window of 8 MiB does: it grants again only after a quarter of that.
  client.read(it.topic, 1, 8 * 1024 * 1024);
  await it.cluster.clock.pass(1_000);
  expect(client.offsets(1)).toHaveLength(12);
});

test('no more waits for a client to read than the window and one run (C3)', async () => {
  const it = await ready(64 * 1024, 10);
  await produce(it, 12, 30_000);
  const client = new FetchClient(it.cluster, it.leader);
  const start = { subscription: 1, topicId: it.topic, partition: 0, fromOffset: 0, leaderEpoch: -1, runBytesMax: 1 };
  client.send({ start: [start], creditBytes: 8 * 1024 * 1024 });
  // There and back again, and not yet what was sent since.
  await it.cluster.clock.pass(25);
  // What one look found room for; the rest follows as the client reads.
  expect(client.receivedBytes).toBeGreaterThanOrEqual(64 * 1024);
  expect(client.receivedBytes).toBeLessThan(64 * 1024 + 31_000);
  await it.cluster.clock.pass(1_000);
  expect(client.offsets(1)).toHaveLength(12);
});

test.each([
  ['an offset past the end', { fromOffset: 99 }, 'OFFSET_OUT_OF_RANGE'],
  ['the largest offset there is', { fromOffset: Number.MAX_SAFE_INTEGER }, 'OFFSET_OUT_OF_RANGE'],
  ['a partition that no partition can be', { partition: 2 ** 32 - 1 }, 'UNKNOWN_PARTITION'],
  ['a partition that does not exist', { partition: 7 }, 'UNKNOWN_PARTITION'],
  ['no topic id', { topicId: 'x' }, 'INVALID_REQUEST'],
  ['another topic id', { topicId: 'e'.repeat(32) }, 'UNKNOWN_TOPIC'],
  ['an epoch to come', { leaderEpoch: 9 }, 'UNKNOWN_LEADER_EPOCH'],
])('%s is refused by its subscription alone', async (_what, odd, code) => {
  const it = await ready();
  await produce(it, 1);
  const client = new FetchClient(it.cluster, it.leader);
  const start = { topicId: it.topic, partition: 0, fromOffset: 0, leaderEpoch: -1 };
  client.send({
    start: [
      { subscription: 1, ...start, ...odd },
      { subscription: 2, ...start },
    ],
    creditBytes: 10_000,
  });
  await it.cluster.clock.pass(100);
  expect([client.failures.get(1), client.offsets(2), client.closed]).toEqual([code, [0], undefined]);
});

test('an offset beyond 2^53 is a malformed request', async () => {
  const it = await ready();
  const client = new FetchClient(it.cluster, it.leader);
  expect(() => client.read(it.topic, 1, 1, 2 ** 60)).toThrow('a number that its field cannot carry');
  // What another program may write all the same: `from_offset` as a varint of ten bytes.
  const start = Uint8Array.of(0x12, 0x0a, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f);
  expect(() => methods.broker.fetch.request.decode([start])).toThrow('the largest allowed is 2^53');
});

test('a leader that is replaced tells its readers; those that wait at the end wake at the next batch', async () => {
  const it = await ready();
  const client = new FetchClient(it.cluster, it.leader);
  client.read(it.topic, 1, 10_000);
  await it.cluster.clock.pass(100);
  expect(client.runs).toMatchObject([{ subscription: 1, batches: [], nextOffset: 0 }]);
  await produce(it, 1);
  await it.cluster.clock.pass(100);
  expect(client.offsets(1)).toEqual([0]);
  it.cluster.fence(it.leader);
  await it.cluster.clock.pass(100);
  expect(client.failures.get(1)).toBe('NOT_LEADER');
});

test('a read that finds nothing yet misses nothing that becomes readable under it', async () => {
  const it = await ready();
  await produce(it, 1);
  const { log } = [...it.cluster.at(it.leader).broker.hosts].find(({ id }) => id.topicId === it.topic)!;
  const read = log.read.bind(log);
  const { promise, resolve } = Promise.withResolvers<Awaited<ReturnType<typeof read>>>();
  log.read = () => promise;
  const client = new FetchClient(it.cluster, it.leader);
  client.read(it.topic, 1, 100_000);
  await it.cluster.clock.pass(100);
  log.read = read;
  await produce(it, 1);
  resolve({ kind: 'batches', batches: [], bytes: 0, endOffset: offset(0) });
  await it.cluster.clock.pass(100);
  expect(client.offsets(1)).toEqual([0, 1]);
});

test('a stream that is closed leaves nobody watching', async () => {
  const it = await ready();
  const client = new FetchClient(it.cluster, it.leader);
  const [host] = it.cluster.at(it.leader).broker.hosts;
  const watching = new Set<unknown>();
  const { watch, unwatch } = host!;
  host!.watch = (watcher) => {
    watching.add(watcher);
    watch.call(host, watcher);
  };
  host!.unwatch = (watcher) => {
    watching.delete(watcher);
    unwatch.call(host, watcher);
  };
  client.read(it.topic, 1, 10_000);
  client.read(it.topic, 2, 10_000);
  await it.cluster.clock.pass(100);
  expect(watching.size).toBe(2);
  client.send({ stop: [1] });
  await it.cluster.clock.settle();
  expect(watching.size).toBe(1);
  client.close();
  await it.cluster.clock.settle();
  expect(watching.size).toBe(0);
});
