import type { BatchHeader } from './batch-header.ts';

/** Sequences of idempotent producers run from 0 to 2^31 − 1 and start again at 0. */
const sequenceCount = 0x8000_0000;

/** The sequence `count` records after `sequence`. */
export const sequenceAfter = (sequence: number, count: number): number => (sequence + count) % sequenceCount;

/** The sequence of the batch's last record; by offset delta, because compaction may have removed records. */
export const lastSequence = (header: Pick<BatchHeader, 'baseSequence' | 'lastOffsetDelta'>): number =>
  sequenceAfter(header.baseSequence, header.lastOffsetDelta);

/** What the producer's next batch must start with. */
export const nextSequence = (header: Pick<BatchHeader, 'baseSequence' | 'lastOffsetDelta'>): number =>
  sequenceAfter(header.baseSequence, header.lastOffsetDelta + 1);
