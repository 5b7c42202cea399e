/**
 * Where the log starts: retention and requests move it forward at the leader, pushes at the followers. It may lie inside a
 * batch, which then stays in the log; readers leave out what lies below.
 *
 * R1 A request is answered once the new start is durable here and at every member of the maximal ISR, of which there are
 *    `minIsr`, as for an ack (D1, D11); and nobody joins the ISR whose durable start is below the leader's. So no failover
 *    and no crash brings back what a trim, once answered, removed.
 */
import type { Offset } from '@sluice/base';
import type { EffectsDraft } from './effects-draft.ts';
import type { TrimEvent, TrimRequestEvent } from './events.ts';
import { knowsCommittedEnd } from './high-watermark.ts';
import { inMaximalIsr } from './isr.ts';
import { enoughReplicas } from './leader-append.ts';
import { assignmentOf, smaller } from './replica-state.ts';
import type { LeaderRole, ReplicaState } from './replica-state.ts';

/** What is committed and held by nobody. */
export function removableEnd(state: ReplicaState): Offset {
  let end = state.highWatermark;
  for (const from of state.holders.values()) end = smaller(end, from);
  return end;
}

export function trimLog(state: ReplicaState, logStart: Offset, fx: EffectsDraft): void {
  state.logStart = logStart;
  state.epochs.trimTo(logStart);
  fx.trimTo = logStart;
}

export function onTrim(state: ReplicaState, event: TrimEvent, fx: EffectsDraft): void {
  if (state.role.kind !== 'leader') return fx.dropped('trim', 'not the leader');
  trimAsFarAsMay(state, event.logStart, fx);
}

/** Also of what is gone already the answer waits: an earlier request may have timed out. */
export function onTrimRequest(state: ReplicaState, event: TrimRequestEvent, fx: EffectsDraft): void {
  const { requestId, before, deadlineMs } = event;
  const leader = state.role;
  if (leader.kind !== 'leader') return fx.failTrim(requestId, 'NOT_LEADER');
  if (before > state.highWatermark) {
    return fx.failTrim(requestId, knowsCommittedEnd(state, leader) ? 'OFFSET_OUT_OF_RANGE' : 'OFFSET_NOT_AVAILABLE');
  }
  if (!enoughReplicas(state, event.nowMs)) return fx.failTrim(requestId, 'NOT_ENOUGH_REPLICAS');
  trimAsFarAsMay(state, before, fx);
  const { logStart } = state;
  leader.awaitingTrim.add({ requestId, baseOffset: logStart, needEnd: logStart, deadlineMs });
  maybeAnswerTrims(state, leader, fx);
}

/** R1. */
export function maybeAnswerTrims(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  if (leader.awaitingTrim.count === 0) return;
  const { replicas, isr, minIsr } = assignmentOf(state);
  if (isr.length < minIsr) return;
  let start = state.durableStart;
  for (const { nodeId } of replicas) {
    if (nodeId === state.self || !inMaximalIsr(state, leader, nodeId)) continue;
    const follower = leader.followers.get(nodeId);
    if (follower === undefined) return;
    start = smaller(start, follower.ackedStart);
  }
  leader.awaitingTrim.take(start, (reply) => fx.trimmed(reply.requestId, reply.baseOffset));
}

function trimAsFarAsMay(state: ReplicaState, to: Offset, fx: EffectsDraft): void {
  const logStart = smaller(to, removableEnd(state));
  if (logStart > state.logStart) trimLog(state, logStart, fx);
}
