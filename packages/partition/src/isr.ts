/** D9 to D13: who counts, who may join, who must leave; at most one change in flight. */
import type { NodeId } from '@sluice/base';
import { acksFromMemory } from './ack-end.ts';
import type { EffectsDraft } from './effects-draft.ts';
import type { IsrMember } from './effects.ts';
import type { AssignedReplica, IsrChangeResultEvent, IsrChangeOutcome } from './events.ts';
import { assignmentOf } from './replica-state.ts';
import type { FollowerProgressState, LeaderRole, PendingIsrChange, ReplicaState } from './replica-state.ts';

/** D11: committed members and proposed ones, until the controller has decided. */
export const inMaximalIsr = (state: ReplicaState, leader: LeaderRole, nodeId: NodeId): boolean =>
  assignmentOf(state).isr.includes(nodeId) || (leader.pendingIsr?.isr.includes(nodeId) ?? false);

/** Everybody who counts for the high watermark, in assignment order. */
export const maximalIsr = (state: ReplicaState, leader: LeaderRole): readonly NodeId[] =>
  assignmentOf(state)
    .replicas.map((replica) => replica.nodeId)
    .filter((nodeId) => inMaximalIsr(state, leader, nodeId));

/** The conditions of D9 that are not about offsets; the same broker epoch keeps out an earlier life of the node. */
export const mayJoin = (replica: AssignedReplica, follower: FollowerProgressState): boolean =>
  follower.streaming && replica.eligible && replica.brokerEpoch === follower.brokerEpoch;

/** How long the durable end of the follower has not been at the log's end, as far as this leader was looking. */
export function lagMs(state: ReplicaState, leader: LeaderRole, follower: FollowerProgressState): number {
  if (follower.durable >= state.logEnd) return 0;
  const caughtUpAtMs = Math.max(follower.caughtUpAtMs, leader.marks.newestPassed(follower.durable));
  return state.nowMs - caughtUpAtMs;
}

/** D9. */
export function maybeExpand(state: ReplicaState, leader: LeaderRole, nodeId: NodeId, fx: EffectsDraft): void {
  const assignment = assignmentOf(state);
  if (leader.pendingIsr !== undefined || assignment.isr.includes(nodeId)) return;
  if (state.nowMs < leader.expandNotBeforeMs) return;
  const replica = assignment.replicas.find((one) => one.nodeId === nodeId);
  const follower = leader.followers.get(nodeId);
  if (replica === undefined || follower === undefined || !mayJoin(replica, follower)) return;
  // Above the high watermark alone would not do: that of a new leader lags behind the truth (D4).
  if (follower.acked < state.highWatermark || follower.acked < leader.epochStart) return;
  // What a trim removed must not come back with a member that had not heard of it.
  if (follower.ackedStart < state.logStart) return;
  // What it holds in memory lets it in only while its disk keeps up: else it would leave at once, by D10, and come back.
  if (acksFromMemory(state) && lagMs(state, leader, follower) > state.config.replicaLagMsMax) return;
  propose(state, leader, { isr: [...assignment.isr, nodeId], reason: 'expand' }, fx);
}

export function maybeExpandAny(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  for (const nodeId of leader.followers.keys()) maybeExpand(state, leader, nodeId, fx);
}

/**
 * D10, by durable positions: a follower with a hung disk leaves too. Never below `minIsr`: nothing commits there (D1), so
 * whoever is dropped would only lose its right to lead.
 */
export function maybeShrink(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  if (leader.pendingIsr !== undefined) return;
  const { isr, minIsr } = assignmentOf(state);
  const kept = isr.filter((nodeId) => nodeId === state.self || !lagsTooLong(state, leader, nodeId));
  if (kept.length < isr.length && kept.length >= minIsr) propose(state, leader, { isr: kept, reason: 'shrink' }, fx);
}

function lagsTooLong(state: ReplicaState, leader: LeaderRole, nodeId: NodeId): boolean {
  const follower = leader.followers.get(nodeId);
  const unwatchedMs = state.nowMs - leader.judgedFromMs;
  const lag = follower === undefined ? unwatchedMs : Math.min(lagMs(state, leader, follower), unwatchedMs);
  return lag > state.config.replicaLagMsMax;
}

