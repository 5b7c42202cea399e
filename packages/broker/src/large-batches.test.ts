/** Batches that travel in parts: on the produce stream, between replicas, and on the fetch stream. */
import type { TopicId } from '@sluice/base';
import { BatchParts, PartAssembler, type FetchedRun } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';

const MiB = 1024 * 1024;

interface Ready {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
  readonly other: TopicId;
  readonly leader: number;
}

/** Two topics of one leader, over a network on which each message takes its time. */
async function ready(options: { replication?: number; receiveBudgetBytes?: number } = {}): Promise<Ready> {
  const { replication = 3, receiveBudgetBytes = 16 * MiB } = options;
  const cluster = new BrokerCluster({ receiveBudgetBytes, replicateWindowBytes: 256 * 1024 }, 1);
  await cluster.start(1, 2, 3);
  const first = cluster.createTopic({ replication, partitions: 6 });
  const topics = Array.from({ length: 6 }, () => cluster.createTopic({ replication }));
  await cluster.clock.pass(2_000);
  const leaderOf = (topic: TopicId): number => cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const other = topics.find((topic) => leaderOf(topic) === leaderOf(first));
  if (other === undefined) throw new Error('no two topics have one leader');
  return { cluster, topic: first, other, leader: leaderOf(first) };
}

const large = (): Uint8Array => producedBatch({ valueBytes: MiB - 100 });

/** Message by message, as a client that does not pace itself. */
function sendInParts(client: ProduceClient, topicId: string, requestId: number, batch: Uint8Array): void {
  const parts = new BatchParts(batch);
  while (parts.leftBytes > 0) {
    const { bytes, moreBytes, continues } = parts.next();
    const target = continues ? {} : { topicId, partition: 0 };
    client.sendRaw([{ requestId, ...target, batch: bytes, moreBytes }]);
  }
}

const answered = async (it: Ready, client: ProduceClient, ...ids: readonly number[]): Promise<void> =>
  it.cluster.clock.until('they are answered', () => ids.every((id) => client.results.has(id)));

async function producer(it: Ready): Promise<ProduceClient> {
  const client = new ProduceClient(it.cluster, it.leader);
  await it.cluster.clock.until('it is open', () => client.creditBytes > 0);
  return client;
}

test('the parts of a batch are one batch, between others of other partitions, and its credit comes back (P4)', async () => {
  const it = await ready();
  const client = await producer(it);
  const parts = new BatchParts(large());
  const first = parts.next();
  client.sendRaw([{ requestId: 901, topicId: it.topic, partition: 0, batch: first.bytes, moreBytes: first.moreBytes }]);
  // The credit of all of it is gone, and comes back at once although the batch is not here.
  const grantedBytes = client.creditBytes;
  await it.cluster.clock.until('it is granted again', () => client.creditBytes > grantedBytes);
  expect(client.creditBytes - grantedBytes).toBe(large().byteLength);
  const small = client.send(it.other, producedBatch());
  await answered(it, client, small);
  expect([...client.results]).toEqual([[small, 0]]);
  while (parts.leftBytes > 0) {
    const { bytes, moreBytes } = parts.next();
    client.sendRaw([{ requestId: 901, batch: bytes, moreBytes }]);
  }
  await answered(it, client, 901);
  expect(client.results.get(901)).toBe(0);
  const last = client.send(it.topic, producedBatch());
  await answered(it, client, last);
  expect([client.results.get(last), client.closed]).toEqual([1, undefined]);
});

test.each([
  ['a batch over the limit of its topic', '', 2 * MiB, 'RECORD_TOO_LARGE'],
  ['an unknown topic', 'f'.repeat(32), MiB, 'UNKNOWN_TOPIC'],
])('%s is refused with its first part, the rest is passed over (P3)', async (_, topicText, batchBytes, code) => {
  const it = await ready();
  const client = await producer(it);
  const topicId = topicText === '' ? it.topic : topicText;
  const moreBytes = batchBytes - 10;
  client.sendRaw([{ requestId: 901, topicId, partition: 0, batch: new Uint8Array(10), moreBytes }]);
  await answered(it, client, 901);
  expect([client.results.get(901), client.definite.get(901)]).toEqual([code, true]);
  client.sendRaw([{ requestId: 901, batch: new Uint8Array(10), moreBytes: moreBytes - 10 }]);
  const small = client.send(it.topic, producedBatch());
  await answered(it, client, small);
  expect([client.results.get(small), client.closed]).toEqual([0, undefined]);
});

