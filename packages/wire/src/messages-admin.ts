/** Messages of `proto/sluice/v1/admin.proto`, which documents every field. */

export interface WatchMetadataRequest {
  readonly clientId: string;
  readonly topicNames: readonly string[];
  readonly allTopics: boolean;
}

export interface MetadataUpdate {
  readonly clusterId: string;
  readonly metadataIndex: number;
  readonly controllerLeader: number;
  readonly nodes: readonly NodeEndpoint[];
  readonly topics: readonly TopicMetadata[];
  readonly deletedTopicIds: readonly string[];
  readonly unknownTopicNames: readonly string[];
  readonly isStalled: boolean;
}

export interface NodeEndpoint {
  readonly nodeId: number;
  readonly address: string;
  readonly rack: string;
  readonly up: boolean;
}

export interface TopicMetadata {
  readonly topicId: string;
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
  readonly partitions: readonly PartitionMetadata[];
}

export interface PartitionMetadata {
  readonly partition: number;
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly isr: readonly number[];
  readonly elr: readonly number[];
  readonly partitionEpoch: number;
}

export interface CreateTopicRequest {
  readonly name: string;
  readonly partitions: number;
  readonly replication: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface CreateTopicResponse {
  readonly topic: TopicMetadata | null;
}

export interface DeleteTopicRequest {
  readonly name: string;
}

export interface DeleteTopicResponse {
  readonly topicId: string;
}

export interface DescribeClusterRequest {}

export interface DescribeClusterResponse {
  readonly clusterId: string;
  readonly controllerLeader: number;
  readonly metadataOffset: number;
  readonly nodes: readonly NodeStatus[];
  readonly topics: number;
  readonly partitions: number;
  readonly underReplicated: number;
  readonly underMinIsr: number;
  readonly leaderless: number;
  readonly voters: readonly ControllerMember[];
  readonly observers: readonly ControllerMember[];
  readonly membersCurrent: boolean;
}

export interface ControllerMember {
  readonly nodeId: number;
  readonly directoryId: string;
  readonly address: string;
  readonly state: string;
  readonly lag: number;
  readonly mayVote: boolean;
}

export interface AddVoterRequest {
  readonly nodeId: number;
}

export interface RemoveVoterRequest {
  readonly nodeId: number;
  readonly directoryId: string;
}

export interface ElectPreferredRequest {
  readonly partitionsMax: number;
}

export interface ElectPreferredResponse {
  readonly changed: number;
  readonly remaining: number;
}

export interface VoterChangeResponse {
  readonly changed: ControllerMember | null;
  readonly voters: readonly ControllerMember[];
  readonly metadataOffset: number;
}

export interface NodeStatus {
  readonly nodeId: number;
  readonly state: string;
  readonly version: string;
  readonly rack: string;
  readonly clientAddress: string;
  readonly peerAddress: string;
  readonly adminAddress: string;
  readonly leaders: number;
  readonly replicas: number;
  readonly diskBytes: number;
}
