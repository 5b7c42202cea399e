/** Messages of `proto/sluice/v1/broker.proto`, which documents every field. */
import type { ErrorDetail } from './messages-errors.ts';

export interface ProduceRequest {
  readonly open: ProduceOpen | null;
  readonly batches: readonly ProduceBatch[];
}

export interface ProduceOpen {
  readonly clientId: string;
  readonly acks: Acks;
}

export interface ProduceBatch {
  readonly requestId: number;
  readonly topicId: string;
  readonly partition: number;
  readonly batch: Uint8Array;
  readonly moreBytes: number;
}

export interface ProduceResponse {
  readonly opened: ProduceOpened | null;
  readonly results: readonly ProduceResult[];
  readonly creditBytes: number;
}

export interface ProduceOpened {
  readonly nodeId: number;
  readonly batchBytesMax: number;
}

export interface ProduceResult {
  readonly requestId: number;
  readonly baseOffset: number;
  readonly error: ErrorDetail | null;
}

export interface FetchRequest {
  readonly open: FetchOpen | null;
  readonly start: readonly FetchStart[];
  readonly stop: readonly number[];
  readonly creditBytes: number;
}

export interface FetchOpen {
  readonly clientId: string;
  readonly takesParts: boolean;
}

export interface FetchStart {
  readonly subscription: number;
  readonly topicId: string;
  readonly partition: number;
  readonly fromOffset: number;
  readonly leaderEpoch: number;
  readonly runBytesMax: number;
}

export interface FetchResponse {
  readonly nodeId: number;
  readonly runs: readonly FetchedRun[];
  readonly failures: readonly FetchFailure[];
}

export interface FetchedRun {
  readonly subscription: number;
  readonly batches: readonly Uint8Array[];
  readonly nextOffset: number;
  readonly highWatermark: number;
  readonly logStart: number;
  readonly moreBytes: number;
  readonly continues: boolean;
}

export interface FetchFailure {
  readonly subscription: number;
  readonly error: ErrorDetail | null;
}

export interface InitProducerRequest {
  readonly clientId: string;
}

export interface InitProducerResponse {
  readonly producerId: number;
  readonly producerEpoch: number;
}

export interface ListOffsetsRequest {
  readonly partitions: readonly PartitionName[];
  readonly sinceMs: number;
}

export interface PartitionName {
  readonly topicId: string;
  readonly partition: number;
}

export interface ListOffsetsResponse {
  readonly partitions: readonly PartitionOffsets[];
}

export interface PartitionOffsets {
  readonly partition: PartitionName | null;
  readonly logStart: number;
  readonly highWatermark: number;
  readonly logEnd: number;
  readonly writable: boolean;
  readonly error: ErrorDetail | null;
  readonly sinceOffset: number;
}

export interface TrimPartitionsRequest {
  readonly partitions: readonly PartitionTrim[];
}

export interface PartitionTrim {
  readonly partition: PartitionName | null;
  readonly before: number;
}

export interface TrimPartitionsResponse {
  readonly partitions: readonly PartitionTrimmed[];
}

export interface PartitionTrimmed {
  readonly partition: PartitionName | null;
  readonly logStart: number;
  readonly error: ErrorDetail | null;
}

/** Which replicas must have a batch before it is answered. */
export const Acks = { all: 0, leader: 1, none: 2 } as const;
export type Acks = (typeof Acks)[keyof typeof Acks];
