/** Record batches for tests that need them whole, stamped, or wrong in one place. */
import { BatchBuilder, crc32c, draftOf, unstamped } from '@sluice/record';
import type { BatchStamp } from '@sluice/record';

/** Byte positions of record batch v2 (docs/reference/record-batch.md), as another implementation would write them. */
export const at = {
  baseOffset: 0,
  length: 8,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
  records: 61,
} as const;

/** One batch with a record for each value. */
export function batchOf(values: readonly string[], stamp: BatchStamp = unstamped): Uint8Array {
  const builder = new BatchBuilder();
  const timestamp = Date.now();
  for (const value of values) builder.append(draftOf({ timestamp, key: null, value: Buffer.from(value), headers: [] }));
  return builder.build(stamp);
}

/** A copy that was changed and sealed again: its CRC is right, what it says is not. */
export function resealed(batch: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = Uint8Array.from(batch);
  const view = new DataView(copy.buffer);
  change(view);
  view.setUint32(at.crc, crc32c(copy.subarray(at.attributes)));
  return copy;
}
