/** Adapter: the codecs that Node brings. */
import { promisify } from 'node:util';
import {
  gunzip,
  gunzipSync,
  gzip,
  gzipSync,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from 'node:zlib';
import type { InputType, ZlibOptions } from 'node:zlib';

type Limited = Pick<ZlibOptions, 'maxOutputLength'>;
type Later = (bytes: InputType, options?: Limited) => Promise<Uint8Array>;

const later: Readonly<Record<'gzip' | 'gunzip' | 'zstd' | 'unzstd', Later>> = {
  gzip: promisify(gzip),
  gunzip: promisify(gunzip),
  zstd: promisify(zstdCompress),
  unzstd: promisify(zstdDecompress),
};

/** Each throws on bytes that it cannot read, and rather than give more than `outputBytesMax`. `Later`: on a thread. */
export const nodeZlib = {
  compress: (codec: 'gzip' | 'zstd', bytes: Uint8Array): Uint8Array =>
    codec === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes),
  decompress: (codec: 'gzip' | 'zstd', bytes: Uint8Array, outputBytesMax: number): Uint8Array =>
    (codec === 'gzip' ? gunzipSync : zstdDecompressSync)(bytes, { maxOutputLength: outputBytesMax }),
  compressLater: (codec: 'gzip' | 'zstd', bytes: Uint8Array): Promise<Uint8Array> =>
    codec === 'gzip' ? later.gzip(bytes) : later.zstd(bytes),
  decompressLater: (codec: 'gzip' | 'zstd', bytes: Uint8Array, outputBytesMax: number): Promise<Uint8Array> =>
    (codec === 'gzip' ? later.gunzip : later.unzstd)(bytes, { maxOutputLength: outputBytesMax }),
};
