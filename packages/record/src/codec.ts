import type { Codec } from './layout.ts';

/** Port: one compression codec. Real: over `node:zlib` in `server` and `client`; this package has none. */
export interface Compressor {
  readonly codec: Exclude<Codec, 'none'>;
  compress(bytes: Uint8Array): Uint8Array;
}

/**
 * Port: decompression. It may throw on bytes that it cannot read, and must give up (throw) rather than produce more
 * than `outputBytesMax`: a few bytes from outside must not become gigabytes here.
 */
export type Decompress = (codec: Exclude<Codec, 'none'>, bytes: Uint8Array, outputBytesMax: number) => Uint8Array;
