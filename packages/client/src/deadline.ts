import type { Clock } from '@sluice/base';
import type { CallLimits } from './node-calls.ts';

/** Time left of a call that takes several steps. */
export class Deadline {
  readonly signal: AbortSignal | undefined;
  readonly #clock: Clock;
  readonly #atMs: number;

  constructor(clock: Clock, timeoutMs: number, signal: AbortSignal | undefined) {
    this.signal = signal;
    this.#clock = clock;
    this.#atMs = clock.monotonicMs() + timeoutMs;
  }

  get leftMs(): number {
    return Math.max(0, this.#atMs - this.#clock.monotonicMs());
  }

  get limits(): CallLimits {
    return { timeoutMs: this.leftMs, signal: this.signal };
  }
}
