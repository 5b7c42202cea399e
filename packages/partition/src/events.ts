/**
 * Everything that can happen to one replica. One event per batch, ack or push, never per record.
 * Times are monotonic milliseconds of this node.
 */
import type {
  BrokerEpoch,
  Durability,
  ErrorCode,
  LeaderEpoch,
  NodeId,
  Offset,
  PartitionEpoch,
  ProducerEpoch,
  ProducerId,
  SessionNumber,
} from '@sluice/base';

/** Where a leader epoch begins in a log. */
export interface EpochStart {
  readonly epoch: LeaderEpoch;
  readonly startOffset: Offset;
}

/** Present on batches of idempotent producers; absent when the header's producer id is −1. */
export interface ProducerFacts {
  readonly producerId: ProducerId;
  readonly producerEpoch: ProducerEpoch;
  /** 0 to 2^31 − 1. */
  readonly baseSequence: number;
}

/** What the header of a batch in a log says. */
export interface BatchFacts {
  readonly baseOffset: Offset;
  /** One past the last offset; above `baseOffset`. */
  readonly endOffset: Offset;
  /** Of the whole batch. */
  readonly bytes: number;
  readonly leaderEpoch: LeaderEpoch;
  readonly producer: ProducerFacts | undefined;
}

/** One batch that a producer's window remembers. */
export interface ProducerBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: Offset;
  readonly endOffset: Offset;
}

/** The state of one producer in one partition: at most the last five batches of its newest epoch, oldest first. */
export interface ProducerSnapshot {
  readonly producerId: ProducerId;
  readonly producerEpoch: ProducerEpoch;
  /** Since its last append, as far as it is known: never more than it was. Whole milliseconds. */
  readonly ageMs: number;
  readonly batches: readonly ProducerBatch[];
}

/** The log as recovery found it. All of it counts as durable: the store has synced what it recovered. */
export interface LoadedLog {
  readonly logStart: Offset;
  readonly logEnd: Offset;
  /** A high watermark known to be committed, when one was kept; `logStart` otherwise. */
  readonly highWatermark: Offset | undefined;
  /** In offset order, from a state snapshot and batch headers (`LogScan`). */
  readonly epochs: readonly EpochStart[];
  readonly producers: readonly ProducerSnapshot[];
  readonly nowMs: number;
}

/** A replica as the controller knows it. */
export interface AssignedReplica {
  readonly nodeId: NodeId;
  /** Of its newest registration; undefined when the node never registered. */
  readonly brokerEpoch: BrokerEpoch | undefined;
  /** Unfenced, not shutting down, and its disk answers: may enter the ISR (D9). */
  readonly eligible: boolean;
}

/**
 * The partition's metadata changed, or that of a node that holds a replica. May repeat what is known; older epochs are
 * ignored. The shell sends it only from metadata at or past this node's own registration.
 */
export interface AssignedEvent {
  readonly kind: 'assigned';
  readonly leader: NodeId | undefined;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  /** In assignment order, this node among them. */
  readonly replicas: readonly AssignedReplica[];
  readonly isr: readonly NodeId[];
  /** Who left the ISR below `minIsr`, and holds all that is committed (D16). Nobody while the ISR has `minIsr` members. */
  readonly elr: readonly NodeId[];
  /** The newest leader epoch that began with the longest log that was found, be it complete or not (D17b). */
  readonly recoveredEpoch: LeaderEpoch | undefined;
  readonly minIsr: number;
  /** Of the topic; the same for all replicas and for ever, as long as topics cannot be altered. */
  readonly durability: Durability;
  /** Granted to this process; the replica neither leads nor follows while the controller knows another one. */
  readonly selfBrokerEpoch: BrokerEpoch;
  /**
   * The log was found damaged from here on, and this says that the replica has left the ISR for it: it is cut before any
   * position is stated that knows this partition epoch (E6).
   */
  readonly intactEnd?: Offset;
  readonly nowMs: number;
}

export type Acks = 'all' | 'leader' | 'none';

/** Names a parked produce request to the shell; unique among those of this replica that are not yet replied to. */
export type RequestId = number;

/** A checked batch of a producer (I4: client appends only). */
export interface AppendEvent {
  readonly kind: 'append';
  readonly requestId: RequestId;
  /** At least 1. */
  readonly recordCount: number;
  /** Of the whole batch. */
  readonly bytes: number;
  readonly producer: ProducerFacts | undefined;
  readonly acks: Acks;
  /** Why this node takes nothing new now; what is in the log already is answered all the same. */
  readonly refusal?: ErrorCode | undefined;
  /** When a request that still waits is answered TIMEOUT (indefinite), on the next tick. */
  readonly deadlineMs: number;
  readonly nowMs: number;
}

/**
 * The local disk made everything below `end` durable. Told for truncations and restarts too, also when no append
 * follows: a truncation leaves bytes whose own completion is of an older generation, and a replica that restarted at an
 * offset counts only once that start is durable.
 */
