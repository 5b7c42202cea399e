/** What metadata makes of this replica: leader, follower or neither (D4, D7, KAFKA-20634). */
import { invariant } from '@sluice/base';
import { CaughtUpMarks } from './caught-up-marks.ts';
import type { EffectsDraft } from './effects-draft.ts';
import type { AssignedEvent } from './events.ts';
import { cutDamaged, statePosition } from './follower.ts';
import { maybeAdvanceHighWatermark } from './high-watermark.ts';
import { maybeExpandAny } from './isr.ts';
import { failWaitingBelowMinIsr } from './leader-append.ts';
import { judgeEarlyPositions } from './leader-replication.ts';
import type { Assignment, LeaderRole, ReplicaState } from './replica-state.ts';
import { maybeAnswerTrims } from './trim.ts';
import { WaitingReplies } from './waiting-replies.ts';

/** How far back marks reach, in units of the lag that makes a follower leave. */
const marksSpanLags = 2;

export function onAssigned(state: ReplicaState, event: AssignedEvent, fx: EffectsDraft): void {
  const known = state.assignment;
  if (known !== undefined && (event.leaderEpoch < known.leaderEpoch || event.partitionEpoch < known.partitionEpoch)) {
    return fx.dropped('assigned', 'older than what is known');
  }
  invariant(
    known === undefined || event.leaderEpoch > known.leaderEpoch || event.leader === known.leader,
    'a leader epoch has one leader',
    { leaderEpoch: event.leaderEpoch, leader: event.leader, known: known?.leader },
  );
  const { leaderEpoch, partitionEpoch, isr, elr, minIsr } = event;
  invariant(isr.length < minIsr || elr.length === 0, 'D16: nobody is eligible beside an ISR of minIsr members', {
    isr,
    elr,
    minIsr,
  });
  state.assignment = assignmentIn(event);
  if (known === undefined || partitionEpoch > known.partitionEpoch) fx.note({ kind: 'isr', isr, partitionEpoch });
  // It failed under this leader. Another one may have the whole log, or be this very replica.
  const isNews = leaderEpoch > (known?.leaderEpoch ?? -1) || event.intactEnd !== undefined;
  if (state.role.kind !== 'failed' || isNews) takeRole(state, { event, known }, fx);
  judgeEarlyPositions(state, fx);
}

function assignmentIn(event: AssignedEvent): Assignment {
  const { leader, leaderEpoch, partitionEpoch, replicas, isr, elr, recoveredEpoch } = event;
  const { minIsr, durability, selfBrokerEpoch } = event;
  return {
    leader,
    leaderEpoch,
    partitionEpoch,
    replicas,
    isr,
    elr,
    recoveredEpoch,
    minIsr,
    durability,
    selfBrokerEpoch,
  };
}

function takeRole(
  state: ReplicaState,
  { event, known }: { readonly event: AssignedEvent; readonly known: Assignment | undefined },
  fx: EffectsDraft,
): void {
  const { role } = state;
  const { leaderEpoch } = event;
  const next = roleIn(state, event);
  const same = role.kind === next && (role.kind === 'idle' || role.epoch === leaderEpoch);
  if (!same && role.kind === 'leader') leaveLeadership(state, role, fx);
  if (event.intactEnd !== undefined) {
    invariant(next !== 'leader', 'E6: who leads cuts nothing', { leaderEpoch });
    cutDamaged(state, event.intactEnd, fx);
  }
  if (!same) enter(state, { role: next, event }, fx);
  else if (role.kind === 'follower' && (event.intactEnd !== undefined || isOutAnew(state, known))) {
    statePosition(state, role, fx);
  }
  if (state.role.kind === 'leader') onMetadataAtLeader(state, state.role, fx);
}

/** Who is out of the ISR states its position for each partition epoch: by an older one it might not join (E6). */
function isOutAnew({ self, assignment }: ReplicaState, before: Assignment | undefined): boolean {
  if (assignment === undefined || assignment.isr.includes(self)) return false;
  return assignment.partitionEpoch > (before?.partitionEpoch ?? -1);
}

