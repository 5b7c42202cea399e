/**
 * Which partition is compacted next: pure, asked by `Compaction`.
 *
 * G1. Below `cleanEnd` no key has two records. It is where the last pass ended; the start of the log when there was none
 *     in this life of the process, or when the log was cut since.
 * G2. A partition is worth a pass when what was appended since the last look is as much as what was there, or when a
 *     tombstone's horizon has passed.
 */
export interface CompactionState {
  readonly cleanEnd: number;
  /** How far the last pass looked: past `cleanEnd` when it found too little to remove. */
  readonly lookedEnd: number;
  /** The first delete horizon that is still to pass; `Infinity` when none is known. */
  readonly nextHorizonMs: number;
}

export interface CompactionCandidate {
  readonly state: CompactionState;
  readonly start: number;
  /** What lies below may be compacted. */
  readonly end: number;
  /** Bytes on the disk of what lies in the range. */
  readonly bytesIn: (from: number, to: number) => number;
}

/** Of the bytes that may be compacted, those that no pass has looked at. */
const dirtyRatioMin = 0.5;
/** Of the records that were looked at, those that gave way: fewer are not worth that all are written again. */
const garbageRatioMin = 0.2;

/** Undefined when a pass is not worth it; the more, the sooner. */
export function compactionWorth(candidate: CompactionCandidate, passedMs: number): number | undefined {
  const { state, start, end, bytesIn } = candidate;
  const isDue = state.nextHorizonMs <= passedMs && state.cleanEnd > start;
  const lookedEnd = Math.max(start, state.lookedEnd);
  if (end <= lookedEnd) return isDue ? dirtyRatioMin : undefined;
  const dirtyBytes = bytesIn(lookedEnd, end);
  const ratio = dirtyBytes / (dirtyBytes + bytesIn(start, lookedEnd));
  if (dirtyBytes > 0 && ratio >= dirtyRatioMin) return ratio;
  return isDue ? dirtyRatioMin : undefined;
}

/** Whether a look at all records of a log, of which so many gave way to newer ones, is reason to write it again. */
export const isWorthWriting = ({ records, keys }: { readonly records: number; readonly keys: number }): boolean =>
  records - keys >= records * garbageRatioMin && records > keys;
