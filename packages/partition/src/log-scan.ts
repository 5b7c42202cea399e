/**
 * Gathers epochs and producers from a state snapshot and the batch headers behind it, or from all headers of a log, in
 * order: for `loaded` and `producersReloaded`.
 */
import { invariant, leaderEpoch, producerEpoch, producerId } from '@sluice/base';
import type { Offset } from '@sluice/base';
import { offsetAfterBatch } from '@sluice/record';
import type { BatchHeader } from '@sluice/record';
import { EpochCache } from './epoch-cache.ts';
import type { BatchFacts, EpochStart, ProducerFacts, ProducerSnapshot } from './events.ts';
import { ProducerStates } from './producer-state.ts';
import { larger } from './replica-state.ts';
import type { ReplicaSnapshot } from './state-snapshot.ts';

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
  readonly #epochs: EpochCache;
  readonly #producers: ProducerStates;
  readonly #known: ReplicaSnapshot | undefined;
  #end: Offset | undefined;

  /** `producerCountMax` as in the configuration of the replica; `known`: where to go on from. */
  constructor(producerCountMax: number, known?: ReplicaSnapshot) {
    this.#epochs = new EpochCache(known?.epochs);
    // By order alone (R4): when a batch was appended is not in a log.
    this.#producers = new ProducerStates(producerCountMax);
    this.#known = known;
    if (known === undefined) return;
    for (const producer of known.producers) this.#producers.load(producer, known.logEnd, 0);
  }

  /** The batch cannot follow what the snapshot tells: it is of another log, and must not be believed. */
  contradicts(batch: BatchFacts): boolean {
    return this.#known !== undefined && batch.leaderEpoch < (this.#known.epochs.at(-1)?.epoch ?? 0);
  }

  /** The next batch of the log. Throws `InvariantError` when it does not follow the one before. */
  add(batch: BatchFacts): void {
    invariant(this.#end === undefined || batch.baseOffset >= this.#end, 'batches of a log are in offset order', {
      end: this.#end,
      baseOffset: batch.baseOffset,
    });
    // A log that was empty when the snapshot was taken may have gone on with a batch that contains its start.
    this.#epochs.enter(batch.leaderEpoch, larger(batch.baseOffset, this.#known?.logEnd ?? batch.baseOffset));
    this.#producers.record(batch, 0);
    this.#end = batch.endOffset;
  }

  /** The log starts later than what the snapshot tells of. */
  trimTo(logStart: Offset): void {
    this.#epochs.trimTo(logStart);
  }

  get epochs(): readonly EpochStart[] {
    return this.#epochs.entries;
  }

  producers(): readonly ProducerSnapshot[] {
    return this.#producers.snapshots(0);
  }
}
