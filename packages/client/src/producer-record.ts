import type { SluiceError } from '@sluice/base';

/** Text is sent as UTF-8. */
export type Bytes = string | Uint8Array;

export interface ProducerHeader {
  readonly key: string;
  readonly value: Bytes | null;
}

/** One record to send. Its bytes are read during the call, or, when the call has to wait, later: do not change them. */
export interface ProducerRecord {
  /** Records with equal keys go to one partition. Absent or null: any partition. */
  readonly key?: Bytes | null;
  readonly value: Bytes | null;
  /** A list, because a key may occur twice and order counts; or an object. */
  readonly headers?: readonly ProducerHeader[] | Readonly<Record<string, Bytes | null>>;
  /** From 0; overrides the key. */
  readonly partition?: number;
  /** Milliseconds since the Unix epoch; now when absent. */
  readonly timestamp?: number;
}

/** Where a record lies. */
export interface Delivery {
  readonly partition: number;
  /** Meaningless with `acks: 'none'` if the leader fails. */
  readonly offset: number;
}

/** The outcome of a posted record: `error` is undefined exactly when it was delivered. */
export type OnDelivery = (error: SluiceError | undefined, delivery: Delivery) => void;
