/**
 * How far this replica answers for its log (D6). With `fsync` that is its durable end. With `replicated` it is the end in
 * memory, as far as `Unsynced` allows: soon the disk is waited for again, so that what a power cut can take is bounded.
 */
import type { Offset } from '@sluice/base';
import { smaller } from './replica-state.ts';
import type { ReplicaState } from './replica-state.ts';
import type { Appended } from './unsynced.ts';

/** The log took a batch. True when it is acked at once. */
export function ackAppended(state: ReplicaState, appended: Appended): boolean {
  if (!acksFromMemory(state)) return false;
  state.unsynced.appended(appended, state.nowMs);
  return raiseFromMemory(state);
}

export function ackDurable(state: ReplicaState): void {
  if (state.ackEnd < state.durableEnd) state.ackEnd = state.durableEnd;
  if (!acksFromMemory(state)) return;
  state.unsynced.durable(state.durableEnd);
  raiseFromMemory(state);
}

export function ackTruncated(state: ReplicaState, to: Offset): void {
  state.ackEnd = smaller(state.ackEnd, to);
  state.unsynced.truncated(to);
  state.unsynced.durable(state.durableEnd);
}

/** The log begins anew at `to`; nothing of it counts until that is durable. */
export function ackRestarted(state: ReplicaState, to: Offset): void {
  state.ackEnd = state.durableEnd;
  if (acksFromMemory(state)) state.unsynced.restarted(to, state.nowMs);
}

export const acksFromMemory = (state: ReplicaState): boolean => state.assignment?.durability === 'replicated';

function raiseFromMemory(state: ReplicaState): boolean {
  const end = state.unsynced.newlyAcked(state.nowMs);
  if (end === undefined || end <= state.ackEnd) return false;
  state.ackEnd = end;
  return true;
}
