/** D9 to D11: who counts, who may join, who must leave. */
import type { NodeId } from '@sluice/base';
import type { EffectsDraft } from './effects-draft.ts';
import type { AssignedReplica } from './events.ts';
import { costsTooMuch, lagMs, lagsTooLong, noteLeft } from './follower-lag.ts';
import { propose } from './isr-proposal.ts';
import { assignmentOf } from './replica-state.ts';
import type { FollowerProgressState, LeaderRole, ReplicaState } from './replica-state.ts';

/** D11: committed members and proposed ones, until the controller has decided. */
export const inMaximalIsr = (state: ReplicaState, leader: LeaderRole, nodeId: NodeId): boolean =>
  assignmentOf(state).isr.includes(nodeId) || (leader.pendingIsr?.isr.includes(nodeId) ?? false);

/** Everybody who counts for the high watermark, in assignment order. */
export const maximalIsr = (state: ReplicaState, leader: LeaderRole): readonly NodeId[] =>
  assignmentOf(state)
    .replicas.map((replica) => replica.nodeId)
    .filter((nodeId) => inMaximalIsr(state, leader, nodeId));

/** The conditions of D9 that are not about offsets, and S3; the same broker epoch keeps out an earlier life of the node. */
export function mayJoin(state: ReplicaState, replica: AssignedReplica, follower: FollowerProgressState): boolean {
  const { isr, minIsr } = assignmentOf(state);
  if (follower.leftForLag && isr.length >= minIsr) return false;
  return follower.streaming && replica.eligible && replica.brokerEpoch === follower.brokerEpoch;
}

/** D9. */
export function maybeExpand(state: ReplicaState, leader: LeaderRole, nodeId: NodeId, fx: EffectsDraft): void {
  const assignment = assignmentOf(state);
  if (leader.pendingIsr !== undefined || assignment.isr.includes(nodeId)) return;
  if (state.nowMs < leader.expandNotBeforeMs) return;
  const replica = assignment.replicas.find((one) => one.nodeId === nodeId);
  const follower = leader.followers.get(nodeId);
  if (replica === undefined || follower === undefined || !mayJoin(state, replica, follower)) return;
  // Above the high watermark alone would not do: that of a new leader lags behind the truth (D4).
  if (follower.acked < state.highWatermark || follower.acked < leader.epochStart) return;
  // What a trim removed must not come back with a member that had not heard of it.
  if (follower.ackedStart < state.logStart) return;
  // It would leave at once, by D10, and come back: below `minIsr` whoever left by its lag holds all that is committed, and
  // where acks come from memory its disk may hang.
  if (lagMs(state, leader, follower) > state.config.replicaLagMsMax) return;
  propose(state, leader, { isr: [...assignment.isr, nodeId], reason: 'expand' }, fx);
}

export function maybeExpandAny(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  for (const nodeId of leader.followers.keys()) maybeExpand(state, leader, nodeId, fx);
}

/**
 * D10, by durable positions: a follower with a hung disk leaves too. Also below `minIsr`: nothing commits there (D1), so
 * whoever leaves stays complete, and the controller keeps its right to lead (D16). S2 never goes that far.
 */
export function maybeShrink(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  if (leader.pendingIsr !== undefined) return;
  const { isr, minIsr } = assignmentOf(state);
  const keptIf = (leaves: typeof lagsTooLong): readonly NodeId[] =>
    isr.filter((nodeId) => nodeId === state.self || !leaves(state, leader, nodeId));
  const inTime = keptIf(lagsTooLong);
  const isLate = inTime.length < isr.length;
  const kept = isLate ? inTime : keptIf(costsTooMuch);
  if (kept.length === isr.length || (!isLate && kept.length < minIsr)) return;
  for (const nodeId of isr) if (!kept.includes(nodeId)) noteLeft(leader, nodeId);
  propose(state, leader, { isr: kept, reason: isLate ? 'shrink' : 'slow' }, fx);
}
