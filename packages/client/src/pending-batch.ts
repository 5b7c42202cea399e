/**
 * Records of one partition on their way to one outcome: gathered, then encoded under a stamp, then sent until decided.
 * Owned by a `PartitionQueue`.
 *
 * B1 Under one stamp the bytes never change: what is sent again is the same batch, by which the leader knows it.
 * B2 The records are settled once, all together.
 */
import type { SluiceError } from '@sluice/base';
import { invariant } from '@sluice/base';
import type { BatchStamp, Decompress, LogRecord, RecordDraft } from '@sluice/record';
import { BatchBuilder, decodeRecords, draftOf } from '@sluice/record';
import type { OnDelivery } from './producer-record.ts';
import { bufferedBytes } from './record-input.ts';

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

/** Who hears what became of a record: a callback for each, a call for many of them, or nobody. */
export type RecordOwner = OnDelivery | ManyOwner | undefined;

/** Told once for a batch: its records lie one behind the other there, since nobody overtakes a call that waits. */
export interface ManyOwner {
  /** The record of this index was the last to join the batch. */
  onPlaced(index: number, batch: PendingBatch): void;
  /** It never joined one. */
  onRefused(index: number, error: SluiceError): void;
  onDecided(batch: PendingBatch, recordCount: number, outcome: Outcome): void;
}

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
  recordCount = 0;
  /** Of neighbouring records with one owner, and how many they are: a call costs the same however many it brought. */
  readonly #owners: RecordOwner[] = [];
  readonly #counts: number[] = [];
  #lastOwner: RecordOwner;
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

  /** False: it has no room for the record; an empty one has room for any. */
  append(record: RecordDraft, owner: RecordOwner, bytesMax: number): boolean {
    invariant(this.#builder !== undefined, 'B1: a record for a batch that was encoded');
    if (this.#builder.append(record, bytesMax) < 0) return false;
    this.recordCount += 1;
    this.bufferedBytes += bufferedBytes(record);
    const last = this.#owners.length - 1;
    if (last >= 0 && owner === this.#lastOwner) this.#counts[last] = (this.#counts[last] as number) + 1;
    else {
      this.#owners.push(owner);
      this.#counts.push(1);
      this.#lastOwner = owner;
    }
    return true;
  }

  /** Numbers and encodes it, unless it is. */
  encode(stamp: () => BatchStamp): Uint8Array {
    if (this.#bytes !== undefined) return this.#bytes;
    let builder = this.#builder;
    if (builder === undefined) {
      builder = new BatchBuilder();
      for (const record of this.#records ?? []) builder.append(draftOf(record));
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
    this.state = outcome.error === undefined ? 'delivered' : 'failed';
    this.attempt = undefined;
    this.#bytes = undefined;
    this.#builder = undefined;
    let unheard = false;
    let at = 0;
    for (const [index, owner] of this.#owners.entries()) {
      const count = this.#counts[index] as number;
      if (owner === undefined) unheard = true;
      else if (typeof owner === 'function') tellEach(owner, outcome, at, count);
      else owner.onDecided(this, count, outcome);
      at += count;
    }
    return unheard;
  }
}

function tellEach(onDelivery: OnDelivery, outcome: Outcome, from: number, count: number): void {
  const { error, partition, baseOffset, onThrown } = outcome;
  for (let at = from; at < from + count; at += 1) {
    try {
      onDelivery(error, { partition, offset: error === undefined ? baseOffset + at : -1 });
    } catch (thrown) {
      onThrown(thrown);
    }
  }
}

export interface Outcome {
  readonly error: SluiceError | undefined;
  readonly partition: number;
  readonly baseOffset: number;
  /** A caller's callback threw. */
  readonly onThrown: (thrown: unknown) => void;
}
