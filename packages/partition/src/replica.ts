import type { BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch } from '@sluice/base';
import type { PartitionConfig, ReplicaLiveness } from './config.ts';
import type { PartitionEffects, PartitionRole } from './effects.ts';
import type { LoadedLog, PartitionEvent } from './events.ts';

export interface PartitionReplicaOptions {
  readonly self: NodeId;
  readonly config: PartitionConfig;
  readonly liveness: ReplicaLiveness;
  readonly loaded: LoadedLog;
}

/** An offset, or why it cannot be told now. */
export type OffsetAnswer = { readonly offset: Offset; readonly error?: undefined } | { readonly error: ErrorCode };

/** What others may read of a replica. */
export interface PartitionView {
  readonly role: PartitionRole;
  readonly leader: NodeId | undefined;
  readonly leaderEpoch: LeaderEpoch | undefined;
  readonly partitionEpoch: PartitionEpoch | undefined;
  readonly logStart: Offset;
  readonly logEnd: Offset;
  readonly durableEnd: Offset;
  readonly highWatermark: Offset;
  /** What readers may see ends here; the high watermark today. */
  readonly readableEnd: Offset;
  /** As committed by the controller. */
  readonly isr: readonly NodeId[];
  /** Goes up with every truncation; the shell copies it when it submits a write. */
  readonly generation: number;
  /** Requests parked until the high watermark or the local disk passes them. */
  readonly parkedCount: number;
  /** At a leader: how far each follower has acked, for metrics. */
  followerProgress(): readonly FollowerProgress[];
  /** The offset that the next committed record gets (D4); OFFSET_NOT_AVAILABLE, NOT_LEADER. */
  latestOffset(): OffsetAnswer;
  /** Undefined when a reader may wait at `from`; OFFSET_OUT_OF_RANGE, OFFSET_NOT_AVAILABLE (D4), NOT_LEADER. */
  readError(from: Offset): ErrorCode | undefined;
  /** Retention may remove nothing at or above it: the smallest of the high watermark and all holders. */
  readonly removableEnd: Offset;
  /** Names something that needs what is at or above `from`; replaces an earlier holder of that name. */
  registerHolder(name: string, from: Offset): void;
  releaseHolder(name: string): void;
}

export interface FollowerProgress {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly durableOffset: Offset;
  /** How long its durable end has not been at the log's end; 0 when it is. */
  readonly lagMs: number;
}

export type StepPartition = (event: PartitionEvent) => PartitionEffects;
