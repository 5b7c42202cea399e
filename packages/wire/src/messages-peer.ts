/** Messages of `proto/sluice/peer/v1/peer.proto`, which documents every field. */
import type {
  AddVoterRequest,
  ControllerMember,
  CreateTopicRequest,
  DeleteTopicRequest,
  ElectPreferredRequest,
  RemoveVoterRequest,
} from './messages-admin.ts';
import type { ErrorDetail } from './messages-errors.ts';

export interface Identity {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly directoryId: string;
  readonly incarnation: string;
  readonly protocolVersion: number;
  readonly brokerEpoch: number;
}

export interface ProbeRequest {
  readonly identity: Identity | null;
}

export interface ProbeResponse {
  readonly identity: Identity | null;
  readonly certificate: BirthCertificate | null;
  readonly configured: readonly number[];
  readonly voters: readonly VoterAddress[];
}

export interface VoterAddress {
  readonly nodeId: number;
  readonly directoryId: string;
  readonly address: string;
}

export interface ForwardedCreateTopicRequest {
  readonly identity: Identity | null;
  readonly request: CreateTopicRequest | null;
}

export interface ForwardedDeleteTopicRequest {
  readonly identity: Identity | null;
  readonly request: DeleteTopicRequest | null;
}

export interface ForwardedAddVoterRequest {
  readonly identity: Identity | null;
  readonly request: AddVoterRequest | null;
}

export interface ForwardedRemoveVoterRequest {
  readonly identity: Identity | null;
  readonly request: RemoveVoterRequest | null;
}

export interface ForwardedElectPreferredRequest {
  readonly identity: Identity | null;
  readonly request: ElectPreferredRequest | null;
}

export interface DescribeQuorumRequest {
  readonly identity: Identity | null;
}

export interface DescribeQuorumResponse {
  readonly voters: readonly ControllerMember[];
  readonly observers: readonly ControllerMember[];
}

export interface BirthCertificate {
  readonly clusterId: string;
  readonly voters: readonly Voter[];
}

export interface Voter {
  readonly nodeId: number;
  readonly directoryId: string;
}

export interface PromiseRequest {
  readonly identity: Identity | null;
  readonly certificate: BirthCertificate | null;
}

export interface PromiseResponse {
  readonly identity: Identity | null;
  readonly certificate: BirthCertificate | null;
  readonly configured: readonly number[];
}

export interface RaftRequest {
  readonly identity: Identity | null;
  readonly messages: readonly Uint8Array[];
  readonly peerAddress: string;
  readonly isController: boolean;
  readonly durableIndex: number;
  readonly votesRevoked: boolean;
}

export interface RaftResponse {
  readonly identity: Identity | null;
  readonly knownTerm: number;
  readonly knownMatchIndex: number;
  readonly knownBrokerEpoch: number;
}

export interface RegisterRequest {
  readonly identity: Identity | null;
  readonly version: string;
  readonly rack: string;
  readonly listeners: readonly Listener[];
  readonly peerAddress: string;
  readonly adminAddress: string;
  readonly lossy: boolean;
  readonly unclean: boolean;
}

export interface Listener {
  readonly name: string;
  readonly protocol: string;
  readonly address: string;
}

export interface RegisterResponse {
  readonly brokerEpoch: number;
  readonly lossy: boolean;
}

export interface HeartbeatRequest {
  readonly identity: Identity | null;
  readonly brokerEpoch: number;
  readonly metadataIndex: number;
  readonly oldestUnsyncedMs: number;
  readonly draining: boolean;
  readonly wallMs: number;
}

export interface HeartbeatResponse {
  readonly up: boolean;
  readonly mayStop: boolean;
  readonly error: ErrorDetail | null;
  readonly clocksAgree: boolean;
  readonly applyIndex: number;
}

export interface AlterPartitionsRequest {
  readonly identity: Identity | null;
  readonly brokerEpoch: number;
  readonly partitions: readonly PartitionAlteration[];
}

export interface PartitionAlteration {
  readonly topicId: string;
  readonly partition: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly isr: readonly IsrMember[];
}

export interface IsrMember {
  readonly nodeId: number;
  readonly brokerEpoch: number;
  readonly statedEpoch: number;
}

export interface ReportDamageRequest {
  readonly identity: Identity | null;
  readonly brokerEpoch: number;
  readonly topicId: string;
  readonly partition: number;
  readonly serves: boolean;
}

export interface ReportDamageResponse {
  readonly stays: boolean;
  readonly since: number;
}

export interface AlterPartitionsResponse {
  readonly partitions: readonly PartitionAlterationResult[];
}

export interface PartitionAlterationResult {
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  readonly isr: readonly number[];
  readonly error: ErrorDetail | null;
}

export interface AllocateProducerIdsRequest {
  readonly identity: Identity | null;
  readonly brokerEpoch: number;
}

export interface AllocateProducerIdsResponse {
  readonly firstProducerId: number;
  readonly count: number;
}

export interface DescribeLogsRequest {
  readonly identity: Identity | null;
  readonly partitions: readonly LogName[];
}

export interface LogName {
  readonly topicId: string;
  readonly partition: number;
}

export interface DescribeLogsResponse {
  readonly identity: Identity | null;
  readonly logs: readonly LogDescription[];
}

export interface LogDescription {
  readonly lastEpoch: number;
  readonly logEnd: number;
  readonly error: ErrorDetail | null;
}

export interface ReplicateRequest {
  readonly identity: Identity | null;
  readonly positions: readonly ReplicaPosition[];
  readonly acks: readonly ReplicaAck[];
  readonly creditBytes: number;
  readonly releasedSlots: readonly number[];
}

export interface ReplicaPosition {
  readonly slot: number;
  readonly topicId: string;
  readonly partition: number;
  readonly kind: number;
  readonly leaderEpoch: number;
  readonly session: number;
  readonly fetchOffset: number;
  readonly lastEpoch: number;
  readonly durableOffset: number;
  readonly durableStart: number;
  readonly partitionEpoch: number;
}

export interface ReplicaAck {
  readonly slot: number;
  readonly leaderEpoch: number;
  readonly session: number;
  readonly durableOffset: number;
  readonly durableStart: number;
  readonly ackOffset: number;
}

export interface ReplicateResponse {
  readonly identity: Identity | null;
  readonly pushes: readonly ReplicaPush[];
  readonly divergences: readonly ReplicaDivergence[];
  readonly refusals: readonly ReplicaRefusal[];
}

export interface ReplicaPush {
  readonly slot: number;
  readonly leaderEpoch: number;
  readonly session: number;
  readonly batches: readonly Uint8Array[];
  readonly highWatermark: number;
  readonly logStart: number;
  readonly moreBytes: number;
  readonly continues: boolean;
}

export interface ReplicaDivergence {
  readonly slot: number;
  readonly leaderEpoch: number;
  readonly session: number;
  readonly epoch: number;
  readonly endOffset: number;
}

export interface ReplicaRefusal {
  readonly slot: number;
  readonly leaderEpoch: number;
  readonly session: number;
  readonly error: ErrorDetail | null;
  readonly logStart: number;
}

export interface NodeStatusRequest {
  readonly identity: Identity | null;
}

export interface NodeStatusResponse {
  readonly identity: Identity | null;
  readonly diskBytes: number;
}
