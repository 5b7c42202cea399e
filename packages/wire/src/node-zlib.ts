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

type PlatformCodec = 'gzip' | 'zstd';
type Limited = Pick<ZlibOptions, 'maxOutputLength'>;
type Later = (bytes: InputType, options?: Limited) => Promise<Uint8Array>;

const later: Readonly<Record<'gzip' | 'gunzip' | 'zstd' | 'unzstd', Later>> = {
  gzip: promisify(gzip),
  gunzip: promisify(gunzip),
  zstd: promisify(zstdCompress),
  unzstd: promisify(zstdDecompress),
};

const compress = (codec: PlatformCodec, bytes: Uint8Array): Uint8Array =>
  codec === 'gzip' ? gzipSync(bytes) : zstdCompressSync(bytes);
const decompress = (codec: PlatformCodec, bytes: Uint8Array, maxOutputLength: number): Uint8Array =>
  (codec === 'gzip' ? gunzipSync : zstdDecompressSync)(bytes, { maxOutputLength });

/** Each throws on bytes that it cannot read, and rather than give more than it may. `Later`: on a thread. */
export const nodeZlib = {
  compress,
  decompress,
  compressLater: (codec: PlatformCodec, bytes: Uint8Array): Promise<Uint8Array> =>
    codec === 'gzip' ? later.gzip(bytes) : later.zstd(bytes),
  decompressLater: (codec: PlatformCodec, bytes: Uint8Array, maxOutputLength: number): Promise<Uint8Array> =>
    (codec === 'gzip' ? later.gunzip : later.unzstd)(bytes, { maxOutputLength }),
};

/** The same without threads: nothing finishes at a time of its own. */
export const inlineZlib = {
  compress,
  decompress,
  compressLater: async (codec: PlatformCodec, bytes: Uint8Array): Promise<Uint8Array> => compress(codec, bytes),
  decompressLater: async (codec: PlatformCodec, bytes: Uint8Array, maxOutputLength: number): Promise<Uint8Array> =>
    decompress(codec, bytes, maxOutputLength),
};
