/**
 * What the controller can be asked, and what it answers. A request is already decoded and its numbers are branded;
 * whether it makes sense is decided here. An answer is parked by the shell until its records are committed.
 */
import type {
  BrokerEpoch,
  ClusterId,
  DirectoryId,
  LeaderEpoch,
  LogIndex,
  NodeId,
  Offset,
  PartitionEpoch,
  PartitionIndex,
  ProducerId,
  TopicId,
} from '@sluice/base';
import type { MetadataError } from './metadata-error.ts';
import type { ClientListener, MetadataRecord } from './records.ts';

/** The first request of a cluster, by the first leader: writes the feature level (R1). Repeating it changes nothing. */
export interface InitializeRequest {
  readonly type: 'initialize';
  readonly clusterId: ClusterId;
  readonly level: number;
}

/**
 * Errors: `DUPLICATE_NODE` while another incarnation is not fenced or its session lives (D18), `INVALID_REQUEST`,
 * `NOT_CONTROLLER` when the directory holds a newer epoch than this controller ever granted.
 */
export interface RegisterNodeRequest {
  readonly type: 'registerNode';
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** 32 hex digits drawn at process start. */
  readonly incarnation: string;
  readonly softwareVersion: string;
  readonly rack: string | null;
  readonly clientListeners: readonly ClientListener[];
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** The newest broker epoch that the directory holds durably; null when it never held one. */
  readonly lastBrokerEpoch: BrokerEpoch | null;
  /** What the node's own recovery found: damage below the durable point, or a failed sync before the crash. */
  readonly lossy: boolean;
  /** The node's last stop was not in order: what it had in memory alone is gone. */
  readonly unclean: boolean;
  /** Whether the leader's session book holds a live session of the incarnation that is registered now. */
  readonly sessionLive: boolean;
}

/**
 * Asked for a fenced node with a live session. `metadataIndex` is how far the node has applied the metadata log; the
 * node must have made its broker epoch durable in its directory before its session speaks with it.
 */
export interface UnfenceNodeRequest {
  readonly type: 'unfenceNode';
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly metadataIndex: LogIndex;
}

/**
 * The sessions of these nodes are over. Nodes that are lost in the same moment belong in one request: a partition that
 * loses all its in-sync replicas at once keeps them all in its ELR (rule E2 in `election.ts`).
 */
export interface FenceNodesRequest {
  readonly type: 'fenceNodes';
  readonly nodes: readonly NodeIdentity[];
}

/**
 * The node runs again under the directory that it had, and nobody noticed its end. Its leaderships move, but it stays in
 * sync: a crash that lost nothing keeps membership. Nodes come back one by one when all lost power at once; were each
 * taken from the ISRs on its way in, those that never come back would be left as the only members.
 */
export interface FenceEarlierLifeRequest {
  readonly type: 'fenceEarlierLife';
  readonly node: NodeIdentity;
}

/** Controlled shutdown (D20): leaders move off, the node leaves the ISRs. To be repeated while it moves any. */
export interface DrainNodeRequest {
  readonly type: 'drainNode';
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  /** At most so many partitions change in one decision. */
  readonly partitionsMax: number;
}

/** The disk of the node hangs, or does so no more. What it led moves, and it leaves the ISRs that it would hold up. */
export interface StallNodeRequest {
  readonly type: 'stallNode';
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly stalled: boolean;
}

/**
 * Nobody is left who is known to be complete (D17b): the longest of the logs that were found leads, and what it lacks is
 * lost. Errors: `UNKNOWN_TOPIC`, `UNKNOWN_PARTITION`.
 */
export interface RecoverPartitionRequest {
  readonly type: 'recoverPartition';
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly found: readonly FoundLog[];
}

/** The log of a replica as it is now, after what was damaged in it was cut. */
export interface FoundLog extends NodeIdentity {
  /** The leader epoch of its last batch; null when it holds none. */
  readonly lastEpoch: LeaderEpoch | null;
  readonly logEnd: Offset;
}

/** Errors: `TOPIC_EXISTS`, `INVALID_TOPIC`, `INVALID_CONFIG`, `NOT_ENOUGH_NODES`. */
export interface CreateTopicRequest {
  readonly type: 'createTopic';
  /** A fresh identity drawn by the shell. */
  readonly topicId: TopicId;
  readonly namespace: string;
  readonly name: string;
  readonly partitions: number;
  /** Null: 3, or the number of registered nodes when it is smaller. */
  readonly replication: number | null;
  /** As the caller wrote them; keys and bounds are in `topic-config.ts`. */
  readonly config: Readonly<Record<string, string>>;
}

/** Errors: `UNKNOWN_TOPIC`. */
export interface DeleteTopicRequest {
  readonly type: 'deleteTopic';
  readonly namespace: string;
  readonly name: string;
}

/** Leaders propose ISR changes (D12). Errors of the whole request: `STALE_BROKER_EPOCH`. */
export interface AlterPartitionsRequest {
  readonly type: 'alterPartitions';
  /** The caller, which must lead the partitions. */
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly partitions: readonly PartitionAlteration[];
}

export interface PartitionAlteration {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  /** The whole proposed ISR, each member as the leader saw it in its positions. */
  readonly isr: readonly ProposedMember[];
}

