/** D1: how far the log is committed, and who may know it now. */
import { invariant } from '@sluice/base';
import type { Offset } from '@sluice/base';
import type { EffectsDraft } from './effects-draft.ts';
import { lagMs } from './follower-lag.ts';
import { inMaximalIsr, mayJoin } from './isr.ts';
import { assignmentOf, smaller } from './replica-state.ts';
import type { LeaderRole, ReplicaState } from './replica-state.ts';

/** The leader's own end moved: replies to who waits for it alone, and one part of what decides the high watermark. */
export function onLeaderAck(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  leader.awaitingLeader.take(state.ackEnd, (reply) => fx.succeed(reply.requestId, reply.baseOffset));
  maybeAdvanceHighWatermark(state, leader, fx);
}

/** Advances the leader's high watermark when every replica that counts answers for more. */
export function maybeAdvanceHighWatermark(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  const assignment = assignmentOf(state);
  // Strict minimum: below it the high watermark stands still, so that those who left stay complete (D16).
  if (assignment.isr.length < assignment.minIsr) return;
  // D6: this node counts with what it answers for, like everyone else.
  let committed = state.ackEnd;
  for (const replica of assignment.replicas) {
    if (replica.nodeId === state.self) continue;
    const follower = leader.followers.get(replica.nodeId);
    if (inMaximalIsr(state, leader, replica.nodeId)) {
      if (follower === undefined) return;
      committed = smaller(committed, follower.acked);
    } else if (
      // A joiner that keeps up is waited for: else it would chase a moving high watermark for ever.
      follower !== undefined &&
      mayJoin(state, replica, follower) &&
      lagMs(state, leader, follower) <= state.config.replicaLagMsMax
    ) {
      committed = smaller(committed, follower.acked);
    }
  }
  if (committed <= state.highWatermark) return;
  raiseHighWatermark(state, committed, fx);
  // One number decides acks and visibility (D3).
  leader.awaitingCommit.take(committed, (reply) => fx.succeed(reply.requestId, reply.baseOffset));
}

/** A new leader's high watermark lags behind what was committed under the one before (D4). */
export const knowsCommittedEnd = (state: ReplicaState, leader: LeaderRole): boolean =>
  state.highWatermark >= leader.epochStart;

export function raiseHighWatermark(state: ReplicaState, to: Offset, fx: EffectsDraft): void {
  invariant(to > state.highWatermark && to <= state.logEnd, 'T2: the high watermark goes up, within the log', {
    from: state.highWatermark,
    to,
    logEnd: state.logEnd,
  });
  state.highWatermark = to;
  fx.readable = to;
}
