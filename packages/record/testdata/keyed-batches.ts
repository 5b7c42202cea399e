/** Batches of keyed records, as a leader placed them, in every codec. */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { leaderEpoch, offset } from '@sluice/base';
import { BatchBuilder, unstamped } from '../src/batch-builder.ts';
import type { BatchStamp } from '../src/batch-builder.ts';
import { patchBatch } from '../src/batch-header.ts';
import { compressionOver, withoutThreads } from '../src/codec.ts';
import type { Codec } from '../src/layout.ts';
import { RecordDraft } from '../src/record-draft.ts';

const platform = {
  compress: (codec: 'gzip' | 'zstd', bytes: Uint8Array): Uint8Array =>
    codec === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes),
  decompress: (codec: 'gzip' | 'zstd', bytes: Uint8Array, maxOutputLength: number): Uint8Array =>
    (codec === 'gzip' ? gunzipSync : zstdDecompressSync)(bytes, { maxOutputLength }),
};

export const testCompression = compressionOver(withoutThreads(platform));

export interface KeyedRecord {
  readonly key: string | null;
  readonly value: string | null;
  readonly timestamp: number;
}

export interface PlacedBatch {
  readonly baseOffset: number;
  readonly leaderEpoch?: number;
  readonly codec?: Codec;
  readonly stamp?: Omit<BatchStamp, 'compressor'>;
}

export function keyedBatch(records: readonly KeyedRecord[], place: PlacedBatch): Uint8Array {
  const builder = new BatchBuilder();
  for (const { key, value, timestamp } of records) builder.append(new RecordDraft().take({ key, value }, timestamp));
  const { codec = 'none', stamp = unstamped } = place;
  const compressor = codec === 'none' ? undefined : testCompression.compressor(codec);
  const batch = builder.build({ ...stamp, ...(compressor === undefined ? {} : { compressor }) });
  patchBatch(batch, 0, { baseOffset: offset(place.baseOffset), leaderEpoch: leaderEpoch(place.leaderEpoch ?? 0) });
  return batch;
}