/** D13: the answer to the proposal that is in flight; any other is about a state that has moved on. */
export function onIsrChangeResult(
  state: ReplicaState,
  leader: LeaderRole,
  event: IsrChangeResultEvent,
  fx: EffectsDraft,
): 'applied' | 'unchanged' {
  const pending = leader.pendingIsr;
  const { outcome } = event;
  if (event.leaderEpoch !== leader.epoch || pending?.partitionEpoch !== event.partitionEpoch) {
    fx.dropped('isrChangeResult', 'no such proposal');
    return 'unchanged';
  }
  if (outcome.kind === 'applied' && outcome.leaderEpoch === leader.epoch) {
    adopt(state, outcome, fx);
    leader.pendingIsr = undefined;
    return 'applied';
  }
  // Leadership moved with the change: what follows from it is for the next leader, and metadata says so.
  const verdict = outcome.kind === 'applied' ? 'awaitingMetadata' : verdictOn(outcome);
  if (verdict === 'rolledBack') {
    leader.pendingIsr = undefined;
    leader.expandNotBeforeMs = state.nowMs + state.config.replicaLagMsMax / 2;
  } else {
    pending.phase = verdict === 'retrying' ? 'retry' : 'awaitingMetadata';
  }
  fx.note({ kind: 'isrProposalEnded', outcome: verdict });
  return 'unchanged';
}

/** Metadata that came first has ended the proposal already, so the answer is newer than what is known. */
function adopt(
  state: ReplicaState,
  { isr, partitionEpoch }: IsrChangeOutcome & { kind: 'applied' },
  fx: EffectsDraft,
): void {
  const assignment = assignmentOf(state);
  // As the controller does (D16).
  const left = [...assignment.elr, ...assignment.isr].filter((nodeId) => !isr.includes(nodeId));
  const elr = isr.length < assignment.minIsr ? left : [];
  state.assignment = { ...assignment, isr, elr, partitionEpoch };
  fx.note({ kind: 'isr', isr, partitionEpoch });
}

/**
 * The very same proposal again, with the broker epochs of the first: those of today may be of later lives, which acked
 * nothing of what the members were proposed for (KAFKA-14617). If the lost one was applied, the controller says so by
 * its partition epoch.
 */
export function maybeRetryProposal(leader: LeaderRole, fx: EffectsDraft): void {
  const pending = leader.pendingIsr;
  if (pending?.phase === 'retry') ask(leader, pending, 'retry', fx);
}

function verdictOn(outcome: IsrChangeOutcome & { kind: 'failed' }): 'rolledBack' | 'awaitingMetadata' | 'retrying' {
  switch (outcome.error) {
    // The one error by which the controller asserts that nothing was changed and will not be.
    case 'INELIGIBLE_REPLICA':
      return 'rolledBack';
    // An earlier copy of the proposal, or a new leader: metadata will tell.
    case 'INVALID_UPDATE_VERSION':
    case 'FENCED_LEADER_EPOCH':
    case 'NOT_LEADER':
    case 'STALE_BROKER_EPOCH':
    case 'UNKNOWN_TOPIC':
    case 'UNKNOWN_PARTITION':
    case 'INVALID_REQUEST':
      return 'awaitingMetadata';
    default:
      return 'retrying';
  }
}

function propose(
  state: ReplicaState,
  leader: LeaderRole,
  change: { readonly isr: readonly NodeId[]; readonly reason: 'expand' | 'shrink' },
  fx: EffectsDraft,
): void {
  const assignment = assignmentOf(state);
  const { partitionEpoch } = assignment;
  const members: IsrMember[] = [];
  for (const nodeId of change.isr) {
    const brokerEpoch = assignment.replicas.find((one) => one.nodeId === nodeId)?.brokerEpoch;
    // Not known yet: metadata that names it is on its way.
    if (brokerEpoch === undefined) return;
    const statedEpoch = leader.followers.get(nodeId)?.statedEpoch ?? partitionEpoch;
    members.push({ nodeId, brokerEpoch, statedEpoch });
  }
  leader.pendingIsr = { isr: change.isr, members, partitionEpoch, phase: 'asked' };
  ask(leader, leader.pendingIsr, change.reason, fx);
}

function ask(
  leader: LeaderRole,
  pending: PendingIsrChange,
  reason: 'expand' | 'shrink' | 'retry',
  fx: EffectsDraft,
): void {
  pending.phase = 'asked';
  fx.isrChange = { leaderEpoch: leader.epoch, partitionEpoch: pending.partitionEpoch, isr: pending.members };
  fx.note({ kind: 'isrProposed', isr: pending.isr, reason });
}