/** The new ISR, liveness or broker epochs of the members, at the leader. */
export function onMetadataAtLeader(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  const { assignment } = state;
  if (assignment !== undefined && leader.pendingIsr !== undefined) {
    // Metadata past the proposal has decided it, whatever became of its answer (D13).
    if (assignment.partitionEpoch > leader.pendingIsr.partitionEpoch) leader.pendingIsr = undefined;
  }
  // First the high watermark: a member that was just dropped for its lag must not look complete before it moves.
  maybeAdvanceHighWatermark(state, leader, fx);
  maybeExpandAny(state, leader, fx);
  maybeAnswerTrims(state, leader, fx);
  failWaitingBelowMinIsr(state, leader, fx);
}

function roleIn(state: ReplicaState, event: AssignedEvent): 'leader' | 'follower' | 'idle' {
  const self = event.replicas.find((replica) => replica.nodeId === state.self);
  // Metadata from before this process registered speaks of an earlier life, whose tail may be lost.
  if (self === undefined || self.brokerEpoch !== event.selfBrokerEpoch || event.leader === undefined) return 'idle';
  if (event.leader !== state.self) return 'follower';
  // Having let go of an epoch once, it has failed the requests of that epoch; only a new one is a new start.
  return state.role.kind !== 'leader' && state.ledEpoch === event.leaderEpoch ? 'idle' : 'leader';
}

function enter(
  state: ReplicaState,
  entered: { readonly role: 'leader' | 'follower' | 'idle'; readonly event: AssignedEvent },
  fx: EffectsDraft,
): void {
  const { role, event } = entered;
  fx.note({ kind: 'role', role, leaderEpoch: event.leaderEpoch, reason: 'metadata' });
  switch (role) {
    case 'leader':
      return becomeLeader(state, event);
    case 'follower':
      return becomeFollower(state, event, fx);
    case 'idle':
      state.role = { kind: 'idle' };
  }
}

function becomeLeader(state: ReplicaState, event: AssignedEvent): void {
  const { leaderEpoch, nowMs } = event;
  // Entered before its first batch, so that every older epoch has an end here.
  state.epochs.enter(leaderEpoch, state.logEnd);
  state.ledEpoch = leaderEpoch;
  state.agreedEpoch = leaderEpoch;
  const marks = new CaughtUpMarks(state.config.replicaLagMsMax * marksSpanLags);
  marks.note(nowMs, state.logEnd);
  state.role = {
    kind: 'leader',
    epoch: leaderEpoch,
    epochStart: state.logEnd,
    followers: new Map(),
    marks,
    awaitingCommit: new WaitingReplies(),
    awaitingLeader: new WaitingReplies(),
    awaitingTrim: new WaitingReplies(),
    pendingIsr: undefined,
    judgedFromMs: nowMs,
    lastTickMs: nowMs,
    expandNotBeforeMs: nowMs,
  };
}

function becomeFollower(state: ReplicaState, event: AssignedEvent, fx: EffectsDraft): void {
  if (event.leader === undefined) return;
  const follower = {
    kind: 'follower' as const,
    leader: event.leader,
    epoch: event.leaderEpoch,
    session: state.lastSession,
    phase: 'refused' as const,
    mayBeUnheard: false,
  };
  state.role = follower;
  statePosition(state, follower, fx);
}

/**
 * Whatever becomes of the batches is for the next leader to say: none of these requests may be completed by positions
 * that move later, and none may be called failed.
 */
function leaveLeadership(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  leader.awaitingCommit.takeAll((reply) => fx.fail(reply.requestId, 'LEADERSHIP_LOST'));
  leader.awaitingLeader.takeAll((reply) => fx.fail(reply.requestId, 'LEADERSHIP_LOST'));
  leader.awaitingTrim.takeAll((reply) => fx.failTrim(reply.requestId, 'LEADERSHIP_LOST'));
  for (const [nodeId, follower] of leader.followers) {
    if (follower.streaming) fx.stopPushTo(nodeId);
  }
  state.epochs.leave(leader.epoch, state.logEnd);
}
