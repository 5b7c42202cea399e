/**
 * D13: the one ISR change in flight, from the question to what became of it.
 *
 * Q1 Until that is known, whoever is a member before it or by it counts (D11): none is rolled back on a time-out.
 * Q2 That one copy was refused says nothing of an earlier one that was never answered: it may still be on its way, and
 *    be taken once its member is eligible again. So a change of which there may be such copies is withdrawn: the
 *    committed ISR is proposed anew, which raises the partition epoch, and no copy is of that epoch.
 */
import type { NodeId } from '@sluice/base';
import type { EffectsDraft } from './effects-draft.ts';
import type { IsrMember, IsrProposalReason } from './effects.ts';
import type { IsrChangeOutcome, IsrChangeResultEvent } from './events.ts';
import { assignmentOf } from './replica-state.ts';
import type { LeaderRole, PendingIsrChange, ReplicaState } from './replica-state.ts';

export function propose(
  state: ReplicaState,
  leader: LeaderRole,
  change: { readonly isr: readonly NodeId[]; readonly reason: 'expand' | 'shrink' | 'slow' },
  fx: EffectsDraft,
): void {
  const members = membersOf(state, change.isr, (nodeId) => leader.followers.get(nodeId)?.statedEpoch);
  // Not known yet: metadata that names it is on its way.
  if (members === undefined) return;
  const { partitionEpoch } = assignmentOf(state);
  leader.pendingIsr = { isr: change.isr, members, partitionEpoch, phase: 'asked', copies: 0, withdrawn: false };
  ask(leader, leader.pendingIsr, { members, reason: change.reason }, fx);
}

/** The answer to the proposal that is in flight; any other is about a state that has moved on. */
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
    if (pending.withdrawn) postponeExpansion(state, leader);
    adopt(state, outcome, fx);
    leader.pendingIsr = undefined;
    return 'applied';
  }
  // Leadership moved with the change: what follows from it is for the next leader, and metadata says so.
  const verdict = outcome.kind === 'applied' ? 'awaitingMetadata' : verdictOn(outcome, pending);
  fx.note({ kind: 'isrProposalEnded', outcome: verdict });
  switch (verdict) {
    case 'rolledBack':
      leader.pendingIsr = undefined;
      postponeExpansion(state, leader);
      break;
    case 'withdrawn':
      pending.withdrawn = true;
      askAgain(state, leader, pending, fx);
      break;
    case 'retrying':
      pending.phase = 'retry';
      break;
    case 'awaitingMetadata':
      pending.phase = 'awaitingMetadata';
  }
  return 'unchanged';
}

export function maybeRetryProposal(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  const pending = leader.pendingIsr;
  if (pending?.phase === 'retry') askAgain(state, leader, pending, fx);
}

type Verdict = 'rolledBack' | 'withdrawn' | 'awaitingMetadata' | 'retrying';

function verdictOn(outcome: IsrChangeOutcome & { kind: 'failed' }, pending: PendingIsrChange): Verdict {
  switch (outcome.error) {
    // The one error by which the controller asserts that nothing was changed, and will not be by the copy that it answers.
    case 'INELIGIBLE_REPLICA':
      // Of the committed members one has a later life: metadata that names it is on its way.
      if (pending.withdrawn) return 'retrying';
      return pending.copies === 1 ? 'rolledBack' : 'withdrawn';
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
 * its partition epoch. One that is withdrawn claims nothing of anybody, so there the epochs are those of today.
 */
function askAgain(state: ReplicaState, leader: LeaderRole, pending: PendingIsrChange, fx: EffectsDraft): void {
  if (!pending.withdrawn) return ask(leader, pending, { members: pending.members, reason: 'retry' }, fx);
  const members = membersOf(state, assignmentOf(state).isr, () => undefined);
  if (members === undefined) pending.phase = 'retry';
  else ask(leader, pending, { members, reason: 'withdraw' }, fx);
}

function ask(
  leader: LeaderRole,
  pending: PendingIsrChange,
  question: { readonly members: readonly IsrMember[]; readonly reason: IsrProposalReason },
  fx: EffectsDraft,
): void {
  const { members, reason } = question;
  pending.phase = 'asked';
  pending.copies += 1;
  fx.isrChange = { leaderEpoch: leader.epoch, partitionEpoch: pending.partitionEpoch, isr: members };
  fx.note({ kind: 'isrProposed', isr: members.map((member) => member.nodeId), reason });
}

/** Undefined while the broker epoch of one is not known. */
function membersOf(
  state: ReplicaState,
  isr: readonly NodeId[],
  statedBy: (nodeId: NodeId) => IsrMember['statedEpoch'] | undefined,
): readonly IsrMember[] | undefined {
  const { replicas, partitionEpoch } = assignmentOf(state);
  const members: IsrMember[] = [];
  for (const nodeId of isr) {
    const brokerEpoch = replicas.find((one) => one.nodeId === nodeId)?.brokerEpoch;
    if (brokerEpoch === undefined) return undefined;
    members.push({ nodeId, brokerEpoch, statedEpoch: statedBy(nodeId) ?? partitionEpoch });
  }
  return members;
}

/** A member was refused: not asked for again at once. */
function postponeExpansion(state: ReplicaState, leader: LeaderRole): void {
  leader.expandNotBeforeMs = state.nowMs + state.config.replicaLagMsMax / 2;
}
