/**
 * The wall clock of one process, without its jumps: what is stamped with it and what is judged by it stay comparable
 * when somebody sets the clock. Small corrections are followed, and so is a jump that is taken back.
 */
import type { Clock } from './clock.ts';

/** Wall clocks that differ by more are not to be believed when data would be deleted by them. */
export const clockDisagreementMsMax = 3_600_000;

export class SteadyWall {
  readonly #clock: Clock;
  /** Wall clock less monotonic clock when the process started. */
  readonly #offsetMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offsetMs = clock.wallMs() - clock.monotonicMs();
  }

  /** How much further the wall clock went than the monotonic one since the start. */
  get jumpMs(): number {
    return this.#clock.wallMs() - this.#clock.monotonicMs() - this.#offsetMs;
  }

  get hasJumped(): boolean {
    return Math.abs(this.jumpMs) > clockDisagreementMsMax;
  }

  /** Milliseconds since the Unix epoch; while the wall clock has jumped, what it would say had it not. */
  wallMs(): number {
    return this.hasJumped ? this.#clock.monotonicMs() + this.#offsetMs : this.#clock.wallMs();
  }
}
