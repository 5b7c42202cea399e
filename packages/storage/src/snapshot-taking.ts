/**
 * Asks the owners of logs for state snapshots, for the footer of the file that is finished.
 *
 * There may be thousands of them, and appends go on meanwhile: they are taken a slice at a time. One that is taken early is
 * as true as one that is taken late (K2). What a footer holds of them is bounded; where it is too much, logs take turns.
 */
import { type Clock, laterTurn, type LogId } from '@sluice/base';
import type { LogIndex } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';

/** Until other work gets its turn. */
const sliceMsMax = 5;
/** Of one footer, which is made in memory. */
export const snapshotBytesMax = 32 * 1024 * 1024;

export interface SnapshotTaking {
  readonly snapshotOf: (id: LogId) => StateSnapshot | undefined;
  readonly clock: Clock;
  /** Decides who is asked first. */
  readonly fileId: number;
}

export async function takeSnapshots(
  indexes: readonly LogIndex[],
  { snapshotOf, clock, fileId }: SnapshotTaking,
): Promise<ReadonlyMap<LogIndex, StateSnapshot>> {
  const taken = new Map<LogIndex, StateSnapshot>();
  const first = Math.floor(indexes.length * ((fileId * 0.618) % 1));
  let bytes = 0;
  let sliceEndMs = clock.monotonicMs() + sliceMsMax;
  for (const index of [...indexes.slice(first), ...indexes.slice(0, first)]) {
    const snapshot = snapshotOf(index.id);
    if (snapshot !== undefined && bytes + snapshot.bytes.length <= snapshotBytesMax) {
      taken.set(index, snapshot);
      bytes += snapshot.bytes.length;
    }
    if (clock.monotonicMs() < sliceEndMs) continue;
    await laterTurn(clock);
    sliceEndMs = clock.monotonicMs() + sliceMsMax;
  }
  return taken;
}
