/**
 * Counts a producer's own record of acks against what was read back. Pure.
 *
 * Records carry ids that grow in the order of sending, so a partition holds growing ids at growing offsets, each once,
 * and every acked id at the offset it was acked with.
 */
export interface PlacedRecord {
  /** From 0, in the order of sending. */
  readonly id: number;
  readonly partition: number;
  readonly offset: number;
}

export interface Verdict {
  readonly acked: number;
  readonly consumed: number;
  /** Acked and never read. */
  readonly lost: number;
  /** Read again after the first time. */
  readonly duplicated: number;
  /** Read after a later one of its partition, or at another place than it was acked with. */
  readonly reordered: number;
  /** Read and never sent. */
  readonly unexpected: number;
}

/** `consumed` in the order of reading; `sent` is the number of ids given out. */
export function verdict(acked: readonly PlacedRecord[], consumed: readonly PlacedRecord[], sent: number): Verdict {
  const firsts = new Map<number, PlacedRecord>();
  const ends = new Map<number, { id: number; offset: number }>();
  let duplicated = 0;
  let reordered = 0;
  let unexpected = 0;
  for (const record of consumed) {
    if (!(Number.isInteger(record.id) && record.id >= 0 && record.id < sent)) unexpected += 1;
    if (firsts.has(record.id)) {
      duplicated += 1;
      continue;
    }
    firsts.set(record.id, record);
    const end = ends.get(record.partition);
    if (end !== undefined && (record.id < end.id || record.offset <= end.offset)) reordered += 1;
    else ends.set(record.partition, { id: record.id, offset: record.offset });
  }
  let lost = 0;
  for (const record of acked) {
    const read = firsts.get(record.id);
    if (read === undefined) lost += 1;
    else if (read.partition !== record.partition || read.offset !== record.offset) reordered += 1;
  }
  return { acked: acked.length, consumed: consumed.length, lost, duplicated, reordered, unexpected };
}

/** Nothing acked is missing, nothing is there twice, out of order or out of nowhere, and there was something to count. */
export const isClean = ({ acked, lost, duplicated, reordered, unexpected }: Verdict): boolean =>
  acked > 0 && lost + duplicated + reordered + unexpected === 0;
