/** Batches of keyed records, as a leader placed them, in every codec. */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { leaderEpoch, offset } from '@sluice/base';
import { BatchBuilder, unstamped } from '../src/batch-builder.ts';
import type { BatchStamp } from '../src/batch-builder.ts';
import { patchBatch } from '../src/batch-header.ts';
import { compressionOver } from '../src/codec.ts';
import type { PlatformCodecs } from '../src/codec.ts';
import type { Codec } from '../src/layout.ts';
import { RecordDraft } from '../src/record-draft.ts';

const platform: Pick<PlatformCodecs, 'compress' | 'decompress'> = {
  compress: (codec, bytes) => (codec === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes)),
  decompress: (codec, bytes, maxOutputLength) =>
    (codec === 'gzip' ? gunzipSync : zstdDecompressSync)(bytes, { maxOutputLength }),
};

export const testCompression = compressionOver({
  ...platform,
  compressLater: async (codec, bytes) => platform.compress(codec, bytes),
  decompressLater: async (codec, bytes, outputBytesMax) => platform.decompress(codec, bytes, outputBytesMax),
});

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
