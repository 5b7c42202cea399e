/**
 * Batches without records: what compaction leaves where all of them went, so that the batches of a log still follow each
 * other without a gap. One without a producer says nothing but that its offsets are empty: neighbours of one leader epoch
 * are joined, and it may be cut anywhere.
 */
import { invariant } from '@sluice/base';
import type { BatchHeader } from './batch-header.ts';
import { offsetAfterBatch, writeInt64 } from './batch-header.ts';
import { crc32c } from './crc32c.ts';
import {
  baseOffsetAt,
  baseSequenceAt,
  baseTimestampAt,
  batchHeaderBytes,
  batchLengthAt,
  batchMagic,
  crcAt,
  crcStartAt,
  lastOffsetDeltaAt,
  leaderEpochAt,
  lengthPrefixBytes,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
} from './layout.ts';

export interface EmptySpan {
  readonly baseOffset: number;
  /** One past the last; at most 2^31 beyond `baseOffset`. */
  readonly endOffset: number;
  readonly leaderEpoch: number;
  readonly maxTimestamp: number;
}

/** Its last offset minus its first is a 32-bit number. */
export const emptySpanMax = 2 ** 31;

export const isEmptySpan = (header: BatchHeader): boolean =>
  header.recordCount === 0 && !header.control && header.producerId < 0;

export const emptySpanOf = (header: BatchHeader): EmptySpan => ({
  baseOffset: header.baseOffset,
  endOffset: offsetAfterBatch(header),
  leaderEpoch: header.leaderEpoch,
  maxTimestamp: header.maxTimestamp,
});

/** Both in one, or undefined when they must stay two: of different epochs, or too long. */
export function joinedSpan(first: EmptySpan, second: EmptySpan): EmptySpan | undefined {
  if (first.endOffset !== second.baseOffset || first.leaderEpoch !== second.leaderEpoch) return undefined;
  if (second.endOffset - first.baseOffset > emptySpanMax) return undefined;
  const maxTimestamp = Math.max(first.maxTimestamp, second.maxTimestamp);
  return { ...first, endOffset: second.endOffset, maxTimestamp };
}

export function emptyBatch(span: EmptySpan): Uint8Array {
  const { baseOffset, endOffset } = span;
  invariant(endOffset > baseOffset && endOffset - baseOffset <= emptySpanMax, 'an empty batch holds offsets', { span });
  const batch = new Uint8Array(batchHeaderBytes);
  const view = new DataView(batch.buffer);
  writeInt64(view, baseOffsetAt, baseOffset);
  view.setInt32(batchLengthAt, batchHeaderBytes - lengthPrefixBytes);
  view.setInt32(leaderEpochAt, span.leaderEpoch);
  view.setInt8(magicAt, batchMagic);
  view.setInt32(lastOffsetDeltaAt, endOffset - baseOffset - 1);
  writeInt64(view, baseTimestampAt, -1);
  writeInt64(view, maxTimestampAt, span.maxTimestamp);
  writeInt64(view, producerIdAt, -1);
  view.setInt16(producerEpochAt, -1);
  view.setInt32(baseSequenceAt, -1);
  view.setUint32(crcAt, crc32c(batch.subarray(crcStartAt)));
  return batch;
}

/**
 * `batch`, cut to begin at `from` when it is an empty span that begins before; else as it is. A log that was compacted
 * has other boundaries than its copies, and only empty spans of it reach over one of theirs.
 */
export function withoutOffsetsBelow(batch: Uint8Array, header: BatchHeader, from: number): Uint8Array {
  const span = emptySpanOver(header, from);
  return span === undefined ? batch : emptyBatch({ ...span, baseOffset: from });
}

/** The same, cut to end at `to`. */
export function withoutOffsetsFrom(batch: Uint8Array, header: BatchHeader, to: number): Uint8Array {
  const span = emptySpanOver(header, to);
  return span === undefined ? batch : emptyBatch({ ...span, endOffset: to });
}

/** Undefined unless the batch is an empty span that begins before `at` and ends behind it. */
function emptySpanOver(header: BatchHeader, at: number): EmptySpan | undefined {
  const span = emptySpanOf(header);
  return span.baseOffset < at && span.endOffset > at && isEmptySpan(header) ? span : undefined;
}
