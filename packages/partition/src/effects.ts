/**
 * What one step asks of the shell. Fields are named for their contract and are carried out in the order in which they
 * stand here: the log is changed before anything is sent or answered.
 */
import type { BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionEpoch, SessionNumber } from '@sluice/base';
import type { RequestId } from './events.ts';

/**
 * Change the log now. Later changes of the same log must become durable after it; none needs to be durable before
 * something is sent.
 * - `append`: the batches of this very event. A leader patches `baseOffset` and `leaderEpoch` into its one batch first;
 *   a follower appends all batches of the push as they are.
 * - `truncate`: cut back to `to`.
 * - `restartAt`: drop everything and go on, empty, from `to`.
 */
export type LogChange =
  | {
      readonly kind: 'append';
      readonly baseOffset: Offset;
      readonly endOffset: Offset;
      readonly leaderEpoch: LeaderEpoch;
      readonly generation: number;
    }
  | { readonly kind: 'truncate'; readonly to: Offset; readonly generation: number }
  | { readonly kind: 'restartAt'; readonly to: Offset; readonly generation: number };

/** A produce request is over. Without `error` the batch has the offsets from `baseOffset` on. */
export type ProduceReply =
  | { readonly requestId: RequestId; readonly baseOffset: Offset; readonly error?: undefined }
  | { readonly requestId: RequestId; readonly error: ErrorCode };

/** A trim is over. Without `error` nothing below `logStart` comes back, whoever of the in-sync replicas leads. */
export type TrimReply =
  | { readonly requestId: RequestId; readonly logStart: Offset; readonly error?: undefined }
  | { readonly requestId: RequestId; readonly error: ErrorCode };

/** Messages between replicas; the shell puts topic, partition and stream around them. */
export type ReplicationMessage =
  | {
      readonly kind: 'position';
      readonly to: NodeId;
      readonly leaderEpoch: LeaderEpoch;
      readonly session: SessionNumber;
      readonly fetchOffset: Offset;
      readonly durableOffset: Offset;
      readonly durableStart: Offset;
      readonly partitionEpoch: PartitionEpoch;
      readonly lastEpoch: LeaderEpoch | undefined;
    }
  | {
      readonly kind: 'divergence';
      readonly to: NodeId;
      readonly leaderEpoch: LeaderEpoch;
      readonly session: SessionNumber;
      /** Undefined: it has none that is as old; the follower begins anew at `endOffset`. */
      readonly epoch: LeaderEpoch | undefined;
      readonly endOffset: Offset;
    }
  | {
      readonly kind: 'refusal';
      readonly to: NodeId;
      /** Of the position that this answers. */
      readonly leaderEpoch: LeaderEpoch;
      readonly session: SessionNumber;
      readonly error: ErrorCode;
      readonly logStart: Offset;
    };

/**
 * From now on push to `to` what the log holds from `from` on, under this leader epoch and session, each push with the
 * high watermark and log start of the moment. The first push goes out at once, empty when there is nothing to send: it
 * confirms the position. Ends with a `stopPush` or a later `startPush` for the same replica. When retention overtakes
 * the push the shell sends a refusal OFFSET_OUT_OF_RANGE with the log start, under the same session, and stops.
 */
export interface StartPush {
  readonly to: NodeId;
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly from: Offset;
}

/**
 * The log is durable here up to `durableOffset`, and that it starts at `durableStart`; and this replica answers for
 * everything below `ackOffset`: the same as `durableOffset` where durability is `fsync`; where it is `replicated`, what its
 * log has taken within the bounds of `Unsynced`.
 */
export interface FollowerAck {
  readonly to: NodeId;
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly ackOffset: Offset;
  readonly durableOffset: Offset;
  readonly durableStart: Offset;
}

/** Ask the controller to make this the ISR. The answer comes back as `isrChangeResult`, also when none came. */
export interface IsrProposal {
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly IsrMember[];
}

export interface IsrMember {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  /** That it knew when it stated its position. */
  readonly statedEpoch: PartitionEpoch;
}

/** Read the producers of the log below `logEnd` from its batch headers, then step `producersReloaded`. */
export interface ReloadProducers {
  readonly generation: number;
  readonly logStart: Offset;
  readonly logEnd: Offset;
}

/** `shrink`: a member is behind for too long; `slow`: it keeps up, but makes every ack wait. */
export type IsrProposalReason = 'expand' | 'shrink' | 'slow' | 'retry' | 'withdraw';

export type PartitionRole = 'leader' | 'follower' | 'idle' | 'failed';

/** Changes of state and refusals of what arrived, for logs, metrics and transcripts; none per batch. */
export type PartitionTrace =
  | { readonly kind: 'role'; readonly role: PartitionRole; readonly leaderEpoch: LeaderEpoch; readonly reason: string }
  | { readonly kind: 'isr'; readonly isr: readonly NodeId[]; readonly partitionEpoch: PartitionEpoch }
  | {
      readonly kind: 'isrProposed';
      readonly isr: readonly NodeId[];
      readonly reason: IsrProposalReason;
    }
  | {
      readonly kind: 'isrProposalEnded';
      readonly outcome: 'rolledBack' | 'withdrawn' | 'awaitingMetadata' | 'retrying';
    }
  | { readonly kind: 'truncated'; readonly from: Offset; readonly to: Offset }
  /** What was committed is gone: all in-sync replicas stopped uncleanly, and durability is `replicated`. */
  | { readonly kind: 'takenBack'; readonly from: Offset; readonly to: Offset }
  | { readonly kind: 'restarted'; readonly from: Offset; readonly to: Offset }
  | { readonly kind: 'diverged'; readonly replica: NodeId; readonly fetchOffset: Offset; readonly endOffset: Offset }
  | { readonly kind: 'dropped'; readonly event: string; readonly reason: string }
  | { readonly kind: 'stalled'; readonly stalledMs: number };

export interface PartitionEffects {
  readonly log: LogChange | undefined;
  /** No append is accepted until it is answered. */
  readonly reloadProducers: ReloadProducers | undefined;
  /** Everything below is gone for readers; the store may drop it. */
  readonly trimTo: Offset | undefined;
  /** Stop pushing to these. */
  readonly stopPush: readonly NodeId[];
  readonly sendNow: readonly ReplicationMessage[];
  readonly startPush: readonly StartPush[];
  readonly ack: FollowerAck | undefined;
  readonly replies: readonly ProduceReply[];
  readonly trimReplies: readonly TrimReply[];
  /** `readableEnd` moved here: wake readers, and let the next push or an empty one carry the high watermark. */
  readonly readable: Offset | undefined;
  readonly isrChange: IsrProposal | undefined;
  readonly trace: readonly PartitionTrace[];
}
