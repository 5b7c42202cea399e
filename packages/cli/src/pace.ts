import { sleep } from './sleep.ts';

/** Even spacing: record number `n` is due at `n / ratePerSecond` seconds after the start. */
export class Pace {
  readonly #intervalMs: number;
  readonly #startMs: number;
  #sent = 0;

  constructor(ratePerSecond: number) {
    this.#intervalMs = 1000 / ratePerSecond;
    this.#startMs = performance.now();
  }

  /** Resolves when the next record is due, or when `stop` aborts. */
  async turn(stop: AbortSignal): Promise<void> {
    const dueMs = this.#startMs + this.#sent * this.#intervalMs;
    this.#sent += 1;
    const leftMs = dueMs - performance.now();
    // A timer takes a millisecond or more: who is late waits for none, or no rate above 1,000 could be kept.
    if (leftMs > 0) await sleep(leftMs, stop);
  }
}
