import type { SluiceError } from '@sluice/base';
import type { RecordContent } from '@sluice/record';
import type { SignalOption } from './consumer-options.ts';

export type { Bytes, ContentHeader as ProducerHeader } from '@sluice/record';

/**
 * One record to send: `value`, and if wanted `key` and `headers`, text being sent as UTF-8. Records with equal keys go
 * to one partition; without a key, to any. Its bytes are read during the call, or, when the call has to wait, later: do
 * not change them.
 */
export interface ProducerRecord extends RecordContent {
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

export interface SendManyOptions extends SignalOption {
  /** Called for each record that failed, by its place in the call, before the promise rejects. */
  readonly onFailed?: (index: number, error: SluiceError) => void;
}
