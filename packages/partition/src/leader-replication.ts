/** Followers at the leader: positions, acks, and their end (§2.2). */
import { offset } from '@sluice/base';
import type { ErrorCode, LeaderEpoch, NodeId, Offset, SessionNumber } from '@sluice/base';
import { acksFromMemory } from './ack-end.ts';
import type { EffectsDraft } from './effects-draft.ts';
import type { FollowerAckEvent, FollowerGoneEvent, FollowerPositionEvent } from './events.ts';
import { maybeAdvanceHighWatermark } from './high-watermark.ts';
import { maybeExpand } from './isr.ts';
import { assignmentOf, smaller } from './replica-state.ts';
import type { FollowerProgressState, LeaderRole, ReplicaState } from './replica-state.ts';
import { maybeAnswerTrims } from './trim.ts';

export function onFollowerPosition(state: ReplicaState, event: FollowerPositionEvent, fx: EffectsDraft): void {
  const { assignment, earlyPositions } = state;
  if (!earlyPositions.replace(event)) return fx.dropped('followerPosition', 'an older session');
  // §2.2 would answer UNKNOWN_LEADER_EPOCH.
  if (assignment === undefined || event.leaderEpoch > assignment.leaderEpoch) earlyPositions.keep(event);
  else judge(state, event, fx);
}

/** Metadata has come: what waited for it is answered, by whatever this replica is now. */
export function judgeEarlyPositions(state: ReplicaState, fx: EffectsDraft): void {
  for (const event of state.earlyPositions.take(assignmentOf(state).leaderEpoch)) judge(state, event, fx);
}

/** The checks are in the order of §2.2; a position that is not on this log changes no follower state but its session. */
function judge(state: ReplicaState, event: FollowerPositionEvent, fx: EffectsDraft): void {
  const leader = state.role;
  if (leader.kind !== 'leader') return refuse(state, event, 'NOT_LEADER', fx);
  if (event.leaderEpoch < leader.epoch) return refuse(state, event, 'FENCED_LEADER_EPOCH', fx);
  const replica = assignmentOf(state).replicas.find((one) => one.nodeId === event.replica);
  if (replica === undefined || event.replica === state.self) return refuse(state, event, 'UNKNOWN_LEADER_EPOCH', fx);
  if (event.brokerEpoch < (replica.brokerEpoch ?? 0)) return refuse(state, event, 'STALE_BROKER_EPOCH', fx);
  const known = leader.followers.get(event.replica);
  if (known !== undefined && isStale(known, event)) return fx.dropped('followerPosition', 'an older session');

  const follower = beginSession(leader, event, fx);
  if (event.fetchOffset < state.logStart) return refuse(state, event, 'OFFSET_OUT_OF_RANGE', fx);
  if (event.lastEpoch === undefined) {
    // An empty log has no prefix that could differ; it only must begin within this one.
    if (event.fetchOffset > state.logEnd) return refuse(state, event, 'OFFSET_OUT_OF_RANGE', fx);
  } else {
    // Where the logs part was trimmed away: §2.2 would name an offset there, and nothing shows that what lies before is shared.
    if (event.lastEpoch < (state.epochs.oldest ?? 0)) {
      return diverge(event, { epoch: undefined, endOffset: state.logStart }, fx);
    }
    const here = state.epochs.endOffsetFor(event.lastEpoch, state.logEnd);
    if (here === undefined) return refuse(state, event, 'OFFSET_OUT_OF_RANGE', fx);
    if (here.epoch < event.lastEpoch || here.endOffset < event.fetchOffset) {
      return diverge(event, here, fx);
    }
  }
  follower.streaming = true;
  fx.pushTo({ to: event.replica, ...named(event), from: event.fetchOffset });
  // What it holds in memory beyond that its next ack says.
  follower.durable = smaller(event.durableOffset, event.fetchOffset);
  follower.acked = follower.durable;
  follower.ackedStart = event.durableStart;
  onProgress(state, leader, event.replica, fx);
}

function diverge(
  event: FollowerPositionEvent,
  answer: { readonly epoch: LeaderEpoch | undefined; readonly endOffset: Offset },
  fx: EffectsDraft,
): void {
  const { replica, fetchOffset } = event;
  fx.note({ kind: 'diverged', replica, fetchOffset, endOffset: answer.endOffset });
  fx.send({ kind: 'divergence', to: replica, ...named(event), ...answer });
}

