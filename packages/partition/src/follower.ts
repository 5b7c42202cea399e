/** The replica as follower: positions, pushes, divergence (§2.3). */
import { sessionNumber } from '@sluice/base';
import type { LeaderEpoch, Offset, SessionNumber } from '@sluice/base';
import { ackAppended, ackRestarted, ackTruncated, acksFromMemory } from './ack-end.ts';
import type { EffectsDraft } from './effects-draft.ts';
import type { BatchFacts, DivergedEvent, PositionRefusedEvent, PushedEvent } from './events.ts';
import { raiseHighWatermark } from './high-watermark.ts';
import { assignmentOf, larger, smaller } from './replica-state.ts';
import type { FollowerRole, ReplicaState } from './replica-state.ts';
import { trimLog } from './trim.ts';

/** D7: a new session, with the end of the log and its last epoch. Voids all that the session before may still bring. */
export function statePosition(state: ReplicaState, follower: FollowerRole, fx: EffectsDraft): void {
  if (state.producers.reloadNeeded) {
    follower.phase = 'reloading';
    return;
  }
  state.lastSession = sessionNumber(state.lastSession + 1);
  follower.session = state.lastSession;
  follower.phase = 'stated';
  follower.mayBeUnheard = false;
  fx.send({
    kind: 'position',
    to: follower.leader,
    leaderEpoch: follower.epoch,
    session: follower.session,
    fetchOffset: state.logEnd,
    durableOffset: state.durableEnd,
    durableStart: state.durableStart,
    partitionEpoch: assignmentOf(state).partitionEpoch,
    // What was trimmed away was the leader's too: an empty log has nothing that could differ.
    lastEpoch: state.logStart === state.logEnd ? undefined : state.epochs.latest,
  });
}

export function onPushed(state: ReplicaState, event: PushedEvent, fx: EffectsDraft): void {
  const follower = state.role;
  if (follower.kind !== 'follower' || !isOfSession(follower, event)) {
    return fx.dropped('pushed', 'another session');
  }
  const last = event.batches.at(-1);
  if (last !== undefined && last.endOffset > state.logEnd) {
    const flaw = flawIn(state, follower, event.batches);
    if (flaw !== undefined) {
      // Not used at all; at the next tick the leader is asked again from the end of the log.
      follower.phase = 'refused';
      return fx.dropped('pushed', flaw);
    }
    if (appendPushed(state, { batches: event.batches, endOffset: last.endOffset }, fx)) sendAck(state, follower, fx);
  }
  follower.phase = 'streaming';
  state.agreedEpoch = follower.epoch;
  if (follower.mayBeUnheard) sendAck(state, follower, fx);
  // D5. What was committed stays so: a new leader that knows less yet does not lower it.
  const highWatermark = smaller(event.highWatermark, state.logEnd);
  if (highWatermark > state.highWatermark) raiseHighWatermark(state, highWatermark, fx);
  const logStart = smaller(event.logStart, state.highWatermark);
  if (logStart > state.logStart) trimLog(state, logStart, fx);
}

/** D8: the log is cut by epochs alone, and nothing else is taken from the answer. */
export function onDiverged(state: ReplicaState, event: DivergedEvent, fx: EffectsDraft): void {
  const follower = state.role;
  if (follower.kind !== 'follower' || !isOfSession(follower, event)) {
    return fx.dropped('diverged', 'another session');
  }
  if (event.epoch === undefined) return beginAnew(state, follower, event.endOffset, fx);
  const here = state.epochs.endOffsetFor(event.epoch, state.logEnd);
  const shared =
    here === undefined || here.epoch !== event.epoch ? here?.endOffset : smaller(here.endOffset, event.endOffset);
  if (shared === undefined || shared >= state.logEnd) {
    follower.phase = 'refused';
    return fx.dropped('diverged', 'it leaves nothing to cut');
  }
  if (shared >= state.highWatermark) truncateLog(state, shared, fx);
  else if (mayTakeBack(state)) takeBack(state, shared, fx);
  else return failReplica(state, `truncation to ${shared} below the high watermark`, fx);
  statePosition(state, follower, fx);
}