export interface DurableEvent {
  readonly kind: 'durable';
  /**
   * Of the newest change of the log that the sync covered; older ones are dropped (ABA). A store that itself tells only
   * of bytes that are still in the log goes with the replica's generation at the moment of telling.
   */
  readonly generation: number;
  readonly end: Offset;
  /** Where the log starts on the local disk: nothing below comes back by a crash. */
  readonly start: Offset;
  readonly nowMs: number;
}

/** A follower states where it stands (D6, D7). Never from this node itself. */
export interface FollowerPositionEvent {
  readonly kind: 'followerPosition';
  readonly replica: NodeId;
  /** From the hello of the stream that carried it, as for acks. */
  readonly brokerEpoch: BrokerEpoch;
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly fetchOffset: Offset;
  readonly durableOffset: Offset;
  readonly durableStart: Offset;
  /** That it knew when it stated this. */
  readonly partitionEpoch: PartitionEpoch;
  /** Leader epoch of its last batch; undefined when its log is empty. */
  readonly lastEpoch: LeaderEpoch | undefined;
  readonly nowMs: number;
}

/**
 * Cumulative: the follower has everything from `durableStart` to `durableOffset` on stable media, and nothing below; and it
 * answers for everything below `ackOffset`: by its disk, or by its memory where durability is `replicated`.
 */
export interface FollowerAckEvent {
  readonly kind: 'followerAck';
  readonly replica: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly ackOffset: Offset;
  readonly durableOffset: Offset;
  readonly durableStart: Offset;
  readonly nowMs: number;
}

/** The stream that carried this session ended, or the follower released the partition. */
export interface FollowerGoneEvent {
  readonly kind: 'followerGone';
  readonly replica: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly session: SessionNumber;
}

/** Every `tickMs` of the shell, a few times per `replicaLagMsMax`. */
export interface TickEvent {
  readonly kind: 'tick';
  readonly nowMs: number;
}

/** What the controller answered to an ISR proposal (D13). */
export interface IsrChangeResultEvent {
  readonly kind: 'isrChangeResult';
  /** Of the proposal. */
  readonly leaderEpoch: LeaderEpoch;
  /** Of the proposal. */
  readonly partitionEpoch: PartitionEpoch;
  readonly outcome: IsrChangeOutcome;
  readonly nowMs: number;
}

export type IsrChangeOutcome =
  | {
      readonly kind: 'applied';
      /** After the change: another one than that of the proposal when leadership moved with it. */
      readonly leaderEpoch: LeaderEpoch;
      readonly partitionEpoch: PartitionEpoch;
      readonly isr: readonly NodeId[];
    }
  /** A code of the error table; TIMEOUT, UNREACHABLE and CONNECTION_LOST when no answer came. */
  | { readonly kind: 'failed'; readonly error: ErrorCode };

/** From the leader: batches that continue the session, or none and only its high watermark. CRCs are checked. */
export interface PushedEvent {
  readonly kind: 'pushed';
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly batches: readonly BatchFacts[];
  readonly highWatermark: Offset;
  readonly logStart: Offset;
  readonly nowMs: number;
}

/** From the leader: the position is not on its log (D8). */
export interface DivergedEvent {
  readonly kind: 'diverged';
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  /** Undefined: the leader has none that is as old as this log; it begins anew at `endOffset`. */
  readonly epoch: LeaderEpoch | undefined;
  readonly endOffset: Offset;
}

/** From the leader: it cannot serve the position. OFFSET_OUT_OF_RANGE carries the leader's log start. */
export interface PositionRefusedEvent {
  readonly kind: 'positionRefused';
  readonly leaderEpoch: LeaderEpoch;
  readonly session: SessionNumber;
  readonly error: ErrorCode;
  readonly logStart: Offset;
}

/**
 * The stream to the leader is open, anew, or lost what it carried: state the position again. Also after a push that
 * could not be used (CORRUPT_BATCH).
 */
export interface RestateEvent {
  readonly kind: 'restate';
}

/** Answers `reloadProducers`: the producers of the log as it is now. */
export interface ProducersReloadedEvent {
  readonly kind: 'producersReloaded';
  readonly generation: number;
  readonly producers: readonly ProducerSnapshot[];
}

/** Retention wants to drop what is below `logStart`. At a leader only: followers follow its pushes. */
export interface TrimEvent {
  readonly kind: 'trim';
  readonly logStart: Offset;
}

/** Somebody wants what is below `before` deleted, and to know that it is gone for good. */
export interface TrimRequestEvent {
  readonly kind: 'trimRequest';
  readonly requestId: RequestId;
  /** The first offset to keep; need not be a batch boundary. */
  readonly before: Offset;
  readonly deadlineMs: number;
  readonly nowMs: number;
}

export type PartitionEvent =
  | AssignedEvent
  | AppendEvent
  | DurableEvent
  | FollowerPositionEvent
  | FollowerAckEvent
  | FollowerGoneEvent
  | TickEvent
  | IsrChangeResultEvent
  | PushedEvent
  | DivergedEvent
  | PositionRefusedEvent
  | RestateEvent
  | ProducersReloadedEvent
  | TrimEvent
  | TrimRequestEvent;
