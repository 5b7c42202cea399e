import type { Offset } from '@sluice/base';
import { baseOffsetOf, readBatchHeader, withoutOffsetsBelow } from '@sluice/record';

/**
 * What was read of a log, to begin at `from`. A follower stands at a boundary of the batches as they were before
 * compaction, and an empty batch of this log may reach over it: it is cut there, and continues the follower's log.
 */
export function batchesFrom(batches: readonly Uint8Array[], from: Offset): readonly Uint8Array[] {
  const [first, ...others] = batches;
  if (first === undefined || baseOffsetOf(first, 0) >= from) return batches;
  const read = readBatchHeader(first);
  if (!read.ok) return batches;
  const { batchBytes } = read.value;
  const cut = withoutOffsetsBelow(first.subarray(0, batchBytes), read.value, from);
  return [cut, ...(batchBytes < first.byteLength ? [first.subarray(batchBytes)] : []), ...others];
}
