/**
 * What several footers in a row add up to: pure. `composeLogs` of the summaries of one log, of files that follow each
 * other, is the summary of one file that did what they did together: replaying it changes an index as replaying them in
 * their order would. What the one file holds of the log is another matter: it comes from the live index.
 *
 * Undefined when they do not follow each other (X2): what lies between them was lost, and composing would hide that.
 */
import { type LogSummary, noSegment } from './log-index.ts';
import type { RaftSummary, StoredEntry } from './raft-index.ts';

export function composeLogs(before: LogSummary, after: LogSummary): LogSummary | undefined {
  if (!after.absolute && after.previousGroup !== before.lastGroup) return undefined;
  return {
    ...after,
    ...noSegment,
    previousGroup: before.previousGroup,
    absolute: before.absolute || after.absolute,
    keepBelow: lower(before.keepBelow, after.keepBelow),
  };
}

/** Of the summary alone; entries: `keptEntries`. */
export function composeRaft(before: RaftSummary, after: RaftSummary): RaftSummary | undefined {
  if (!after.absolute && after.previousGroup !== before.lastGroup) return undefined;
  return {
    ...after,
    previousGroup: before.previousGroup,
    absolute: before.absolute || after.absolute,
    keepBelow: lower(before.keepBelow, after.keepBelow),
    keepFrom: Math.max(before.keepFrom, after.keepFrom),
  };
}

/** Of the entries of earlier files, those that a later one leaves. */
export const keptEntries = <Entry extends Pick<StoredEntry, 'index'>>(
  entries: readonly Entry[],
  { keepBelow = Number.POSITIVE_INFINITY, keepFrom }: Pick<RaftSummary, 'keepBelow' | 'keepFrom'>,
): readonly Entry[] => entries.filter(({ index }) => index >= keepFrom && index < keepBelow);

/**
 * What the next part of a sorted set says of a log that goes on there. It follows what the part before says, and cuts
 * nothing away.
 */
export const continued = (summary: LogSummary): LogSummary => ({
  ...summary,
  ...noSegment,
  previousGroup: summary.lastGroup,
  absolute: false,
  keepBelow: undefined,
});

const lower = (one: number | undefined, other: number | undefined): number | undefined =>
  one === undefined || other === undefined ? (one ?? other) : Math.min(one, other);
