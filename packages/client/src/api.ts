/** Declared ahead of its implementation; replaced file by file. */
import type { DecodedRecord } from '@sluice/record';
import type { CloseOptions, ConsumerOptions, SignalOption } from './consumer-options.ts';
import type { ClusterDescription, NewTopic, PartitionBounds, TopicDescription, TopicListing } from './descriptions.ts';
import type { ClientPorts } from './ports.ts';
import type { ProducerOptions } from './producer-options.ts';
import type { Delivery, OnDelivery, ProducerRecord } from './producer-record.ts';
import type { OnStatus } from './status.ts';

export interface SluiceOptions {
  /** `host:port` of some nodes; the others are learnt from them. */
  readonly bootstrap: readonly string[];
  /** For the server's logs and quotas, at most 256 bytes. Default `sluice-client`. */
  readonly clientId?: string;
  /** Administration, and the first contact with the cluster, may take this long. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Default: gRPC, the system's clock and randomness, and `node:zlib`. */
  readonly ports?: Partial<ClientPorts>;
  readonly onStatus?: OnStatus;
}

export interface AdminCallOptions extends SignalOption {
  /** Default: `requestTimeoutMs` of the client. */
  readonly timeoutMs?: number;
}

export declare class Admin {
  /** Resolves once every leader serves. */
  createTopic(topic: NewTopic, options?: AdminCallOptions): Promise<TopicDescription>;
  deleteTopic(name: string, options?: AdminCallOptions): Promise<void>;
  listTopics(options?: AdminCallOptions): Promise<readonly TopicListing[]>;
  describeTopic(name: string, options?: AdminCallOptions): Promise<TopicDescription>;
  describeCluster(options?: AdminCallOptions): Promise<ClusterDescription>;
  /** Of every partition, in order, from its leader; waits for leaders as long as `timeoutMs`. */
  listOffsets(topic: string, options?: AdminCallOptions): Promise<readonly PartitionBounds[]>;
}

export declare class Producer implements AsyncDisposable {
  /** Resolves when the acks asked for are there. Rejects with a `SluiceError`, whose `definite` says whether the record may lie in the log all the same. Calls for one partition are delivered in their order. */
  send(topic: string, record: ProducerRecord, options?: SignalOption): Promise<Delivery>;
  /** True: taken, and `onDelivery` will hear of it. False: the buffer is full and nothing was taken; await `ready`, then post again. Without `onDelivery` a failure is reported by the next `flush`. */
  post(topic: string, record: ProducerRecord, onDelivery?: OnDelivery): boolean;
  /** Resolves when `post` has room again. */
  ready(options?: SignalOption): Promise<void>;
  /** Resolves when all that was sent or posted before is decided; rejects with the first failure of a post without `onDelivery`. */
  flush(options?: SignalOption): Promise<void>;
  /** Flushes for at most `timeoutMs` (default 10 s), then fails what is left: `CLOSED`. */
  close(options?: CloseOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export type ConsumedRecord = DecodedRecord;

/** Records of one partition, checked against their checksum, decoded when asked for. */
export interface ConsumedBatch {
  readonly topic: string;
  readonly partition: number;
  /** Offset of the first record that was asked for. */
  readonly baseOffset: number;
  /** Where to go on: the offset after the last record. */
  readonly nextOffset: number;
  /** Committed end of the partition when this was read. */
  readonly highWatermark: number;
  /** Keys and values are views of the batch's memory. Throws `INVALID_BATCH` or `CORRUPT_BATCH` when it does not decode. */
  records(): readonly ConsumedRecord[];
}

export declare class Consumer implements AsyncDisposable {
  /** One iteration at a time; `break` releases everything, another iteration goes on at `position`. Ends when the consumer is closed. */
  batches(options?: SignalOption): AsyncIterableIterator<ConsumedBatch>;
  /** The offset after the last batch handed out; undefined until the start position is known. */
  position(topic: string, partition: number): number | undefined;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export declare class Sluice implements AsyncDisposable {
  readonly admin: Admin;
  constructor(options: SluiceOptions);
  producer(options?: ProducerOptions): Producer;
  consumer(options: ConsumerOptions): Consumer;
  /** Closes every producer and consumer, then the connections. */
  close(options?: CloseOptions): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
