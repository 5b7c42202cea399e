/** Compaction by real brokers over real logs with small files: every replica by itself, through kills and refills. */
import type { TopicId } from '@sluice/base';
import { LogKind, partitionIndex } from '@sluice/base';
import { BatchBuilder, batchesIn, compressionOver, decodeRecords, draftOf, unstamped } from '@sluice/record';
import type { BatchStamp, Codec } from '@sluice/record';
import { inlineZlib } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { ProduceClient } from './client-streams.testing.ts';

const compression = compressionOver(inlineZlib);
const [all, leader] = [[1, 2, 3], 1];
const hourMs = 3_600_000;
const keyCount = 10;

interface Subject {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
  readonly newest: Map<string, string>;
}

async function subject(config: Record<string, string> = {}): Promise<Subject> {
  const cluster = new BrokerCluster({ replicateWindowBytes: 1024 * 1024 });
  cluster.logLimits = { journalBytesMax: 40_000, groupBytesMax: 10_000, journalAgeMsMax: 60_000, spaceAheadBytes: 0 };
  await cluster.start(...all);
  const topic = cluster.createTopic({ config: { cleanupPolicy: 'compact', ...config } });
  await cluster.clock.pass(1000);
  expect(cluster.image.topic(topic)?.partitions[0]?.leader).toBe(leader);
  const { nodeId, brokerEpoch } = cluster.at(leader).identity;
  cluster.decide({ type: 'allocateProducerIds', nodeId, brokerEpoch });
  return { cluster, topic, newest: new Map() };
}

/** `round` for each of the keys, in one batch. */
function batchOf(
  round: number,
  { codec = 'none', stamp = unstamped }: { codec?: Codec; stamp?: BatchStamp } = {},
): Uint8Array {
  const builder = new BatchBuilder();
  for (let key = 0; key < keyCount; key += 1) {
    const value = new TextEncoder().encode(`round ${round} `.repeat(20));
    builder.append(draftOf({ timestamp: 1_700_000_000_000 + round, key: Uint8Array.of(key), value, headers: [] }));
  }
  const compressor = codec === 'none' ? undefined : compression.compressor(codec);
  return builder.build({ ...stamp, ...(compressor === undefined ? {} : { compressor }) });
}

async function produce(
  { cluster, topic }: Subject,
  batches: readonly Uint8Array[],
  at = leader,
): Promise<ProduceClient> {
  const client = new ProduceClient(cluster, at);
  for (const batch of batches) {
    const id = client.send(topic, Uint8Array.from(batch));
    await cluster.clock.until('it is answered', () => client.results.has(id));
  }
  return client;
}

const rounds = (count: number, from = 0): readonly Uint8Array[] =>
  Array.from({ length: count }, (_, round) => batchOf(from + round, { codec: round % 2 === 0 ? 'none' : 'zstd' }));

interface Held {
  readonly offsets: readonly number[];
  readonly values: ReadonlyMap<number, string>;
  readonly bytes: number;
  readonly bounds: readonly [number, number];
}

/** All that a replica holds, read as a follower would read it. */
async function heldAt({ cluster, topic }: Subject, id: number): Promise<Held> {
  const log = cluster.at(id).nodeLog.log({ topicId: topic, partition: partitionIndex(0), kind: LogKind.data });
  const offsets: number[] = [];
  const values = new Map<number, string>();
  for (let from = log.startOffset; from < log.endOffset; ) {
    const read = await cluster.settled(Promise.resolve(log.read(from, log.endOffset, 100_000)));
    if (read.kind === 'out-of-range') throw new Error('out of range');
    for (const found of read.batches.flatMap((bytes) => [...batchesIn(bytes)].map((each) => ({ each, bytes })))) {
      if (!found.each.ok) throw new Error(found.each.problem.message);
      const decoded = decodeRecords(found.bytes.subarray(found.each.position), { decompress: compression.decompress });
      if (!decoded.ok) throw new Error(decoded.problem.message);
      for (const { offset: at, key, value } of decoded.value) {
        offsets.push(at);
        values.set(key?.[0] ?? -1, new TextDecoder().decode(value ?? undefined));
      }
    }
    from = read.endOffset;
  }
  return { offsets, values, bytes: log.bytes, bounds: [log.startOffset, log.endOffset] };
}

const compactedAt = ({ cluster }: Subject, id: number): number => cluster.at(id).broker.compaction.records;

function expectNewest({ values, bounds }: Held, round: number, count: number): void {
  expect(bounds).toEqual([0, count * keyCount]);
  expect([...values.values()]).toEqual(Array.from({ length: keyCount }, () => `round ${round} `.repeat(20)));
}

