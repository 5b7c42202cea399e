/**
 * Judges a history (see `history`): one pure function for simulated and for real clusters.
 *
 * - C1: *invalid* with every anomaly found, the one that takes the fewest lines to show first.
 * - C2: *unknown* when nothing is wrong and the run did not exercise what was asked of it: too few acks, a fault that
 *   never came, nothing in doubt, a partition that nobody read in the end. Such a run proves nothing.
 * - C3: one pass and sorting: a million operations take seconds. Only admin requests are searched, object by object.
 */
import { anomaly } from './anomaly.ts';
import type { Anomaly } from './anomaly.ts';
import { controllerAnomalies } from './check-controller.ts';
import { partitionAnomalies } from './check-partition.ts';
import { sessionAnomalies } from './check-sessions.ts';
import { HistoryBook } from './history-book.ts';
import type { HistoryLine } from './history.ts';

/** What a run must have exercised to prove anything. */
export interface Requirements {
  readonly ackedMin: number;
  /** Kinds of faults of which each must have come. */
  readonly faults: readonly string[];
  /** Operations whose outcome nobody knows. */
  readonly inDoubtMin: number;
}

export interface Judgement {
  readonly verdict: 'valid' | 'invalid' | 'unknown';
  readonly anomalies: readonly Anomaly[];
  /** Why the verdict is unknown. */
  readonly missing: readonly string[];
  readonly counts: {
    readonly sent: number;
    readonly acked: number;
    readonly ok: number;
    readonly failed: number;
    readonly inDoubt: number;
    readonly read: number;
    readonly faults: Readonly<Record<string, number>>;
  };
}

export const nothingRequired: Requirements = { ackedMin: 0, faults: [], inDoubtMin: 0 };

export function checkHistory(lines: Iterable<HistoryLine>, requirements: Requirements): Judgement {
  const book = new HistoryBook(lines);
  const controller = controllerAnomalies(book);
  const anomalies: Anomaly[] = [
    ...book.malformed.map((line) => anomaly('malformed-history', 'a line that no history of ours has', [line])),
    ...[...book.partitions.values()].flatMap((partition) => partitionAnomalies(book, partition)),
    ...sessionAnomalies(book),
    ...controller.anomalies,
  ].toSorted((one, other) => one.lines.length - other.lines.length);
  const missing = [...missingOf(book, requirements), ...controller.undecided];
  const verdict = anomalies.length > 0 ? 'invalid' : missing.length > 0 ? 'unknown' : 'valid';
  return { verdict, anomalies, missing, counts: countsOf(book) };
}

function missingOf(book: HistoryBook, { ackedMin, faults, inDoubtMin }: Requirements): readonly string[] {
  const missing: string[] = [];
  const acked = book.acked.length;
  if (acked < ackedMin) missing.push(`${acked} records were acked, ${ackedMin} are asked for`);
  for (const kind of faults) if (!book.faults.has(kind)) missing.push(`there was no fault of kind ${kind}`);
  const inDoubt = inDoubtOf(book);
  if (inDoubt < inDoubtMin) missing.push(`${inDoubt} operations were in doubt, ${inDoubtMin} are asked for`);
  for (const { topic, partition, seen, finals } of book.partitions.values()) {
    if (seen.length > 0 && finals.length === 0) missing.push(`nobody read ${topic}/${partition} in the end`);
  }
  return missing;
}

/** Answered `info`, or not at all. */
function inDoubtOf(book: HistoryBook): number {
  const operations = [...book.sends, ...[...book.admins.values()].flat()];
  return operations.filter(({ outcome }) => outcome === undefined || outcome.line.event === 'info').length;
}

function countsOf(book: HistoryBook): Judgement['counts'] {
  let read = 0;
  for (const { polls, finals } of book.partitions.values()) {
    for (const { answer } of [...polls, ...finals]) read += answer.offsets?.length ?? 0;
  }
  return {
    sent: book.sends.length,
    acked: book.acked.length,
    ok: book.outcomes.ok,
    failed: book.outcomes.fail,
    inDoubt: inDoubtOf(book),
    read,
    faults: Object.fromEntries([...book.faults].toSorted(([one], [other]) => (one < other ? -1 : 1))),
  };
}
