import type { Clock } from '@sluice/base';

/** Enough to keep a long turn honest. */
const readsMax = 256;

/**
 * Time as it was when this turn first asked, or not long after: reading both clocks costs about as much as encoding a
 * record.
 */
export class TurnTime {
  readonly #clock: Clock;
  #readsLeft = 0;
  #wallMs = 0;
  #monotonicMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whole milliseconds since the Unix epoch, as of the last `monotonicMs`. */
  get wallMs(): number {
    return this.#wallMs;
  }

  /** Asked first. */
  monotonicMs(): number {
    this.#readsLeft -= 1;
    if (this.#readsLeft < 0) this.#read();
    return this.#monotonicMs;
  }

  #read(): void {
    // One for each turn that asks: an earlier one of this turn ends the turn as well.
    this.#clock.defer(() => {
      this.#readsLeft = 0;
    });
    this.#readsLeft = readsMax;
    this.#wallMs = Math.trunc(this.#clock.wallMs());
    this.#monotonicMs = this.#clock.monotonicMs();
  }
}
