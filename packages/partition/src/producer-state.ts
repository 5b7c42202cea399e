/**
 * What a replica remembers of idempotent producers: for each, the last five batches of its newest epoch (I1 to I6).
 * Leader and followers keep it alike, from the batches they append.
 *
 * R1 A producer's window holds 1 to 5 batches of one epoch, in offset order.
 * R2 No window holds a batch at or past the log's end; those that a truncation cut are empty until reloaded (I5).
 * R3 The map is in order of last append, so the one idle for longest is first.
 * R4 No producer is forgotten that may have a batch in doubt (`producerIdleMsMin`): a leader that knows `countMax` of
 *    those refuses new ones. So of any hour no log has batches of more than `countMax` producers, and whoever takes over
 *    a log, from a leader or a disk, goes by their order alone: in how short a time it does says nothing.
 */
import { invariant } from '@sluice/base';
import type { ErrorCode, Offset, ProducerEpoch, ProducerId } from '@sluice/base';
import { producerIdleMsMin, sequenceAfter } from '@sluice/record';
import type { BatchFacts, ProducerBatch, ProducerFacts, ProducerSnapshot } from './events.ts';

/** Also the most batches that a producer may have in flight (I3). */
export const producerWindowBatches = 5;

export type SequenceVerdict =
  | { readonly kind: 'next' }
  /** Appended before, at these offsets. */
  | { readonly kind: 'duplicate'; readonly batch: ProducerBatch }
  | { readonly kind: 'refused'; readonly error: ErrorCode };

interface ProducerWindow {
  readonly producerId: ProducerId;
  producerEpoch: ProducerEpoch;
  batches: ProducerBatch[];
  appendedMs: number;
}

export class ProducerStates {
  readonly #windows = new Map<ProducerId, ProducerWindow>();
  readonly #countMax: number;
  readonly #idleMsMin: number;
  /** Producers whose window a truncation cut, and that wait for a reload. */
  #cut: Set<ProducerId> | undefined;

  /** `idleMsMin`: who appended something since is never forgotten. */
  constructor(countMax: number, idleMsMin: number = producerIdleMsMin) {
    this.#countMax = countMax;
    this.#idleMsMin = idleMsMin;
  }

  get count(): number {
    return this.#windows.size;
  }

  /** True from a truncation that cut a window to the reload: nothing may be judged or recorded meanwhile. */
  get reloadNeeded(): boolean {
    return this.#cut !== undefined;
  }

  /** May this batch of a client be appended? */
  judge(facts: ProducerFacts, recordCount: number, nowMs: number): SequenceVerdict {
    const known = this.#windows.get(facts.producerId);
    const last = known?.batches.at(-1);
    // I2, I6: a producer that is unknown, or comes with a new epoch, starts at 0.
    if (known === undefined || last === undefined || facts.producerEpoch > known.producerEpoch) {
      if (facts.baseSequence !== 0) return refused('OUT_OF_ORDER_SEQUENCE');
      return known === undefined && this.#isFull(nowMs) ? refused('TOO_MANY_PRODUCERS') : next;
    }
    if (facts.producerEpoch < known.producerEpoch) return refused('INVALID_PRODUCER_EPOCH');
    const lastSequence = sequenceAfter(facts.baseSequence, recordCount - 1);
    const batch = known.batches.find(
      (one) => one.baseSequence === facts.baseSequence && one.lastSequence === lastSequence,
    );
    if (batch !== undefined) return { kind: 'duplicate', batch };
    return facts.baseSequence === sequenceAfter(last.lastSequence, 1) ? next : refused('OUT_OF_ORDER_SEQUENCE');
  }

