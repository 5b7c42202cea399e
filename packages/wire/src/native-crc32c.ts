/** Adapter: CRC-32C by the processor's own instruction. It comes prebuilt, for the platforms that its package lists. */
import { createRequire } from 'node:module';
import type * as NodeRsCrc32 from '@node-rs/crc32';

/** The checksum of `bytes`, going on from that of the bytes before them. */
export type NativeCrc32c = (bytes: Uint8Array, seed?: number) => number;

const require = createRequire(import.meta.url);
const load = (): typeof NodeRsCrc32 => require('@node-rs/crc32') as typeof NodeRsCrc32;

/** The function, or a sentence that says why there is none here. */
export function nativeCrc32c(loadPackage: () => { readonly crc32c: NativeCrc32c } = load): NativeCrc32c | string {
  try {
    return loadPackage().crc32c;
  } catch (thrown) {
    return `no native CRC-32C on this platform: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
}