test('each replica compacts what is in finished files by itself, and its disk gives the space back', async () => {
  const it = await subject();
  await produce(it, rounds(60));
  // The last files become finished.
  await it.cluster.clock.pass(70_000);
  await it.cluster.clock.until('all have compacted', () => all.every((id) => compactedAt(it, id) > 400));
  await it.cluster.clock.pass(70_000);
  for (const id of all) {
    const held = await heldAt(it, id);
    expectNewest(held, 59, 60);
    expect(held.offsets.length).toBeLessThan(keyCount * 20);
    expect(held.bytes).toBeLessThan(60 * 2500 * 0.4);
  }
  for (const { halts, warnings } of it.cluster.brokers.values()) expect([halts, warnings]).toEqual([[], []]);
});

test('a follower that comes back, and one with an empty disk, take a compacted log and rejoin', async () => {
  const it = await subject();
  const isr = (): readonly number[] => it.cluster.image.topic(it.topic)?.partitions[0]?.isr ?? [];
  await produce(it, rounds(20));
  it.cluster.kill(3);
  it.cluster.fence(3);
  await produce(it, rounds(40, 20));
  await it.cluster.clock.pass(70_000);
  await it.cluster.clock.until('the leader has compacted', () => compactedAt(it, leader) > 400);
  await it.cluster.start(3);
  await it.cluster.clock.until('it is in sync', () => isr().includes(3));
  expectNewest(await heldAt(it, 3), 59, 60);
  it.cluster.kill(2);
  it.cluster.fence(2);
  it.cluster.disks.delete(2);
  await it.cluster.start(2);
  await it.cluster.clock.until('it is in sync', () => isr().includes(2));
  const [there, here] = [await heldAt(it, leader), await heldAt(it, 2)];
  expectNewest(here, 59, 60);
  expect(here.offsets).toEqual(there.offsets);
  for (const { halts } of it.cluster.brokers.values()) expect(halts).toEqual([]);
});

test('a repeated batch is told from a new one after compaction and a restart of all', async () => {
  const it = await subject();
  const stamped = Array.from({ length: 60 }, (_, round) =>
    batchOf(round, { stamp: { producerId: 0, producerEpoch: 0, baseSequence: round * keyCount } }),
  );
  await produce(it, stamped);
  // Another producer makes all of its records old.
  await produce(it, rounds(40, 60));
  await it.cluster.clock.pass(70_000);
  await it.cluster.clock.until('all have compacted', () => all.every((id) => compactedAt(it, id) > 500));
  for (const id of all) it.cluster.kill(id);
  for (const id of all) it.cluster.fence(id);
  await it.cluster.start(...all);
  await it.cluster.clock.pass(3_000);
  const led = it.cluster.image.topic(it.topic)?.partitions[0]?.leader ?? 0;
  expectNewest(await heldAt(it, led), 99, 100);
  const again = await produce(it, stamped.slice(-5), led);
  expect([...again.results.values()]).toEqual([550, 560, 570, 580, 590]);
  const wrong = batchOf(0, { stamp: { producerId: 0, producerEpoch: 0, baseSequence: 700 } });
  const next = batchOf(100, { stamp: { producerId: 0, producerEpoch: 0, baseSequence: 600 } });
  const more = await produce(it, [wrong, next], led);
  expect([...more.results.values()]).toEqual(['OUT_OF_ORDER_SEQUENCE', 1000]);
});

test('nodes that are killed while they compact come back with every key as it was written last', async () => {
  const it = await subject({ tombstoneRetentionMs: String(hourMs) });
  let count = 0;
  for (let kill = 0; kill < 6; kill += 1) {
    await produce(it, rounds(25, count));
    count += 25;
    await it.cluster.clock.pass(60_000 + kill * 4_000);
    for (const id of [2, 3]) {
      // In the middle of whatever it does.
      for (let turn = 0; turn < kill * 37 + id; turn += 1) await it.cluster.clock.settle();
      it.cluster.kill(id);
      it.cluster.fence(id);
      await it.cluster.start(id);
      await it.cluster.clock.until('it is in sync', () =>
        (it.cluster.image.topic(it.topic)?.partitions[0]?.isr ?? []).some((member) => member === id),
      );
      expectNewest(await heldAt(it, id), count - 1, count);
    }
  }
  await it.cluster.clock.pass(200_000);
  for (const id of all) {
    const held = await heldAt(it, id);
    expectNewest(held, count - 1, count);
    expect(held.offsets.length).toBeLessThan(count * 2);
    expect(it.cluster.at(id).halts).toEqual([]);
  }
});
