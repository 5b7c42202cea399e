/**
 * Records of one partition on their way to one outcome: gathered, then encoded under a stamp, then sent until decided.
 * Owned by a `PartitionQueue`.
 *
 * B1 Under one stamp the bytes never change: what is sent again is the same batch, by which the leader knows it.
 * B2 The records are settled once, all together.
 */
import type { SluiceError } from '@sluice/base';
import { invariant } from '@sluice/base';
import type { BatchStamp, Decompress, LogRecord } from '@sluice/record';
import { BatchBuilder, decodeRecords } from '@sluice/record';
import type { OnDelivery } from './producer-record.ts';

/** One sending of a batch; the answer to any but the newest is ignored. */
export interface Attempt {
  readonly batch: PendingBatch;
  readonly sentMs: number;
  readonly leaderEpoch: number;
}

/**
 * - `waiting`: to be sent, for the first time or again
 * - `sent`: an answer is to come
 * - `delivered`, `failed`: decided
 */
export type BatchState = 'waiting' | 'sent' | 'delivered' | 'failed';

export interface PendingBatchOptions {
  readonly capacityBytes: number;
  readonly deadlineMs: number;
  /** When it may be sent although there is room for more. */
  readonly dueMs: number;
  readonly generation: number;
}

export class PendingBatch {
  readonly deadlineMs: number;
  dueMs: number;
  /** Of `flush`: decided before a later flush resolves. */
  generation: number;
  /** Bytes of the producer's buffer that it holds. */
  bufferedBytes = 0;
  state: BatchState = 'waiting';
  /** Some attempt may have reached the log. Attempts under way are not counted: see `certainlyAbsent`. */
  maybeAppended = false;
  attempt: Attempt | undefined;
  lastError: SluiceError | undefined;
  /** Which series of sequences it was numbered in; undefined: not numbered. */
  series: object | undefined;
  readonly #onDeliveries: (OnDelivery | undefined)[] = [];
  #builder: BatchBuilder | undefined;
  #bytes: Uint8Array | undefined;
  /** Copies of what was sent under an earlier stamp, to be encoded anew. */
  #records: readonly LogRecord[] | undefined;

  constructor(options: PendingBatchOptions) {
    this.deadlineMs = options.deadlineMs;
    this.dueMs = options.dueMs;
    this.generation = options.generation;
    this.#builder = new BatchBuilder({ capacityBytes: options.capacityBytes });
  }

  get recordCount(): number {
    return this.#onDeliveries.length;
  }

  get decided(): boolean {
    return this.state === 'delivered' || this.state === 'failed';
  }

  /** No attempt ever reached the log, and none that is under way can: false means unknown. */
  get certainlyAbsent(): boolean {
    return !this.maybeAppended && this.state !== 'sent';
  }

  get batchBytes(): number {
    return this.#builder?.batchBytes ?? this.#bytes?.byteLength ?? 0;
  }

  bytesWith(record: LogRecord): number {
    invariant(this.#builder !== undefined, 'B1: a record for a batch that was encoded');
    return this.#builder.bytesWith(record);
  }

  append(record: LogRecord, bufferedBytes: number, onDelivery: OnDelivery | undefined): void {
    invariant(this.#builder !== undefined, 'B1: a record for a batch that was encoded');
    this.#builder.append(record);
    this.#onDeliveries.push(onDelivery);
    this.bufferedBytes += bufferedBytes;
  }

  /** Numbers and encodes it, unless it is. */
  encode(stamp: () => BatchStamp): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    let builder = this.#builder;
    if (builder === undefined) {
      builder = new BatchBuilder();
      for (const record of this.#records ?? []) builder.append(record);
    }
    this.#bytes = builder.build(stamp());
    this.#builder = undefined;
    this.#records = undefined;
    return this.#bytes;
  }

  get encoded(): boolean {
    return this.#bytes !== undefined;
  }

  /** It is certain that it is not in the log: it may be numbered again, and any answer to earlier attempts is void. */
  unstamp(decompress: Decompress): void {
    this.series = undefined;
    this.attempt = undefined;
    this.maybeAppended = false;
    this.state = 'waiting';
    if (this.#bytes === undefined) return;
    const decoded = decodeRecords(this.#bytes, { decompress });
    invariant(decoded.ok, 'B1: a batch of our own does not decode', decoded.ok ? {} : { ...decoded.problem });
    this.#records = decoded.value;
    this.#bytes = undefined;
  }

  /** B2. Returns true when there is a record whose sender did not ask to be called. */
  settle(outcome: Outcome): boolean {
    invariant(!this.decided, 'B2: a batch was decided twice', { state: this.state });
    const { error, partition, baseOffset, onThrown } = outcome;
    this.state = error === undefined ? 'delivered' : 'failed';
    this.attempt = undefined;
    this.#bytes = undefined;
    this.#builder = undefined;
    let unheard = false;
    for (const [at, onDelivery] of this.#onDeliveries.entries()) {
      if (onDelivery === undefined) {
        unheard = true;
        continue;
      }
      try {
        onDelivery(error, { partition, offset: error === undefined ? baseOffset + at : -1 });
      } catch (thrown) {
        onThrown(thrown);
      }
    }
    return unheard;
  }
}

export interface Outcome {
  readonly error: SluiceError | undefined;
  readonly partition: number;
  readonly baseOffset: number;
  /** A caller's callback threw. */
  readonly onThrown: (thrown: unknown) => void;
}
