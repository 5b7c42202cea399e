/** Replicas whose logs were compacted to different degrees: real brokers over logs that were written before their topic was made. */
import { leaderEpoch, LogKind, offset, partitionIndex, topicId } from '@sluice/base';
import { baseOffsetOf, BatchBuilder, batchesIn, draftOf, endOffsetOf, LogCompaction } from '@sluice/record';
import { patchBatch, readBatchHeader, unstamped, compressionOver } from '@sluice/record';
import { inlineZlib } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';

/** The first topic that a test cluster makes. */
const logId = { topicId: topicId('1'.padStart(32, '0')), partition: partitionIndex(0), kind: LogKind.data };
const compression = compressionOver(inlineZlib);

/** One record each, all of one key. */
function history(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, base) => {
    const builder = new BatchBuilder();
    const [key, value] = [Uint8Array.of(1), Uint8Array.of(base)];
    builder.append(draftOf({ timestamp: 1_700_000_000_000, key, value, headers: [] }));
    const batch = builder.build(unstamped);
    patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(0) });
    return batch;
  });
}

async function compacted(log: readonly Uint8Array[], end: number): Promise<readonly Uint8Array[]> {
  const compaction = new LogCompaction({
    end,
    isNewest: (_key, at) => at === end - 1,
    inProducerWindow: () => false,
    passedMs: 0,
    newHorizonMs: 0,
    batchBytesMax: 1000,
    compression,
    turn: () => Promise.resolve(),
  });
  const out: Uint8Array[] = [];
  for (const batch of log) {
    const read = readBatchHeader(batch);
    if (!read.ok) throw new Error('no batch');
    out.push(...(await compaction.next(batch, read.value)));
  }
  return [...out, ...compaction.finish()];
}

/** Into the log of a broker that runs, before the topic is made: what belongs to no topic when it starts goes (H5). */
async function write(cluster: BrokerCluster, id: number, batches: readonly Uint8Array[]): Promise<void> {
  const log = cluster.at(id).nodeLog.log(logId);
  for (const batch of batches) {
    const span = { baseOffset: offset(baseOffsetOf(batch, 0)), endOffset: offset(endOffsetOf(batch, 0)) };
    log.append(Uint8Array.from(batch), span);
  }
  await cluster.clock.until('it is durable', () => log.durableOffset === log.endOffset);
}

/** Base and end of each batch. */
async function boundsAt(cluster: BrokerCluster, id: number): Promise<readonly (readonly [number, number])[]> {
  const log = cluster.at(id).nodeLog.log(logId);
  const bounds: (readonly [number, number])[] = [];
  for (let from = log.startOffset; from < log.endOffset; ) {
    const read = await cluster.settled(Promise.resolve(log.read(from, log.endOffset, 1_000_000)));
    if (read.kind === 'out-of-range') throw new Error('nothing to read');
    for (const found of read.batches.flatMap((bytes) => [...batchesIn(bytes)])) {
      if (!found.ok) throw new Error(found.problem.message);
      const { baseOffset, lastOffsetDelta } = found.header;
      bounds.push([baseOffset, baseOffset + lastOffsetDelta + 1]);
    }
    from = read.endOffset;
  }
  return bounds;
}

test('followers that stand inside an empty batch of the leader, or have nothing, catch up and rejoin', async () => {
  const cluster = new BrokerCluster();
  const log = history(9);
  await cluster.start(1, 2, 3);
  await write(cluster, 1, await compacted(log, 8));
  await write(cluster, 2, log.slice(0, 5));
  const topic = cluster.createTopic();
  const isr = (): readonly number[] => cluster.image.topic(topic)?.partitions[0]?.isr ?? [];
  await cluster.clock.until('the leader knows its log', () => [...cluster.at(1).broker.hosts].length === 1);
  const end = (id: number): number => cluster.at(id).nodeLog.log(logId).endOffset;
  await cluster.clock.until('all hold it', () => [1, 2, 3].every((id) => end(id) === 9));
  expect(await boundsAt(cluster, 1)).toEqual([
    [0, 7],
    [7, 8],
    [8, 9],
  ]);
  expect(await boundsAt(cluster, 2)).toEqual([
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 5],
    [5, 7],
    [7, 8],
    [8, 9],
  ]);
  expect(await boundsAt(cluster, 3)).toEqual([
    [0, 7],
    [7, 8],
    [8, 9],
  ]);
  const client = new ProduceClient(cluster, 1);
  const sent = client.send(topic, producedBatch());
  await cluster.clock.until('it is acked', () => client.results.has(sent));
  expect([client.results.get(sent), isr()]).toEqual([9, [1, 2, 3]]);
  // A reader who stands inside the empty batch gets what follows.
  const reader = new FetchClient(cluster, 1);
  reader.read(topic, 1, 100_000, 3);
  await cluster.clock.until('it is read', () => reader.offsets(1).includes(9));
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});

test('a log that starts inside an empty batch opens, leads, and fills a new follower', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  await write(cluster, 1, await compacted(history(9), 8));
  cluster.at(1).nodeLog.log(logId).restartAt(offset(4));
  const topic = cluster.createTopic();
  const end = (id: number): number => cluster.at(id).nodeLog.log(logId).endOffset;
  await cluster.clock.until('all hold it', () => [1, 2, 3].every((id) => end(id) === 9));
  expect(cluster.at(2).nodeLog.log(logId).startOffset).toBe(4);
  expect(await boundsAt(cluster, 2)).toEqual([
    [4, 7],
    [7, 8],
    [8, 9],
  ]);
  const client = new ProduceClient(cluster, 1);
  const sent = client.send(topic, producedBatch());
  await cluster.clock.until('it is acked', () => client.results.has(sent));
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});
