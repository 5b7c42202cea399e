import { SluiceError } from '@sluice/base';
import { sleep } from '../sleep.ts';

/** A pause longer than this is no flow. */
const steadyPauseMsMax = 300;
const pollMs = 20;

/** How long no ack came. */
export class AckPauses {
  readonly #steadyMs: number;
  readonly #now: () => number;
  #lastMs: number;
  #longestMs = 0;

  constructor(steadyMs: number, now: () => number = () => performance.now()) {
    this.#steadyMs = steadyMs;
    this.#now = now;
    this.#lastMs = now();
  }

  acked(): void {
    const nowMs = this.#now();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  /** The longest since the last call, in whole milliseconds; one that still lasts counts. */
  takeLongestMs(): number {
    const longestMs = Math.round(Math.max(this.#longestMs, this.#now() - this.#lastMs));
    this.#longestMs = 0;
    return longestMs;
  }

  /** Resolves once acks have flowed for the time given, without a long pause. Rejects with `TIMEOUT`. */
  async steady(timeoutMs: number, stop: AbortSignal): Promise<void> {
    const startMs = this.#now();
    let sinceMs = startMs;
    while (this.#now() - sinceMs < this.#steadyMs && !stop.aborted) {
      if (this.#now() - startMs > timeoutMs) {
        throw new SluiceError('TIMEOUT', { message: `Acks do not flow again within ${timeoutMs / 1000} s.` });
      }
      await sleep(pollMs, stop);
      if (this.#now() - this.#lastMs > steadyPauseMsMax) sinceMs = this.#now();
    }
  }
}
