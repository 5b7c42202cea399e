/** Gathers epochs and producers from the batch headers of a log, in order: for `loaded` and `producersReloaded`. */
import { invariant, leaderEpoch, producerEpoch, producerId } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { offsetAfterBatch } from '@sluice/record';
import type { BatchHeader } from '@sluice/record';
import { EpochCache } from './epoch-cache.ts';
import type { BatchFacts, EpochStart, ProducerFacts, ProducerSnapshot } from './events.ts';
import { ProducerStates } from './producer-state.ts';

type ProducerFields = Pick<BatchHeader, 'producerId' | 'producerEpoch' | 'baseSequence'>;

/** Undefined for a batch whose producer is not idempotent. The header must have been checked. */
export const producerFactsOf = (header: ProducerFields): ProducerFacts | undefined =>
  header.producerId < 0
    ? undefined
    : {
        producerId: producerId(header.producerId),
        producerEpoch: producerEpoch(header.producerEpoch),
        baseSequence: header.baseSequence,
      };

/** Of a batch that a leader has given its offset and epoch. */
export const batchFactsOf = (header: BatchHeader): BatchFacts => ({
  baseOffset: header.baseOffset,
  endOffset: offsetAfterBatch(header),
  bytes: header.batchBytes,
  leaderEpoch: leaderEpoch(header.leaderEpoch),
  producer: producerFactsOf(header),
});

export class LogScan {
  readonly #epochs = new EpochCache();
  readonly #producers: ProducerStates;
  #end: Offset | undefined;

  /** `producerCountMax` as in the configuration of the replica. */
  constructor(producerCountMax: number) {
    this.#producers = new ProducerStates(producerCountMax);
  }

  /** The next batch of the log. Throws `InvariantError` when it does not follow the one before. */
  add(batch: BatchFacts): void {
    invariant(this.#end === undefined || batch.baseOffset >= this.#end, 'batches of a log are in offset order', {
      end: this.#end,
      baseOffset: batch.baseOffset,
    });
    this.#epochs.enter(batch.leaderEpoch, batch.baseOffset);
    this.#producers.record(batch, 0);
    this.#end = batch.endOffset;
  }

  get epochs(): readonly EpochStart[] {
    return this.#epochs.entries;
  }

  producers(): readonly ProducerSnapshot[] {
    return this.#producers.snapshots();
  }
}
