/**
 * Who waits for a stream to have passed on what it holds. Owned by one end of a stream, which calls `check` whenever it
 * holds less and `close` when it is over.
 *
 * D1 Each wait is over once: it ran, or the stream closed.
 * D2 Nobody is called from inside `wait`, `check` or `close`.
 */

export interface DrainWaitsOptions {
  readonly bufferedBytes: () => number;
  /** Calls later, soon (D2). */
  readonly defer: (run: () => void) => void;
}

export class DrainWaits {
  readonly #options: DrainWaitsOptions;
  readonly #marks = new Map<() => void, number>();
  #isDue = false;
  #closed = false;

  constructor(options: DrainWaitsOptions) {
    this.#options = options;
  }

  wait(belowBytes: number, run: () => void): void {
    if (this.#closed) return;
    this.#marks.set(run, Math.max(belowBytes, this.#marks.get(run) ?? 0));
    this.check();
  }

  check(): void {
    if (this.#marks.size === 0 || this.#isDue) return;
    if (!this.#isAnyBelow()) return;
    this.#isDue = true;
    this.#options.defer(this.#runAll);
  }

  close(): void {
    this.#closed = true;
    this.#marks.clear();
  }

  #isAnyBelow(): boolean {
    const bytes = this.#options.bufferedBytes();
    for (const mark of this.#marks.values()) if (bytes < mark) return true;
    return false;
  }

  readonly #runAll = (): void => {
    this.#isDue = false;
    // Who waits again now has the next turn (D2).
    const waiting = [...this.#marks];
    for (const [run, mark] of waiting) {
      // One that ran may have sent more, or closed the stream.
      if (this.#options.bufferedBytes() >= mark || !this.#marks.delete(run)) continue;
      run();
    }
  };
}
