/**
 * All state of one replica. Written by the protocol phases (`leadership`, `leader-append`, `leader-replication`,
 * `high-watermark`, `isr`, `follower`), one step at a time, and read by `replica`.
 *
 * T1 durableStart ≤ logStart ≤ highWatermark ≤ logEnd, and durableEnd ≤ ackEnd ≤ logEnd.
 * T2 `highWatermark` never goes down: what it covers is committed for ever. The exceptions are `takenBack` and
 *    damage.
 * T3 `generation` grows with every change that takes bytes out of the log.
 */
import { invariant } from '@sluice/base';
import type { BrokerEpoch, Durability, LeaderEpoch, NodeId, Offset, PartitionEpoch, SessionNumber } from '@sluice/base';
import type { CaughtUpMarks } from './caught-up-marks.ts';
import type { PartitionConfig, ReplicaLiveness } from './config.ts';
import type { EarlyPositions } from './early-positions.ts';
import type { IsrMember } from './effects.ts';
import type { EpochCache } from './epoch-cache.ts';
import type { AssignedReplica } from './events.ts';
import type { ProducerStates } from './producer-state.ts';
import type { Unsynced } from './unsynced.ts';
import type { WaitingReplies } from './waiting-replies.ts';

/** The partition's metadata as last heard. */
export interface Assignment {
  readonly leader: NodeId | undefined;
  readonly leaderEpoch: LeaderEpoch;
  readonly replicas: readonly AssignedReplica[];
  readonly minIsr: number;
  readonly durability: Durability;
  readonly selfBrokerEpoch: BrokerEpoch;
  readonly partitionEpoch: PartitionEpoch;
  /** Committed by the controller. */
  readonly isr: readonly NodeId[];
  readonly elr: readonly NodeId[];
  readonly recoveredEpoch: LeaderEpoch | undefined;
}

/** What a leader knows of one follower, since the leader epoch began. */
export interface FollowerProgressState {
  brokerEpoch: BrokerEpoch;
  session: SessionNumber;
  /** The partition epoch that it knew when the session began. */
  statedEpoch: PartitionEpoch;
  /** The position of this session was found on the leader's log: pushes flow and acks count. */
  streaming: boolean;
  /** What the follower answers for, and equal to the leader's log. */
  acked: Offset;
  /** Of that, what is on its disk: the lag is counted by it, so that one with a hung disk leaves (D10). */
  durable: Offset;
  /** The start of its log that is durable there. */
  ackedStart: Offset;
  /** Last known moment at which `durable` was the log's end. */
  caughtUpAtMs: number;
  /** How much later than the others its acks come, as a mean (S1). */
  costMs: number;
  /** It left the ISR for its lag, and was not steady for long enough since (S3). */
  leftForLag: boolean;
  /** Not late since. */
  steadySinceMs: number | undefined;
}

/** The one ISR change in flight (D11). */
export interface PendingIsrChange {
  readonly isr: readonly NodeId[];
  /** The same nodes, by the life in which each was judged. */
  readonly members: readonly IsrMember[];
  readonly partitionEpoch: PartitionEpoch;
  /** `asked`: an answer is due. `retry`: ask again at the next tick. `awaitingMetadata`: it may have been applied (D13). */
  phase: 'asked' | 'retry' | 'awaitingMetadata';
  /** How often it was asked for: of all but the last one nobody knows what becomes of them. */
  copies: number;
  /** The committed ISR is proposed in its place, so that no copy can be taken any more. */
  withdrawn: boolean;
}

export interface LeaderRole {
  readonly kind: 'leader';
  readonly epoch: LeaderEpoch;
  /** The log's end when the epoch began (D4). */
  readonly epochStart: Offset;
  readonly followers: Map<NodeId, FollowerProgressState>;
  readonly marks: CaughtUpMarks;
  readonly awaitingCommit: WaitingReplies;
  /** For `ackEnd`. */
  readonly awaitingLeader: WaitingReplies;
  /** Trims, until every replica that may lead next has forgotten what they removed. */
  readonly awaitingTrim: WaitingReplies;
  pendingIsr: PendingIsrChange | undefined;
  /** Lag is counted from here at the earliest: before, this leader was not looking. */
  judgedFromMs: number;
  lastTickMs: number;
  /** After the controller refused a member, no expansion before this. */
  expandNotBeforeMs: number;
}

export interface FollowerRole {
  readonly kind: 'follower';
  readonly leader: NodeId;
  readonly epoch: LeaderEpoch;
  session: SessionNumber;
  /**
   * `reloading`: no position until the producers are read. `stated`: the leader's answer is due. `streaming`: it pushes.
   * `refused`: state again at the next tick. `fenced`: only metadata helps.
   */
  phase: 'reloading' | 'stated' | 'streaming' | 'refused' | 'fenced';
  /** Acked while the position waited: a leader that had not heard of its epoch yet dropped it, and took the position later. */
  mayBeUnheard: boolean;
}

export interface IdleRole {
  readonly kind: 'idle';
}

/** Under this leader epoch: its log lacks what was committed here. */
export interface FailedRole {
  readonly kind: 'failed';
  readonly reason: string;
}

export type RoleState = LeaderRole | FollowerRole | IdleRole | FailedRole;

export interface ReplicaState {
  readonly self: NodeId;
  readonly config: PartitionConfig;
  readonly liveness: ReplicaLiveness;
  readonly epochs: EpochCache;
  readonly producers: ProducerStates;
  readonly holders: Map<string, Offset>;
  readonly unsynced: Unsynced;
  readonly earlyPositions: EarlyPositions;
  logStart: Offset;
  logEnd: Offset;
  durableStart: Offset;
  durableEnd: Offset;
  /** What this replica answers for, as leader and as follower (`ack-end.ts`). */
  ackEnd: Offset;
  highWatermark: Offset;
  generation: number;
  /** Of the newest event that carried a time. */
  nowMs: number;
  assignment: Assignment | undefined;
  role: RoleState;
  lastSession: SessionNumber;
  /** The newest epoch that this replica led: left once, it is never led again. */
  ledEpoch: LeaderEpoch | undefined;
  /** The newest epoch whose leader found this log to be a part of its own, or was this replica. */
  agreedEpoch: LeaderEpoch | undefined;
}

/** Leading and following both presuppose an assignment. */
export function assignmentOf(state: ReplicaState): Assignment {
  invariant(state.assignment !== undefined, 'a role presupposes an assignment');
  return state.assignment;
}

export function assertPositions(state: ReplicaState): void {
  const { logStart, highWatermark, logEnd, durableStart, durableEnd, ackEnd } = state;
  const inOrder = durableStart <= logStart && logStart <= highWatermark && highWatermark <= logEnd;
  if (inOrder && durableEnd <= ackEnd && ackEnd <= logEnd) return;
  const positions = { durableStart, logStart, highWatermark, logEnd, durableEnd, ackEnd };
  invariant(false, 'T1: positions in order', positions);
}

export const smaller = (one: Offset, other: Offset): Offset => (one < other ? one : other);

export const larger = (one: Offset, other: Offset): Offset => (one > other ? one : other);