  /** A batch entered the log, here or at the leader before (I4: nothing is refused any more). */
  record(batch: Omit<BatchFacts, 'leaderEpoch' | 'bytes'>, nowMs: number): void {
    const facts = batch.producer;
    if (facts === undefined) return;
    const remembered: ProducerBatch = {
      baseSequence: facts.baseSequence,
      lastSequence: sequenceAfter(facts.baseSequence, batch.endOffset - batch.baseOffset - 1),
      baseOffset: batch.baseOffset,
      endOffset: batch.endOffset,
    };
    const known = this.#windows.get(facts.producerId);
    if (known === undefined || known.producerEpoch !== facts.producerEpoch) {
      this.#insert({
        producerId: facts.producerId,
        producerEpoch: facts.producerEpoch,
        batches: [remembered],
        appendedMs: nowMs,
      });
    } else {
      if (known.batches.length === producerWindowBatches) known.batches.shift();
      known.batches.push(remembered);
      known.appendedMs = nowMs;
      this.#insert(known);
    }
    this.#forgetBeyondMax();
  }

  /**
   * The log now ends at `logEnd`. A window without a batch past it is unchanged by definition: it holds the last five
   * batches below `logEnd`. Any other lost batches that only the log still knows, and is dropped until `reload` (I5).
   */
  truncateTo(logEnd: Offset): void {
    for (const window of this.#windows.values()) {
      const last = window.batches.at(-1);
      if (last !== undefined && last.endOffset <= logEnd) continue;
      this.#windows.delete(window.producerId);
      this.#cut ??= new Set();
      this.#cut.add(window.producerId);
    }
  }

  /** Takes from `producers`, read from the log, those that a truncation cut; the others are known better here. */
  reload(producers: readonly ProducerSnapshot[], logEnd: Offset, nowMs: number): void {
    for (const snapshot of producers) {
      if (this.#cut?.has(snapshot.producerId) === true) this.load(snapshot, logEnd, nowMs);
    }
    this.#cut = undefined;
    this.#sort();
  }

  load(snapshot: ProducerSnapshot, logEnd: Offset, nowMs: number): void {
    const { producerId, producerEpoch, ageMs, batches } = snapshot;
    const last = batches.at(-1);
    invariant(batches.length <= producerWindowBatches && last !== undefined, 'R1: one to five batches', { producerId });
    invariant(last.endOffset <= logEnd, 'R2: a remembered batch is in the log', { producerId, last, logEnd });
    this.#insert({ producerId, producerEpoch, batches: [...batches], appendedMs: nowMs - ageMs });
    this.#forgetBeyondMax();
  }

  /** Forgets producers that appended nothing since `sinceMs`. By append time here, not by the producer's clock. */
  expire(sinceMs: number): void {
    for (const window of this.#windows.values()) {
      if (window.appendedMs >= sinceMs) return;
      this.#windows.delete(window.producerId);
    }
  }

  /** In order of last append. */
  snapshots(nowMs: number): readonly ProducerSnapshot[] {
    return Array.from(this.#windows.values(), ({ producerId, producerEpoch, appendedMs, batches }) => ({
      producerId,
      producerEpoch,
      ageMs: Math.max(0, Math.floor(nowMs - appendedMs)),
      batches: [...batches],
    }));
  }

  /** Base offsets of all remembered batches. */
  windowOffsets(): ReadonlySet<Offset> {
    const offsets = new Set<Offset>();
    for (const { batches } of this.#windows.values()) for (const { baseOffset } of batches) offsets.add(baseOffset);
    return offsets;
  }

  clear(): void {
    this.#windows.clear();
    this.#cut = undefined;
  }

  #insert(window: ProducerWindow): void {
    this.#windows.delete(window.producerId);
    this.#windows.set(window.producerId, window);
  }

  /** R4: as many as may be known, and none that may be forgotten. */
  #isFull(nowMs: number): boolean {
    return this.#windows.size >= this.#countMax && !this.#isIdle(this.#first(), nowMs);
  }

  /** The one idle for longest: at a leader it may be forgotten, or `judge` had refused the new one. */
  #forgetBeyondMax(): void {
    const first = this.#first();
    if (first !== undefined && this.#windows.size > this.#countMax) this.#windows.delete(first.producerId);
  }

  #isIdle(window: ProducerWindow | undefined, nowMs: number): boolean {
    return window !== undefined && nowMs - window.appendedMs > this.#idleMsMin;
  }

  #first(): ProducerWindow | undefined {
    for (const window of this.#windows.values()) return window;
    return undefined;
  }

  /** R3 */
  #sort(): void {
    const endOf = ({ batches }: ProducerWindow): number => batches.at(-1)?.endOffset ?? 0;
    const inOrder = [...this.#windows.values()].toSorted((one, other) => endOf(one) - endOf(other));
    this.#windows.clear();
    for (const window of inOrder) this.#windows.set(window.producerId, window);
  }
}

const next: SequenceVerdict = { kind: 'next' };
const refused = (error: ErrorCode): SequenceVerdict => ({ kind: 'refused', error });
