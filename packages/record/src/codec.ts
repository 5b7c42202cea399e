/**
 * Codecs. Snappy and LZ4 are here; gzip and Zstandard come from the platform, by a port: on threads, or inline where a
 * simulator runs the shells and nothing may finish at a time of its own.
 */
import type { Codec } from './layout.ts';
import { compressLz4, decompressLz4 } from './lz4-frame.ts';
import { compressSnappy, decompressSnappy } from './snappy.ts';

/** Of compressed records. */
export type CompressedCodec = Exclude<Codec, 'none'>;

export interface Compressor {
  readonly codec: CompressedCodec;
  compress(bytes: Uint8Array): Uint8Array;
}

/**
 * May throw on bytes that it cannot read, and must give up (throw) rather than produce more than `outputBytesMax`: a few
 * bytes from outside must not become gigabytes here.
 */
export type Decompress = (codec: CompressedCodec, bytes: Uint8Array, outputBytesMax: number) => Uint8Array;

/** Codecs by name; a codec that is missing here can be neither written nor read. */
export interface Compression {
  compressor(codec: CompressedCodec): Compressor | undefined;
  readonly decompress: Decompress;
  /** Off the event loop where the codec can be. */
  compressLater(codec: CompressedCodec, bytes: Uint8Array): Promise<Uint8Array>;
  decompressLater(codec: CompressedCodec, bytes: Uint8Array, outputBytesMax: number): Promise<Uint8Array>;
}

type PlatformCodec = 'gzip' | 'zstd';

/** Port: the codecs of the platform; `Later` on a thread. */
export interface PlatformCodecs {
  compress(codec: PlatformCodec, bytes: Uint8Array): Uint8Array;
  decompress(codec: PlatformCodec, bytes: Uint8Array, outputBytesMax: number): Uint8Array;
  compressLater(codec: PlatformCodec, bytes: Uint8Array): Promise<Uint8Array>;
  decompressLater(codec: PlatformCodec, bytes: Uint8Array, outputBytesMax: number): Promise<Uint8Array>;
}

export function compressionOver(platform: PlatformCodecs): Compression {
  const compress = (codec: CompressedCodec, bytes: Uint8Array): Uint8Array => {
    if (codec === 'snappy') return compressSnappy(bytes);
    return codec === 'lz4' ? compressLz4(bytes) : platform.compress(codec, bytes);
  };
  const decompress: Decompress = (codec, bytes, outputBytesMax) => {
    if (codec === 'snappy') return decompressSnappy(bytes, outputBytesMax);
    return codec === 'lz4' ? decompressLz4(bytes, outputBytesMax) : platform.decompress(codec, bytes, outputBytesMax);
  };
  return {
    compressor: (codec) => ({ codec, compress: (bytes) => compress(codec, bytes) }),
    decompress,
    compressLater: async (codec, bytes) =>
      codec === 'snappy' || codec === 'lz4' ? compress(codec, bytes) : platform.compressLater(codec, bytes),
    decompressLater: async (codec, bytes, outputBytesMax) =>
      codec === 'snappy' || codec === 'lz4'
        ? decompress(codec, bytes, outputBytesMax)
        : platform.decompressLater(codec, bytes, outputBytesMax),
  };
}
