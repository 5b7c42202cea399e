/** The entities of the metadata image. They are values: a change makes a new one. */
import type {
  BrokerEpoch,
  DirectoryId,
  LeaderEpoch,
  LogIndex,
  NodeId,
  PartitionEpoch,
  PartitionIndex,
  TopicId,
} from '@sluice/base';
import type { ClientListener, Refilling } from './records.ts';
import type { TopicConfig } from './topic-config.ts';

/**
 * `fenced`: no live session, or not caught up yet; leads nothing, joins no ISR. `draining`: shutting down in order;
 * leads on only where nobody else can, joins no ISR.
 */
export type NodePhase = 'fenced' | 'up' | 'draining';

export interface NodeState {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  readonly incarnation: string;
  readonly softwareVersion: string;
  readonly rack: string | null;
  readonly clientListeners: readonly ClientListener[];
  readonly peerAddress: string;
  readonly adminAddress: string;
  /** What registration said of the directory; see `NodeRegisteredRecord.lossy`. */
  readonly lossy: boolean;
  readonly brokerEpoch: BrokerEpoch;
  /** The newest broker epoch under which the node was unfenced, hence that its directory held durably. */
  readonly confirmedEpoch: BrokerEpoch | null;
  readonly state: NodePhase;
  /** Its disk hangs: it is not elected and joins no ISR; it leads on only where nobody else can. */
  readonly stalled: boolean;
  /** The index of the entry that put the node into this state, `stalled` included. */
  readonly stateIndex: LogIndex;
}

export interface PartitionState {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
  /** In assignment order; the first is the preferred leader. */
  readonly replicas: readonly NodeId[];
  /** Who counts for what is committed. May be empty. */
  readonly isr: readonly NodeId[];
  /** Eligible leader replicas (D16): out of the ISR since it is below `minIsr`, and complete, since nothing commits there. */
  readonly elr: readonly NodeId[];
  /** Who was in one of the two since the ISR is below `minIsr`, and may lack records now. */
  readonly lastKnownElr: readonly NodeId[];
  /** Those of `lastKnownElr` that lost records. They stay marked until they are in sync again (E3). */
  readonly lossy: readonly NodeId[];
  /** Replicas outside of the ISR and the ELR that found their log damaged and begin it anew where it is intact. */
  readonly refilling: readonly Refilling[];
  /**
   * The newest leader epoch that `recoverPartition` gave: its leader may lack what was committed before. Null: none did.
   */
  readonly recoveredEpoch: LeaderEpoch | null;
  readonly leader: NodeId | null;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
}

export interface TopicState {
  readonly topicId: TopicId;
  readonly namespace: string;
  readonly name: string;
  readonly config: TopicConfig;
  /** Position is the partition index. */
  readonly partitions: readonly PartitionState[];
}

export interface PartitionKey {
  readonly topicId: TopicId;
  readonly partition: PartitionIndex;
}

/** What one entry changed, each key once; read the new state from the image. */
export interface ImageChange {
  readonly nodes: readonly NodeId[];
  /** Created topics. */
  readonly topicsCreated: readonly TopicId[];
  /** Deleted topics as they were last. Their partitions are not in `partitions`. */
  readonly topicsDeleted: readonly TopicState[];
  /** Created or changed partitions that still exist. */
  readonly partitions: readonly PartitionKey[];
}
