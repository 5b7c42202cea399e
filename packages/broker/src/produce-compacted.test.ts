/** Producing to compacted topics: every record needs a key, whatever the codec, and order is kept. */
import type { TopicId } from '@sluice/base';
import { BatchBuilder, codecs, compressionOver, crc32c, draftOf, readBatchHeader, unstamped } from '@sluice/record';
import type { BatchStamp, Codec, Compression } from '@sluice/record';
import { inlineZlib, ManualClock } from '@sluice/wire';
import { describe, expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { ProduceClient } from './client-streams.testing.ts';
import { RecordKeys } from './record-keys.ts';

const compression = compressionOver(inlineZlib);
const key = Uint8Array.of(1);

interface Sent {
  readonly keys: readonly (Uint8Array | null)[];
  readonly codec?: Codec;
  readonly valueBytes?: number;
  readonly stamp?: BatchStamp;
}

function batchOf({ keys, codec = 'none', valueBytes = 100, stamp = unstamped }: Sent): Uint8Array {
  const builder = new BatchBuilder();
  const value = new Uint8Array(valueBytes);
  for (const each of keys) builder.append(draftOf({ timestamp: 1_700_000_000_000, key: each, value, headers: [] }));
  const compressor = codec === 'none' ? undefined : compression.compressor(codec);
  return builder.build({ ...stamp, ...(compressor === undefined ? {} : { compressor }) });
}

async function subject(): Promise<{ cluster: BrokerCluster; topic: TopicId; client: ProduceClient }> {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic({ config: { cleanupPolicy: 'compact' } });
  await cluster.clock.pass(1_000);
  const client = new ProduceClient(cluster, cluster.image.topic(topic)?.partitions[0]?.leader ?? 0);
  return { cluster, topic, client };
}

describe.each(codecs)('%s', (codec) => {
  test('a batch with a record without a key is refused whole, and those around it are taken', async () => {
    const { cluster, topic, client } = await subject();
    client.send(topic, batchOf({ keys: [key, key], codec }));
    const bad = client.send(topic, batchOf({ keys: [key, null, key], codec }));
    client.send(topic, batchOf({ keys: [key], codec }));
    await cluster.clock.until('all are answered', () => client.results.size === 3);
    expect([...client.results].toSorted(([a], [b]) => a - b)).toEqual([
      [1, 0],
      [2, 'INVALID_RECORD'],
      [3, 2],
    ]);
    expect(client.definite.get(bad)).toBe(true);
    // All bytes came back.
    expect(client.creditBytes - client.sentBytes).toBeGreaterThanOrEqual(64 * 1024);
  });

  test('records that do not decode are refused', async () => {
    const { cluster, topic, client } = await subject();
    const batch = batchOf({ keys: [key, key], codec });
    const claimed = new DataView(batch.buffer, batch.byteOffset);
    // One record more than there is.
    claimed.setInt32(23, 2);
    claimed.setInt32(57, 3);
    claimed.setUint32(17, crc32c(batch.subarray(21)));
    const id = client.send(topic, batch);
    await cluster.clock.until('it is answered', () => client.results.size === 1);
    expect([client.results.get(id), client.definite.get(id)]).toEqual(['INVALID_BATCH', true]);
  });
});

test('a topic that is not compacted takes records without a key, in any codec', async () => {
  const { cluster, client } = await subject();
  const plain = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const other = new ProduceClient(cluster, cluster.image.topic(plain)?.partitions[0]?.leader ?? 0);
  for (const codec of codecs) other.send(plain, batchOf({ keys: [null], codec }));
  await cluster.clock.until('all are answered', () => other.results.size === codecs.length);
  expect([...other.results.values()]).toEqual([0, 1, 2, 3, 4]);
  client.close();
});

test('a batch that needs no opening waits for the one before that does (P5)', async () => {
  const { cluster, topic, client } = await subject();
  const stamp = (baseSequence: number): BatchStamp => ({ producerId: 0, producerEpoch: 0, baseSequence });
  const { nodeId, brokerEpoch } = cluster.at(1).identity;
  cluster.decide({ type: 'allocateProducerIds', nodeId, brokerEpoch });
  const keys = Array.from({ length: 3 }, () => key);
  client.send(topic, batchOf({ keys, codec: 'gzip', stamp: stamp(0) }));
  client.send(topic, batchOf({ keys, stamp: stamp(3) }));
  client.send(topic, batchOf({ keys, codec: 'lz4', stamp: stamp(6) }));
  client.send(topic, batchOf({ keys, stamp: stamp(9) }));
  await cluster.clock.until('all are answered', () => client.results.size === 4);
  expect([...client.results]).toEqual([
    [1, 0],
    [2, 3],
    [3, 6],
    [4, 9],
  ]);
});

describe('the look at keys', () => {
  const headerOf = (batch: Uint8Array) => {
    const read = readBatchHeader(batch);
    if (!read.ok) throw new Error(read.problem.message);
    return read.value;
  };

  test('opens four batches at a time (K2)', async () => {
    const opened: ((bytes: Uint8Array) => void)[] = [];
    const held: Compression = {
      ...compression,
      decompressLater: () => new Promise((resolve) => void opened.push(resolve)),
    };
    const keys = new RecordKeys({ compression: held, clock: new ManualClock() });
    const batch = batchOf({ keys: [key], codec: 'zstd' });
    const plain = batchOf({ keys: [key] }).subarray(61);
    const looks = Array.from({ length: 7 }, () => keys.problemOf(batch, headerOf(batch)));
    for (let at = 0; at < 7; at += 1) {
      await Promise.resolve();
      expect(opened.length).toBe(Math.min(7, at + 4));
      opened[at]?.(plain);
      expect(await looks[at]).toBeUndefined();
    }
  });

  test('gives up on records that grow beyond what may be open', async () => {
    const keys = new RecordKeys({ compression, clock: new ManualClock() });
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const batch = batchOf({ keys: [key], codec, valueBytes: 17 * 1024 * 1024 });
      expect(await keys.problemOf(batch, headerOf(batch))).toMatchObject({ code: 'CORRUPT_BATCH', definite: true });
    }
  });

  test('goes through many records in slices, and finds the last one without a key (K1)', async () => {
    const clock = new ManualClock();
    const keys = new RecordKeys({ compression, clock });
    const many = Array.from({ length: 10_000 }, (_, at) => (at === 9_999 ? null : key));
    const batch = batchOf({ keys: many, valueBytes: 0 });
    let found: unknown = 'nothing yet';
    const look = Promise.resolve(keys.problemOf(batch, headerOf(batch))).then((problem) => {
      found = problem;
    });
    await Promise.resolve();
    expect(found).toBe('nothing yet');
    await clock.until('it is over', () => found !== 'nothing yet');
    await look;
    expect(found).toMatchObject({ code: 'INVALID_RECORD', details: { record: 9_999 } });
  });
});