/**
 * A replica found its log damaged while it runs (E6). Errors: `STALE_BROKER_EPOCH`, `UNKNOWN_TOPIC`,
 * `UNKNOWN_PARTITION`, `INVALID_REQUEST` when the node holds no replica.
 */
export interface ReportDamageRequest {
  readonly type: 'reportDamage';
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  /** Whether it serves what is intact: not while its log is not loaded. */
  readonly serves: boolean;
}

export interface ReportDamageValue {
  /** Null: it stays in sync, because it serves and nobody else can lead; else it may cut its log when it knows of this epoch. */
  readonly since: PartitionEpoch | null;
}

/** Errors: `STALE_BROKER_EPOCH`. */
export interface AllocateProducerIdsRequest {
  readonly type: 'allocateProducerIds';
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
}

/** Moves leaders back to the first replica in assignment order where that is possible (D19). */
export interface ElectPreferredRequest {
  readonly type: 'electPreferred';
  /** At most so many partitions change in one decision. */
  readonly partitionsMax: number;
}

export type MetadataRequest =
  | InitializeRequest
  | RegisterNodeRequest
  | UnfenceNodeRequest
  | FenceNodesRequest
  | FenceEarlierLifeRequest
  | DrainNodeRequest
  | StallNodeRequest
  | CreateTopicRequest
  | DeleteTopicRequest
  | AlterPartitionsRequest
  | ReportDamageRequest
  | AllocateProducerIdsRequest
  | ElectPreferredRequest
  | RecoverPartitionRequest;

/** A node in one of its lives. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
}

export interface ProposedMember extends NodeIdentity {
  /** The partition epoch that it knew when it stated the position by which it is judged (E6). */
  readonly statedEpoch: PartitionEpoch;
}

export type MetadataResponse<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: MetadataError };

/** `records` commit together as one entry; without records the response may be sent once leadership is confirmed. */
export interface Decision<Value> {
  readonly records: readonly MetadataRecord[];
  readonly response: MetadataResponse<Value>;
}

export interface RegisterNodeValue {
  /** Null: the Raft index of the entry with these records; else the epoch that this incarnation already has. */
  readonly brokerEpoch: BrokerEpoch | null;
  /**
   * The directory is treated as incomplete: the node records durably that it does not vote under it, and refetches its
   * partitions. Said of this registration only: the next one of the same directory is judged anew.
   */
  readonly lossy: boolean;
}

export interface UnfenceNodeValue {
  /** False: not yet caught up, or draining. */
  readonly unfenced: boolean;
}

export interface FenceNodesValue {
  /** Those that were not fenced before; of the others the broker epoch was over or they were fenced already. */
  readonly fenced: readonly NodeId[];
}

export interface DrainNodeValue {
  /** Partitions that the node leads on; those without another replica do not count. */
  readonly leading: number;
  /** Partitions that this decision changed. At 0 nothing more can move now: it may stop if it leads nothing. */
  readonly moved: number;
}

export interface StallNodeValue {
  /** Partitions that the node leads on because no other replica can; those without another replica do not count. */
  readonly leading: number;
}

export interface RecoverPartitionValue {
  /** Null: nobody could be elected yet. */
  readonly leader: NodeId | null;
  /** The leader was elected for having the longest log that was found. */
  readonly mayHaveLost: boolean;
  /** Who must be electable, and whose log found, first. */
  readonly missing: readonly NodeId[];
}

export interface CreateTopicValue {
  readonly topicId: TopicId;
}

export interface DeleteTopicValue {
  readonly topicId: TopicId;
}

export interface PartitionAltered {
  readonly leader: NodeId | null;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  readonly isr: readonly NodeId[];
}

export interface AlterPartitionsValue {
  /** In the order of the request. */
  readonly results: readonly AlterPartitionResult[];
}

export interface AlterPartitionResult {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  readonly result: MetadataResponse<PartitionAltered>;
}

export interface AllocateProducerIdsValue {
  /** The block is `first` to `first + count − 1`. */
  readonly first: ProducerId;
  readonly count: number;
}

export interface ElectPreferredValue {
  readonly changed: number;
  /** Partitions that could move too but did not fit into this batch. */
  readonly remaining: number;
}

export interface ResponseValues {
  readonly initialize: { readonly clusterId: ClusterId };
  readonly registerNode: RegisterNodeValue;
  readonly unfenceNode: UnfenceNodeValue;
  readonly fenceNodes: FenceNodesValue;
  readonly fenceEarlierLife: FenceNodesValue;
  readonly drainNode: DrainNodeValue;
  readonly stallNode: StallNodeValue;
  readonly createTopic: CreateTopicValue;
  readonly deleteTopic: DeleteTopicValue;
  readonly alterPartitions: AlterPartitionsValue;
  readonly reportDamage: ReportDamageValue;
  readonly allocateProducerIds: AllocateProducerIdsValue;
  readonly electPreferred: ElectPreferredValue;
  readonly recoverPartition: RecoverPartitionValue;
}

/** The decision of a request of this type. */
export type DecisionFor<Request extends MetadataRequest> = Decision<ResponseValues[Request['type']]>;