export function onFollowerAck(state: ReplicaState, event: FollowerAckEvent, fx: EffectsDraft): void {
  const leader = state.role;
  if (leader.kind !== 'leader' || event.leaderEpoch !== leader.epoch) {
    return fx.dropped('followerAck', 'another leader epoch');
  }
  const follower = leader.followers.get(event.replica);
  if (follower?.session !== event.session || follower.brokerEpoch !== event.brokerEpoch || !follower.streaming) {
    return fx.dropped('followerAck', 'another session');
  }
  const { durableOffset, durableStart } = event;
  // What the topic promises decides, whatever the follower takes it for.
  const ackOffset = acksFromMemory(state) ? event.ackOffset : durableOffset;
  if (ackOffset > state.logEnd || durableOffset > ackOffset) {
    return fx.dropped('followerAck', 'past the end of the log');
  }
  // Acks are cumulative: an older one says nothing new.
  if (ackOffset < follower.acked || durableOffset < follower.durable || durableStart < follower.ackedStart) return;
  follower.acked = ackOffset;
  follower.durable = durableOffset;
  follower.ackedStart = durableStart;
  onProgress(state, leader, event.replica, fx);
}

/** What it acked stays true; that it is gone shows in its lag. */
export function onFollowerGone(state: ReplicaState, event: FollowerGoneEvent, fx: EffectsDraft): void {
  state.earlyPositions.forget(event);
  const leader = state.role;
  if (leader.kind !== 'leader') return;
  const follower = leader.followers.get(event.replica);
  if (follower?.session !== event.session || follower.brokerEpoch !== event.brokerEpoch) return;
  if (follower.streaming) fx.stopPushTo(event.replica);
  follower.streaming = false;
  // It may have been a joiner that the high watermark waited for.
  maybeAdvanceHighWatermark(state, leader, fx);
}

function onProgress(state: ReplicaState, leader: LeaderRole, replica: NodeId, fx: EffectsDraft): void {
  const follower = leader.followers.get(replica);
  if (follower === undefined) return;
  const caughtUpAtMs = follower.durable >= state.logEnd ? state.nowMs : leader.marks.newestPassed(follower.durable);
  follower.caughtUpAtMs = Math.max(follower.caughtUpAtMs, caughtUpAtMs);
  // A proposed member counts at once (D11), so propose before counting.
  maybeExpand(state, leader, replica, fx);
  maybeAdvanceHighWatermark(state, leader, fx);
  maybeAnswerTrims(state, leader, fx);
}

const isStale = (known: FollowerProgressState, event: FollowerPositionEvent): boolean =>
  event.brokerEpoch < known.brokerEpoch || (event.brokerEpoch === known.brokerEpoch && event.session <= known.session);

/** Voids what the session before pushed and acked, also when the new position is then refused. */
function beginSession(leader: LeaderRole, event: FollowerPositionEvent, fx: EffectsDraft): FollowerProgressState {
  const known = leader.followers.get(event.replica);
  if (known?.streaming === true) fx.stopPushTo(event.replica);
  const follower: FollowerProgressState = {
    brokerEpoch: event.brokerEpoch,
    session: event.session,
    statedEpoch: event.partitionEpoch,
    streaming: false,
    acked: offset(0),
    ackedStart: offset(0),
    durable: offset(0),
    caughtUpAtMs: known?.caughtUpAtMs ?? Number.NEGATIVE_INFINITY,
    // A process that is new is not blamed for the one before.
    ...(known?.brokerEpoch === event.brokerEpoch
      ? { costMs: known.costMs, leftForLag: known.leftForLag, steadySinceMs: known.steadySinceMs }
      : { costMs: 0, leftForLag: false, steadySinceMs: undefined }),
  };
  leader.followers.set(event.replica, follower);
  return follower;
}

function refuse(state: ReplicaState, event: FollowerPositionEvent, error: ErrorCode, fx: EffectsDraft): void {
  fx.send({ kind: 'refusal', to: event.replica, ...named(event), error, logStart: state.logStart });
}

/** Every answer names the position that it answers. */
const named = (event: FollowerPositionEvent): { leaderEpoch: LeaderEpoch; session: SessionNumber } => ({
  leaderEpoch: event.leaderEpoch,
  session: event.session,
});
