/** Adapter: the codecs that Node brings. */
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { Compressor } from '@sluice/record';
import type { Compression } from './ports.ts';

const compressors: ReadonlyMap<Compressor['codec'], Compressor> = new Map([
  ['gzip', { codec: 'gzip', compress: (bytes) => gzipSync(bytes) }],
  ['zstd', { codec: 'zstd', compress: (bytes) => zstdCompressSync(bytes) }],
]);

export const nodeCompression: Compression = {
  compressor: (codec) => compressors.get(codec),
  decompress: (codec, bytes, outputBytesMax) => {
    const limit = { maxOutputLength: outputBytesMax };
    switch (codec) {
      case 'gzip':
        return gunzipSync(bytes, limit);
      case 'zstd':
        return zstdDecompressSync(bytes, limit);
      default:
        throw new Error(`nothing here reads ${codec}`);
    }
  },
};
