/**
 * Where a batch ends and which offsets it holds, and nothing else: for bytes whose header was read before, by who looks
 * again for each batch on the hot path. No object and no view for one batch; 10 ns in place of 150.
 */
import {
  baseOffsetAt,
  batchHeaderBytes,
  batchLengthAt,
  lastOffsetDeltaAt,
  lengthPrefixBytes,
  maxTimestampAt,
} from './layout.ts';

/** 0 when there is no whole batch. */
export function batchBytesAt(bytes: Uint8Array, at: number): number {
  if (bytes.length - at < batchHeaderBytes) return 0;
  const batchBytes = int32(bytes, at + batchLengthAt) + lengthPrefixBytes;
  return batchBytes < batchHeaderBytes || batchBytes > bytes.length - at ? 0 : batchBytes;
}

export const baseOffsetOf = (bytes: Uint8Array, at: number): number =>
  int32(bytes, at + baseOffsetAt) * 0x1_0000_0000 + (int32(bytes, at + baseOffsetAt + 4) >>> 0);

/** One past the last offset. */
export const endOffsetOf = (bytes: Uint8Array, at: number): number =>
  baseOffsetOf(bytes, at) + int32(bytes, at + lastOffsetDeltaAt) + 1;

/**
 * In ms; the largest number where the header does not say (§2.3: a producer may leave it unset), so that a look-up by
 * time never passes over the batch.
 */
export function maxTimestampOf(bytes: Uint8Array, at: number): number {
  const high = int32(bytes, at + maxTimestampAt);
  const low = int32(bytes, at + maxTimestampAt + 4) >>> 0;
  return high < 0 || high >= 0x20_0000 ? Number.MAX_SAFE_INTEGER : high * 0x1_0000_0000 + low;
}

const int32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 24) |
  ((bytes[at + 1] as number) << 16) |
  ((bytes[at + 2] as number) << 8) |
  (bytes[at + 3] as number);
