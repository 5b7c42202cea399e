/**
 * Where the state snapshots of one log lie, oldest first: the last few that files hold of it.
 *
 * Kept by `LogIndex`, by the same rows and footers as everything else of the log, so that one which speaks of bytes that
 * were cut away is forgotten with them. Pure: a change makes another list.
 *
 * K1 A snapshot is true of the log as it is while its offset is at or below the log's end, and nothing was cut below it.
 * K2 It is taken of what was appended, durable or not: its offset may lie past the end that its own footer tells. A crash
 *    may leave it there. Recovery then forgets it durably, before other bytes can take those offsets.
 * K3 One below the log's start is of no use: batches between the two are gone, and it does not know of them.
 */
import type { Section } from './section.ts';

export interface SnapshotPlace {
  readonly fileId: number;
  readonly offset: number;
  readonly section: Section;
}

export type SnapshotPlaces = readonly SnapshotPlace[];

/** Shared by all logs that have none. */
export const noPlaces: SnapshotPlaces = [];

/** Of those that the log has reached: the newest, and one for when the log is cut below it. */
const reachedMax = 2;
/** Of those past its end, which only a crash or what is on its way leaves there. */
const aheadMax = 2;

/** With those of one more file, in order of offsets, when the log ends at `end`. */
export function withNewer(places: SnapshotPlaces, newer: SnapshotPlaces, end: number): SnapshotPlaces {
  const [first] = newer;
  if (first === undefined) return places;
  const last = places.at(-1);
  // By far the most: one more, and the log has reached them all.
  if (newer.length === 1 && first.offset <= end && (last === undefined || last.offset < first.offset)) {
    return last === undefined ? newer : [last, first];
  }
  const all = [...places.filter((place) => place.offset < first.offset), ...newer];
  return [...reached(all, end).slice(-reachedMax), ...ahead(all, end).slice(0, aheadMax)];
}

/** After the log was cut at `to`. */
export const placesUpTo = (places: SnapshotPlaces, to: number): SnapshotPlaces =>
  kept(places, (place) => place.offset <= to);

/** After the log's start moved to `start`. */
export const placesFrom = (places: SnapshotPlaces, start: number): SnapshotPlaces =>
  kept(places, (place) => place.offset >= start);

/** What a file that stands for others takes over: the newest that is of use, and those that may come to be. */
export const carriedPlaces = (places: SnapshotPlaces, end: number): SnapshotPlaces => [
  ...reached(places, end).slice(-1),
  ...ahead(places, end),
];

/** Those in files that are gone lie in the file that took them over, or nowhere. */
export function movedPlaces(places: SnapshotPlaces, gone: ReadonlySet<number>, taken: SnapshotPlaces): SnapshotPlaces {
  if (!places.some((place) => gone.has(place.fileId))) return places;
  return places.flatMap((place) => {
    if (!gone.has(place.fileId)) return [place];
    return taken.filter(({ offset }) => offset === place.offset);
  });
}

const reached = (places: SnapshotPlaces, end: number): SnapshotPlaces => places.filter((place) => place.offset <= end);
const ahead = (places: SnapshotPlaces, end: number): SnapshotPlaces => places.filter((place) => place.offset > end);

function kept(places: SnapshotPlaces, keep: (place: SnapshotPlace) => boolean): SnapshotPlaces {
  if (places.every(keep)) return places;
  const left = places.filter(keep);
  return left.length === 0 ? noPlaces : left;
}
