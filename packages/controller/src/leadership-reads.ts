/**
 * What waits until a quorum has confirmed that this node still leads (ReadIndex), and its image is as new as that asks
 * for: answers that commit nothing, which without it may come from the image of a leader that was replaced. One read is
 * under way at a time, and all who come meanwhile share the next: a round of the quorum, whatever their number. Owned by
 * `Decisions`.
 */
import type { LogIndex } from '@sluice/base';
import type { ReadOutcome } from '@sluice/raft';

export interface Waiter {
  readonly confirmed: () => void;
  /** Nobody knows whether this node led. */
  readonly failed: () => void;
}

interface ReadUnderWay {
  readonly id: number;
  readonly waiters: readonly Waiter[];
  /** Known once it is confirmed. */
  index: LogIndex | undefined;
}

export class LeadershipReads {
  readonly #read: (id: number) => void;
  readonly #appliedIndex: () => LogIndex;
  #lastId = 0;
  #underWay: ReadUnderWay | undefined;
  #next: Waiter[] = [];

  constructor(read: (id: number) => void, appliedIndex: () => LogIndex) {
    this.#read = read;
    this.#appliedIndex = appliedIndex;
  }

  get waiting(): number {
    return (this.#underWay?.waiters.length ?? 0) + this.#next.length;
  }

  /** Nothing that was heard before this call counts. */
  wait(waiter: Waiter): void {
    this.#next.push(waiter);
    this.#begin();
  }

  onReads(outcomes: readonly ReadOutcome[]): void {
    for (const outcome of outcomes) {
      const underWay = this.#underWay;
      if (underWay === undefined || outcome.id !== underWay.id) continue;
      if (outcome.outcome === 'not-leader') this.fail();
      else underWay.index = outcome.index;
    }
    this.onApplied();
  }

  onApplied(): void {
    const underWay = this.#underWay;
    if (underWay?.index === undefined || underWay.index > this.#appliedIndex()) return;
    this.#underWay = undefined;
    for (const { confirmed } of underWay.waiters) confirmed();
    this.#begin();
  }

  /** Leadership ended; what is still heard of the read under way is of no interest. */
  fail(): void {
    const failed = [...(this.#underWay?.waiters ?? []), ...this.#next];
    this.#underWay = undefined;
    this.#next = [];
    for (const waiter of failed) waiter.failed();
  }

  #begin(): void {
    if (this.#underWay !== undefined || this.#next.length === 0) return;
    this.#lastId += 1;
    this.#underWay = { id: this.#lastId, waiters: this.#next, index: undefined };
    this.#next = [];
    // May be answered within this call.
    this.#read(this.#lastId);
  }
}
