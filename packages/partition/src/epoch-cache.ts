/**
 * Which leader epochs a log holds and where each begins: what divergence is judged by, instead of high watermarks.
 * Derived from batch headers; owned by one replica.
 *
 * E1 Epochs and start offsets both grow strictly from entry to entry.
 * E2 An epoch, once entered, keeps its start until it is truncated or trimmed.
 */
import { invariant, offset } from '@sluice/base';
import type { LeaderEpoch, Offset } from '@sluice/base';
import type { EpochStart } from './events.ts';

/** The largest epoch not above the one asked for, and where it ends. */
export interface EpochEnd {
  readonly epoch: LeaderEpoch;
  readonly endOffset: Offset;
}

export class EpochCache {
  #entries: EpochStart[] = [];

  constructor(entries: readonly EpochStart[] = []) {
    for (const entry of entries) this.enter(entry.epoch, entry.startOffset);
  }

  get entries(): readonly EpochStart[] {
    return this.#entries;
  }

  /** The epoch of the last batch, or the one that this replica leads. */
  get latest(): LeaderEpoch | undefined {
    return this.#entries.at(-1)?.epoch;
  }

  get oldest(): LeaderEpoch | undefined {
    return this.#entries[0]?.epoch;
  }

  /** Batches of `epoch` begin at `startOffset`, unless the epoch is known already. */
  enter(epoch: LeaderEpoch, startOffset: Offset): void {
    const latest = this.latest;
    if (latest === epoch) return;
    invariant(latest === undefined || epoch > latest, 'E1: leader epochs grow along the log', { latest, epoch });
    // An epoch that never got a batch would start where the new one does.
    this.truncateTo(startOffset);
    this.#entries.push({ epoch, startOffset });
  }

  /** §2.2. Undefined when `epoch` is newer than every epoch of this log. */
  endOffsetFor(epoch: LeaderEpoch, logEnd: Offset): EpochEnd | undefined {
    const at = this.#entries.findIndex((entry) => entry.epoch > epoch);
    const next = this.#entries[at];
    if (next === undefined) return this.latest === epoch ? { epoch, endOffset: logEnd } : undefined;
    return { epoch: this.#entries[at - 1]?.epoch ?? epoch, endOffset: next.startOffset };
  }

  /** The log now ends at `logEnd`. */
  truncateTo(logEnd: Offset): void {
    while ((this.#entries.at(-1)?.startOffset ?? -1) >= logEnd) this.#entries.pop();
  }

  /** Takes back an epoch that was entered at the log's end and got no batch. */
  leave(epoch: LeaderEpoch, logEnd: Offset): void {
    const last = this.#entries.at(-1);
    if (last?.epoch === epoch && last.startOffset === logEnd) this.#entries.pop();
  }

  /** The log now starts at `logStart`; the epoch before it is kept, by which a log that ends there is judged. */
  trimTo(logStart: Offset): void {
    let covering = -1;
    for (const entry of this.#entries) {
      if (entry.startOffset >= logStart) break;
      covering += 1;
    }
    const first = this.#entries[covering];
    if (first === undefined) return;
    this.#entries.splice(0, covering + 1, { epoch: first.epoch, startOffset: offset(logStart - 1) });
  }

  clear(): void {
    this.#entries = [];
  }
}
