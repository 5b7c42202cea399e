/** Even spacing: record number `n` is due at `n / ratePerSecond` seconds after the start. */
export class Pace {
  readonly #intervalMs: number;
  readonly #startMs: number;
  #sent = 0;

  constructor(ratePerSecond: number, startMs: number) {
    this.#intervalMs = 1000 / ratePerSecond;
    this.#startMs = startMs;
  }

  /** When the next record is due, on the clock of `startMs`; takes it. */
  nextDueMs(): number {
    const due = this.#startMs + this.#sent * this.#intervalMs;
    this.#sent += 1;
    return due;
  }
}
