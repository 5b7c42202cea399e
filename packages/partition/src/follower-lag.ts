/**
 * How late followers are, and which of them are too late: D10, and what it leaves open. A member that is always a little
 * late costs every ack that much and never leaves by D10; one that hangs again and again leaves each time, after acks
 * had stopped for as long, and is back at once. So (ADR 0034):
 *
 * S1 What a member costs is how much later it is than the latest of the others, this leader among them, as a mean over
 *    some time. Where all are late nobody is to blame, and nothing would be gained.
 * S2 Who costs too much leaves, where `minIsr` members are left.
 * S3 Who left for its lag joins again only when it was not late for `replicaLagMsMax` without a gap, and nobody waits for it
 *    until then; but below `minIsr`, where nothing is acked without it, at once.
 */
import { offset } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import { assignmentOf } from './replica-state.ts';
import type { FollowerProgressState, LeaderRole, ReplicaState } from './replica-state.ts';

/** Of the mean, in units of `replicaLagMsMax`. */
const meanSpanLags = 4;
/** Later than this share of `replicaLagMsMax` is late. */
const lateShare = 0.15;

/** How long the durable end of the follower has not been at the log's end, as far as this leader was looking. */
export function lagMs(state: ReplicaState, leader: LeaderRole, follower: FollowerProgressState): number {
  if (follower.durable >= state.logEnd) return 0;
  const caughtUpAtMs = Math.max(follower.caughtUpAtMs, leader.marks.newestPassed(follower.durable));
  return state.nowMs - caughtUpAtMs;
}

/** D10. */
export function lagsTooLong(state: ReplicaState, leader: LeaderRole, nodeId: NodeId): boolean {
  const follower = leader.followers.get(nodeId);
  const lag = follower === undefined ? Number.POSITIVE_INFINITY : lagMs(state, leader, follower);
  return watched(state, leader, lag) > state.config.replicaLagMsMax;
}

/** S2. */
export function costsTooMuch(state: ReplicaState, leader: LeaderRole, nodeId: NodeId): boolean {
  return (leader.followers.get(nodeId)?.costMs ?? 0) > state.config.replicaLagMsMax * lateShare;
}

/** It left, or is about to. */
export function noteLeft(leader: LeaderRole, nodeId: NodeId): void {
  const follower = leader.followers.get(nodeId);
  if (follower === undefined) return;
  follower.leftForLag = true;
  follower.steadySinceMs = undefined;
}

/** At each tick: S1, and how long followers have been steady (S3). */
export function noteLags(state: ReplicaState, leader: LeaderRole, sinceTickMs: number): void {
  const { replicaLagMsMax } = state.config;
  const weight = Math.min(1, sinceTickMs / (replicaLagMsMax * meanSpanLags));
  for (const [nodeId, follower] of leader.followers) {
    const lateMs = Math.max(0, ackLagMs(state, leader, nodeId) - latestOfOthersMs(state, leader, nodeId));
    follower.costMs += (lateMs - follower.costMs) * weight;
    if (!follower.streaming || lateMs > replicaLagMsMax * lateShare) {
      follower.steadySinceMs = undefined;
      continue;
    }
    follower.steadySinceMs ??= state.nowMs;
    if (!follower.leftForLag || state.nowMs - follower.steadySinceMs < replicaLagMsMax) continue;
    follower.leftForLag = false;
    follower.costMs = 0;
  }
}

function latestOfOthersMs(state: ReplicaState, leader: LeaderRole, nodeId: NodeId): number {
  let latestMs = 0;
  for (const other of assignmentOf(state).isr) {
    if (other !== nodeId) latestMs = Math.max(latestMs, ackLagMs(state, leader, other));
  }
  return latestMs;
}

/** By what acks wait for, which is not its disk where durability is `replicated`. */
function ackLagMs(state: ReplicaState, leader: LeaderRole, nodeId: NodeId): number {
  const follower = leader.followers.get(nodeId);
  const acked = nodeId === state.self ? state.ackEnd : (follower?.acked ?? offset(0));
  if (acked >= state.logEnd) return 0;
  const caughtUpAtMs = Math.max(follower?.caughtUpAtMs ?? Number.NEGATIVE_INFINITY, leader.marks.newestPassed(acked));
  return watched(state, leader, state.nowMs - caughtUpAtMs);
}

const watched = (state: ReplicaState, leader: LeaderRole, lag: number): number =>
  Math.min(lag, state.nowMs - leader.judgedFromMs);
