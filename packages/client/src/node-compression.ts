/** Adapter: the codecs that Node brings, and ours. */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Compressor } from '@sluice/record';
import { compressLz4, decompressLz4 } from './lz4-frame.ts';
import type { Compression } from './ports.ts';
import { compressSnappy, decompressSnappy } from './snappy.ts';

const compressors: ReadonlyMap<Compressor['codec'], Compressor> = new Map<Compressor['codec'], Compressor>([
  ['gzip', { codec: 'gzip', compress: (bytes) => gzipSync(bytes) }],
  ['snappy', { codec: 'snappy', compress: compressSnappy }],
  ['lz4', { codec: 'lz4', compress: compressLz4 }],
  ['zstd', { codec: 'zstd', compress: (bytes) => zstdCompressSync(bytes) }],
]);

export const nodeCompression: Compression = {
  compressor: (codec) => compressors.get(codec),
  decompress: (codec, bytes, outputBytesMax) => {
    const limit = { maxOutputLength: outputBytesMax };
    switch (codec) {
      case 'gzip':
        return gunzipSync(bytes, limit);
      case 'snappy':
        return decompressSnappy(bytes, outputBytesMax);
      case 'lz4':
        return decompressLz4(bytes, outputBytesMax);
      case 'zstd':
        return zstdDecompressSync(bytes, limit);
    }
  },
};