/**
 * The leader trimmed all of the epochs that this log has: where they part lies below its start, which need be no batch
 * boundary here, and nothing shows that what lies before it is shared.
 */
function beginAnew(state: ReplicaState, follower: FollowerRole, leaderStart: Offset, fx: EffectsDraft): void {
  // As in `takeBack`, what lies below this log's start is gone in any case.
  const to = larger(leaderStart, state.logStart);
  if (leaderStart < state.highWatermark) {
    if (!mayTakeBack(state)) return failReplica(state, `restart at ${leaderStart} below the high watermark`, fx);
    lowerHighWatermark(state, to, fx);
  }
  restartLog(state, to, fx);
  statePosition(state, follower, fx);
}

export function onPositionRefused(state: ReplicaState, event: PositionRefusedEvent, fx: EffectsDraft): void {
  const follower = state.role;
  if (follower.kind !== 'follower' || !isOfSession(follower, event)) {
    return fx.dropped('positionRefused', 'another session');
  }
  if (event.error === 'OFFSET_OUT_OF_RANGE' && event.logStart >= state.logEnd) {
    restartLog(state, event.logStart, fx);
    return statePosition(state, follower, fx);
  }
  // The log of the leader ends below what was committed here: this one waits where that is legal (`takeBack`).
  if (event.error === 'OFFSET_OUT_OF_RANGE' && !mayTakeBack(state)) {
    return failReplica(state, `the leader has no log up to ${state.logEnd}, where this one ends`, fx);
  }
  follower.phase = event.error === 'FENCED_LEADER_EPOCH' ? 'fenced' : 'refused';
}

/** The leader counts it only while it pushes under this session. */
export function sendAck(state: ReplicaState, follower: FollowerRole, fx: EffectsDraft): void {
  if (follower.phase !== 'stated' && follower.phase !== 'streaming') return;
  follower.mayBeUnheard = follower.phase === 'stated';
  fx.ack = {
    to: follower.leader,
    leaderEpoch: follower.epoch,
    session: follower.session,
    ackOffset: state.ackEnd,
    durableOffset: state.durableEnd,
    durableStart: state.durableStart,
  };
}

/** Answers to a position are used once it is stated and until it is refused or voided by the next. */
function isOfSession(follower: FollowerRole, event: { leaderEpoch: LeaderEpoch; session: SessionNumber }): boolean {
  const { phase } = follower;
  return (
    event.leaderEpoch === follower.epoch &&
    event.session === follower.session &&
    (phase === 'stated' || phase === 'streaming')
  );
}

/**
 * Pushes continue the log without a gap, and epochs never go down along it. What an empty log begins with may contain its
 * start, which trims put anywhere.
 */
function flawIn(state: ReplicaState, follower: FollowerRole, batches: readonly BatchFacts[]): string | undefined {
  let end = state.logEnd;
  let epoch = state.epochs.latest ?? 0;
  const isEmpty = state.logStart === state.logEnd;
  for (const [at, batch] of batches.entries()) {
    const follows = batch.baseOffset === end || (isEmpty && at === 0 && batch.baseOffset < end);
    if (!follows || batch.endOffset <= end) return 'it does not continue the log';
    if (batch.leaderEpoch < epoch || batch.leaderEpoch > follower.epoch) return 'leader epochs out of order';
    end = batch.endOffset;
    epoch = batch.leaderEpoch;
  }
  return undefined;
}

/** True when some of it is acked at once. */
function appendPushed(
  state: ReplicaState,
  pushed: { readonly batches: readonly BatchFacts[]; readonly endOffset: Offset },
  fx: EffectsDraft,
): boolean {
  const baseOffset = state.logEnd;
  let leaderEpoch = state.epochs.latest;
  let isAcked = false;
  for (const batch of pushed.batches) {
    state.epochs.enter(batch.leaderEpoch, larger(batch.baseOffset, state.logStart));
    state.producers.record(batch, state.nowMs);
    leaderEpoch = batch.leaderEpoch;
    const { baseOffset: start, endOffset: end, bytes } = batch;
    if (ackAppended(state, { start, end, bytes })) isAcked = true;
  }
  state.logEnd = pushed.endOffset;
  if (leaderEpoch !== undefined)
    fx.change({ kind: 'append', baseOffset, endOffset: state.logEnd, leaderEpoch, generation: state.generation });
  return isAcked;
}