test.each([
  ['that are too many', [{ batch: 60, moreBytes: 40 }]],
  ['that are too few', [{ batch: 40, moreBytes: 0 }]],
  ['that are empty', [{ batch: 0, moreBytes: 50 }]],
  ['of which the first is empty', []],
  ['that promise more than any topic takes', []],
])('parts %s end the stream (P3)', async (name, next) => {
  const it = await ready();
  const client = await producer(it);
  const first = new Uint8Array(name.startsWith('of') ? 0 : 50);
  const promised = name.startsWith('that promise') ? Number.MAX_SAFE_INTEGER : 50;
  client.sendRaw([{ requestId: 901, topicId: it.topic, partition: 0, batch: first, moreBytes: promised }]);
  for (const { batch, moreBytes } of next)
    client.sendRaw([{ requestId: 901, batch: new Uint8Array(batch), moreBytes }]);
  await it.cluster.clock.until('it is closed', () => client.closed !== undefined);
  expect(client.closed).toMatchObject({ code: 'INVALID_REQUEST' });
});

test('half-sent batches of all streams share one room; what finds none is refused, and may come again (W1)', async () => {
  const it = await ready({ receiveBudgetBytes: 2 * MiB });
  const [one, other] = [await producer(it), await producer(it)];
  const begin = (client: ProduceClient, requestId: number): void =>
    client.sendRaw([{ requestId, topicId: it.topic, partition: 0, batch: new Uint8Array(10), moreBytes: 900_000 }]);
  begin(one, 901);
  begin(one, 902);
  begin(other, 903);
  await answered(it, other, 903);
  expect([other.results.get(903), other.definite.get(903), one.results.size]).toEqual(['LIMIT_EXCEEDED', true, 0]);
  // The stream is gone, and with it what it had begun.
  one.close();
  await it.cluster.clock.pass(10);
  sendInParts(other, it.topic, 904, large());
  other.sendRaw([{ requestId: 903, batch: new Uint8Array(900_000), moreBytes: 0 }]);
  await answered(it, other, 904);
  expect([other.results.get(904), other.closed]).toEqual([0, undefined]);
});

test('a batch larger than the room is taken when nothing else is half sent (W1)', async () => {
  const it = await ready({ receiveBudgetBytes: 512 * 1024 });
  const client = await producer(it);
  sendInParts(client, it.topic, 901, large());
  await answered(it, client, 901);
  expect(client.results.get(901)).toBe(0);
});

test('a batch that is not whole after two minutes ends its stream, one that is does not (W2)', async () => {
  const it = await ready();
  const client = await producer(it);
  sendInParts(client, it.topic, 901, large());
  await answered(it, client, 901);
  await it.cluster.clock.pass(60_000);
  client.sendRaw([{ requestId: 902, topicId: it.topic, partition: 0, batch: new Uint8Array(10), moreBytes: 90 }]);
  await it.cluster.clock.pass(119_000);
  expect(client.closed).toBeUndefined();
  client.sendRaw([{ requestId: 902, batch: new Uint8Array(10), moreBytes: 80 }]);
  await it.cluster.clock.pass(1_100);
  expect(client.closed).toMatchObject({ code: 'TIMEOUT' });
});

test('a stream that is half-closed within a batch answers it and completes', async () => {
  const it = await ready();
  const client = await producer(it);
  client.sendRaw([{ requestId: 901, topicId: it.topic, partition: 0, batch: new Uint8Array(50), moreBytes: 50 }]);
  client.end();
  await it.cluster.clock.until('it is closed', () => client.closed !== undefined);
  expect([client.results.get(901), client.closed]).toEqual(['INVALID_REQUEST', 'success']);
});

test('a small batch of another partition reaches the followers before all of a large one (L4)', async () => {
  const it = await ready();
  const client = await producer(it);
  sendInParts(client, it.topic, 901, large());
  // When the leader has it, before the followers have it.
  const logs = it.cluster.at(it.leader).nodeLog;
  await it.cluster.clock.until('the leader has it', () => logs.logIds().some((id) => logs.log(id).endOffset > 0));
  const small = client.send(it.other, producedBatch());
  await answered(it, client, 901, small);
  expect([...client.results.keys()]).toEqual([small, 901]);
  expect([...client.results.values()]).toEqual([0, 0]);
});

test('followers get the bytes of many large batches, over a window that is smaller than one of them', async () => {
  const it = await ready();
  const client = await producer(it);
  for (let at = 0; at < 5; at += 1) {
    sendInParts(client, it.topic, 900 + at, large());
    sendInParts(client, it.other, 950 + at, large());
    await answered(it, client, 900 + at, 950 + at);
  }
  expect([...client.results.values()].toSorted((one, two) => Number(one) - Number(two))).toEqual([
    0, 0, 1, 1, 2, 2, 3, 3, 4, 4,
  ]);
  const small = client.send(it.topic, producedBatch());
  await answered(it, client, small);
  for (const { halts } of it.cluster.brokers.values()) expect(halts).toEqual([]);
});

