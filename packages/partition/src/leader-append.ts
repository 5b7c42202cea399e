/** A producer's batch at the leader: duplicate, refused, or the next in the log (D2, I2, I3). */
import { offsetAfter } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { ackAppended } from './ack-end.ts';
import type { EffectsDraft } from './effects-draft.ts';
import type { AppendEvent, ProducerBatch } from './events.ts';
import { onLeaderAck } from './high-watermark.ts';
import { maximalIsr } from './isr.ts';
import { assignmentOf } from './replica-state.ts';
import type { LeaderRole, ReplicaState } from './replica-state.ts';

export function onAppend(state: ReplicaState, event: AppendEvent, fx: EffectsDraft): void {
  const leader = state.role;
  if (leader.kind !== 'leader') return fx.fail(event.requestId, 'NOT_LEADER');
  // After a truncation as follower the sequences are not known yet; nothing may be judged by half of them.
  if (state.producers.reloadNeeded) return fx.fail(event.requestId, 'LEADER_NOT_AVAILABLE');
  const verdict = event.producer && state.producers.judge(event.producer, event.recordCount, event.nowMs);
  // Duplicates first: a definite refusal of a batch that is already in the log would be a lie.
  if (verdict?.kind === 'duplicate') return answerDuplicate(state, leader, { event, batch: verdict.batch }, fx);
  if (event.refusal !== undefined) return fx.fail(event.requestId, event.refusal);
  if (!enoughReplicas(state, event.nowMs)) return fx.fail(event.requestId, 'NOT_ENOUGH_REPLICAS');
  if (verdict?.kind === 'refused') return fx.fail(event.requestId, verdict.error);

  const baseOffset = state.logEnd;
  const endOffset = offsetAfter(baseOffset, event.recordCount);
  leader.marks.note(event.nowMs, baseOffset);
  state.producers.record({ baseOffset, endOffset, producer: event.producer }, event.nowMs);
  state.logEnd = endOffset;
  fx.change({ kind: 'append', baseOffset, endOffset, leaderEpoch: leader.epoch, generation: state.generation });
  awaitAck(leader, { event, baseOffset, endOffset }, fx);
  if (ackAppended(state, { start: baseOffset, end: endOffset, bytes: event.bytes })) onLeaderAck(state, leader, fx);
}

/** D2, and the promise that a leader which nobody hears appends nothing that it could only lose or leave unacked. */
export function enoughReplicas(state: ReplicaState, nowMs: number): boolean {
  const { isr, minIsr } = assignmentOf(state);
  if (isr.length < minIsr) return false;
  const heardSinceMs = nowMs - state.config.sessionTimeoutMs;
  if (state.liveness.controllerHeardAtMs() < heardSinceMs) return false;
  let live = 0;
  for (const nodeId of isr) {
    if (nodeId === state.self || state.liveness.heardAtMs(nodeId) >= heardSinceMs) live += 1;
  }
  return live >= minIsr;
}

/** I3: the original offsets, as success, as soon as the original itself would be acked. */
function answerDuplicate(
  state: ReplicaState,
  leader: LeaderRole,
  duplicate: { readonly event: AppendEvent; readonly batch: ProducerBatch },
  fx: EffectsDraft,
): void {
  const { event, batch } = duplicate;
  const reached = event.acks === 'all' ? state.highWatermark : state.ackEnd;
  if (batch.endOffset <= reached) return fx.succeed(event.requestId, batch.baseOffset);
  if (event.acks === 'all' && maximalIsrBelowMin(state, leader)) {
    return fx.fail(event.requestId, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND');
  }
  awaitAck(leader, { event, baseOffset: batch.baseOffset, endOffset: batch.endOffset }, fx);
}

function awaitAck(
  leader: LeaderRole,
  appended: { readonly event: AppendEvent; readonly baseOffset: Offset; readonly endOffset: Offset },
  fx: EffectsDraft,
): void {
  const { requestId, acks, deadlineMs } = appended.event;
  const waiting = { requestId, baseOffset: appended.baseOffset, needEnd: appended.endOffset, deadlineMs };
  switch (acks) {
    case 'all':
      return leader.awaitingCommit.add(waiting);
    case 'leader':
      return leader.awaitingLeader.add(waiting);
    case 'none':
      return fx.succeed(requestId, appended.baseOffset);
  }
}

function maximalIsrBelowMin(state: ReplicaState, leader: LeaderRole): boolean {
  return maximalIsr(state, leader).length < assignmentOf(state).minIsr;
}

/** D2: the ISR fell below the minimum while requests wait. They may still be committed, so the answer is indefinite. */
export function failWaitingBelowMinIsr(state: ReplicaState, leader: LeaderRole, fx: EffectsDraft): void {
  if (!maximalIsrBelowMin(state, leader)) return;
  leader.awaitingCommit.takeAll((reply) => fx.fail(reply.requestId, 'NOT_ENOUGH_REPLICAS_AFTER_APPEND'));
}

/** The wait is over for requests past their deadline; their batch stays in the log. */
export function expireWaiting(leader: LeaderRole, nowMs: number, fx: EffectsDraft): void {
  leader.awaitingCommit.expire(nowMs, (reply) => fx.fail(reply.requestId, 'TIMEOUT'));
  leader.awaitingLeader.expire(nowMs, (reply) => fx.fail(reply.requestId, 'TIMEOUT'));
  leader.awaitingTrim.expire(nowMs, (reply) => fx.failTrim(reply.requestId, 'TIMEOUT'));
}