function truncateLog(state: ReplicaState, to: Offset, fx: EffectsDraft): void {
  const from = state.logEnd;
  state.generation += 1;
  state.logEnd = to;
  state.durableEnd = smaller(state.durableEnd, to);
  ackTruncated(state, to);
  state.epochs.truncateTo(to);
  state.producers.truncateTo(to);
  fx.change({ kind: 'truncate', to, generation: state.generation });
  fx.note({ kind: 'truncated', from, to });
  if (!state.producers.reloadNeeded) return;
  fx.reloadProducers = { generation: state.generation, logStart: state.logStart, logEnd: to };
}

/**
 * The leader may lack what was committed here, and it is known why: every in-sync replica stopped uncleanly, and had acked
 * from memory; or nobody complete was left, and the longest log leads that was found. This replica was not asked then, or
 * it led; and no leader since then has found this log to be a part of its own: what is committed after that stays.
 */
function mayTakeBack(state: ReplicaState): boolean {
  const { recoveredEpoch } = assignmentOf(state);
  return acksFromMemory(state) || (recoveredEpoch !== undefined && (state.agreedEpoch ?? -1) < recoveredEpoch);
}

/**
 * The one that leads now has not all that this one saw committed (`mayTakeBack`).
 * What lies below this log's start is gone here in any case, and is not what the leader has there: then it waits, empty and
 * with nothing derived, until the leader's log reaches there.
 */
function takeBack(state: ReplicaState, shared: Offset, fx: EffectsDraft): void {
  const to = larger(shared, state.logStart);
  lowerHighWatermark(state, to, fx);
  if (shared < state.logStart) restartLog(state, to, fx);
  else truncateLog(state, to, fx);
}

function lowerHighWatermark(state: ReplicaState, to: Offset, fx: EffectsDraft): void {
  fx.note({ kind: 'takenBack', from: state.highWatermark, to });
  state.highWatermark = to;
}

/**
 * What follows `intactEnd` goes, committed or not: others have it, and what was acked of it no longer counts. The high
 * watermark goes back.
 */
export function cutDamaged(state: ReplicaState, intactEnd: Offset, fx: EffectsDraft): void {
  const to = larger(intactEnd, state.logStart);
  if (to >= state.logEnd) return;
  state.highWatermark = smaller(state.highWatermark, to);
  truncateLog(state, to, fx);
}

/** All of the log goes. What the leader dropped below its start was committed. */
function restartLog(state: ReplicaState, to: Offset, fx: EffectsDraft): void {
  const from = state.logEnd;
  state.generation += 1;
  // Until the disk has the new start a crash brings the old log back. Up to where it ends it is as good as the new one: what
  // lies below is gone at the leader too. Beyond, it must not have counted as complete meanwhile.
  state.durableEnd = smaller(state.durableEnd, to);
  state.logStart = to;
  state.logEnd = to;
  ackRestarted(state, to);
  state.epochs.clear();
  state.producers.clear();
  if (to > state.highWatermark) raiseHighWatermark(state, to, fx);
  fx.change({ kind: 'restartAt', to, generation: state.generation });
  fx.note({ kind: 'restarted', from, to });
}

/**
 * Only an unclean election may take back what was committed; without one this log must not be touched under this leader.
 */
function failReplica(state: ReplicaState, reason: string, fx: EffectsDraft): void {
  const { assignment } = state;
  state.role = { kind: 'failed', reason };
  if (assignment !== undefined) {
    fx.note({ kind: 'role', role: 'failed', leaderEpoch: assignment.leaderEpoch, reason });
  }
}