test('a follower that is lost within a large batch gets all of it when it is back', async () => {
  const it = await ready();
  const client = await producer(it);
  const follower = it.leader === 3 ? 2 : 3;
  for (let round = 0; round < 6; round += 1) {
    sendInParts(client, it.topic, 900 + round, large());
    // After another part of it in each round.
    await it.cluster.clock.pass(4 + round);
    it.cluster.network.disconnect(`node${it.leader}`, `node${follower}`);
    await answered(it, client, 900 + round);
  }
  const ends = (): readonly number[] =>
    [it.leader, follower].map((id) => {
      const { nodeLog } = it.cluster.at(id);
      const log = nodeLog.logIds().find(({ topicId, partition }) => topicId === it.topic && partition === 0);
      return log === undefined ? 0 : nodeLog.log(log).endOffset;
    });
  await it.cluster.clock.until('both have all', () => ends().every((end) => end >= 6));
  expect(ends()).toEqual([6, 6]);
});

/** What a client sees of the subscription, put together. */
function received(runs: readonly FetchedRun[], subscription: number): readonly Uint8Array[] {
  let assembler: PartAssembler | undefined;
  return runs
    .filter((run) => run.subscription === subscription)
    .flatMap((run) => {
      if (run.moreBytes === 0 && !run.continues) return run.batches;
      const part = { bytes: run.batches[0]!, moreBytes: run.moreBytes };
      if (!run.continues) assembler = new PartAssembler(part, 2 * MiB);
      const whole = assembler?.add(part);
      return whole === undefined ? [] : [whole];
    });
}

test('a client that does not read makes the node hold one large batch beside its window (C3)', async () => {
  const it = await ready();
  const topics = [...it.cluster.image.topics.keys()];
  const led = topics.filter((id) => it.cluster.image.topic(id)?.partitions[0]?.leader === it.leader).slice(0, 3);
  expect(led).toHaveLength(3);
  const writer = await producer(it);
  for (const [at, id] of led.entries()) {
    sendInParts(writer, id, 901 + at, large());
    await answered(it, writer, 901 + at);
  }
  const client = new FetchClient(it.cluster, it.leader, true);
  for (const [at, id] of led.entries()) client.read(id, at + 1, 10 * MiB);
  await it.cluster.clock.until('all are there', () => client.receivedBytes === 3 * large().byteLength);
  const bySubscription = (number: number) =>
    client.runs.filter((run) => run.subscription === number && run.moreBytes > 0);
  const [lastOfFirst, firstOfThird] = [bySubscription(1).at(-1), bySubscription(3)[0]];
  expect(client.runs.indexOf(firstOfThird!)).toBeGreaterThan(client.runs.indexOf(lastOfFirst!));
});

async function withLarge(): Promise<Ready> {
  const it = await ready();
  const client = await producer(it);
  sendInParts(client, it.topic, 901, large());
  const after = client.send(it.topic, producedBatch());
  const small = client.send(it.other, producedBatch());
  await answered(it, client, 901, after, small);
  return it;
}

test('a consumer that takes parts gets others in between; what it puts together is the batch (C5)', async () => {
  const it = await withLarge();
  const client = new FetchClient(it.cluster, it.leader, true);
  client.read(it.topic, 1, 10 * MiB);
  client.read(it.other, 2, 0);
  const total = large().byteLength + 2 * producedBatch().byteLength;
  await it.cluster.clock.until('all is there', () => client.receivedBytes === total);
  const order = client.runs.filter(({ batches }) => batches.length > 0).map(({ subscription }) => subscription);
  expect(order.lastIndexOf(2)).toBeLessThan(order.lastIndexOf(1) - 1);
  const [first, second] = received(client.runs, 1);
  expect([first?.byteLength, second?.byteLength]).toEqual([large().byteLength, producedBatch().byteLength]);
  expect(Buffer.compare(first!.subarray(61), large().subarray(61))).toBe(0);
});

test('a consumer that does not take parts gets the batch whole', async () => {
  const it = await withLarge();
  const client = new FetchClient(it.cluster, it.leader);
  client.read(it.topic, 1, 10 * MiB);
  await it.cluster.clock.until('it is there', () => client.offsets(1).length === 2);
  expect(client.offsets(1)).toEqual([0, 1]);
});

test('a subscription that is stopped within a batch gets no more of it, and its number is free of it (C4, C5)', async () => {
  const it = await withLarge();
  const client = new FetchClient(it.cluster, it.leader, true);
  client.read(it.topic, 1, 10 * MiB);
  await it.cluster.clock.until('a part is there', () => client.receivedBytes > 0);
  client.send({ stop: [1] });
  client.read(it.topic, 2, 0);
  await it.cluster.clock.until('the other is there', () => received(client.runs, 2).length === 2);
  expect(client.runs.findLast((run) => run.subscription === 1)?.moreBytes).toBeGreaterThan(0);
});
