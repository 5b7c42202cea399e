/**
 * One `sendMany`: counts what is decided and settles when all is. Owns the outcome; `Producer` brings its records to
 * their batches, which report here once each.
 */
import { SluiceError } from '@sluice/base';
import { Deliveries } from './deliveries.ts';
import type { ManyOwner, Outcome, PendingBatch } from './pending-batch.ts';

interface Place {
  partition: number;
  baseOffset: number;
}

export interface SendCallOptions {
  readonly recordCount: number;
  readonly onFailed: ((index: number, error: SluiceError) => void) | undefined;
  /** Once; `error` is undefined exactly when all were delivered. */
  readonly onSettled: (error: SluiceError | undefined, deliveries: Deliveries) => void;
  /** The caller's `onFailed` threw. */
  readonly onThrown: (thrown: unknown) => void;
}

export class SendCall implements ManyOwner {
  readonly #options: SendCallOptions;
  readonly #deliveries: Deliveries;
  readonly #places = new Map<PendingBatch, Place>();
  #lastBatch: PendingBatch | undefined;
  #lastPlace: Place = { partition: -1, baseOffset: -1 };
  #undecided: number;
  #failed = 0;
  #allDefinite = true;
  #firstError: SluiceError | undefined;

  constructor(options: SendCallOptions) {
    this.#options = options;
    this.#deliveries = new Deliveries(options.recordCount);
    this.#undecided = options.recordCount;
    if (options.recordCount === 0) options.onSettled(undefined, this.#deliveries);
  }

  onPlaced(index: number, batch: PendingBatch): void {
    if (batch !== this.#lastBatch) {
      this.#lastBatch = batch;
      this.#lastPlace = this.#placeOf(batch);
    }
    this.#deliveries.place(index, this.#lastPlace, batch.recordCount - 1);
  }

  onRefused(index: number, error: SluiceError): void {
    this.#tell(index, error);
    this.#decide(1, error);
  }

  onDecided(batch: PendingBatch, recordCount: number, { error, partition, baseOffset }: Outcome): void {
    const place = this.#placeOf(batch);
    place.partition = partition;
    place.baseOffset = error === undefined ? baseOffset : -1;
    if (error !== undefined && this.#options.onFailed !== undefined) {
      for (const index of this.#deliveries.indexesIn(place)) this.#tell(index, error);
    }
    this.#decide(recordCount, error);
  }

  #placeOf(batch: PendingBatch): Place {
    const known = this.#places.get(batch);
    if (known !== undefined) return known;
    const place = { partition: -1, baseOffset: -1 };
    this.#places.set(batch, place);
    return place;
  }

  #tell(index: number, error: SluiceError): void {
    try {
      this.#options.onFailed?.(index, error);
    } catch (thrown) {
      this.#options.onThrown(thrown);
    }
  }

  #decide(recordCount: number, error: SluiceError | undefined): void {
    this.#undecided -= recordCount;
    if (error !== undefined) {
      this.#failed += recordCount;
      this.#firstError ??= error;
      this.#allDefinite &&= error.definite;
    }
    if (this.#undecided > 0) return;
    const first = this.#firstError;
    this.#options.onSettled(first === undefined ? undefined : this.#rejection(first), this.#deliveries);
  }

  /** Definite only if the log has none of them. */
  #rejection(first: SluiceError): SluiceError {
    const records = this.#deliveries.length;
    const failed = this.#failed;
    return new SluiceError(first.code, {
      message: `${failed} of ${records} records failed, the first of them so: ${first.message}`,
      details: { ...first.details, failed, records },
      retry: first.retry,
      definite: failed === records && this.#allDefinite,
      cause: first,
    });
  }
}
