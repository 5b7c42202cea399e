/** Time and turns that move when the test says so: nothing here waits for the real clock. */
import type { Clock, Timer } from '@sluice/base';

interface Planned {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 1_000;
  #planned: Planned[] = [];
  #deferred: (() => void)[] = [];
  #count = 0;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  setTimer(delayMs: number, onFire: () => void): Timer {
    this.#count += 1;
    const planned = { atMs: this.#nowMs + Math.max(0, delayMs), number: this.#count, run: onFire };
    this.#planned.push(planned);
    return {
      cancel: () => {
        this.#planned = this.#planned.filter((other) => other !== planned);
      },
    };
  }

  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  get timers(): number {
    return this.#planned.length;
  }

  /** Everything that is ready now has happened, and what came of it. */
  async settle(): Promise<void> {
    do {
      for (const run of this.#deferred.splice(0)) run();
      await new Promise<void>((resolve) => void setImmediate(resolve));
    } while (this.#deferred.length > 0);
  }

  async pass(forMs: number): Promise<void> {
    const endMs = this.#nowMs + forMs;
    await this.settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#planned = this.#planned.filter((other) => other !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await this.settle();
    }
    this.#nowMs = endMs;
  }

  /** Time passes until the condition holds; throws when it does not within `limitMs`. */
  async until(what: string, isSo: () => boolean, limitMs = 30_000): Promise<void> {
    const endMs = this.#nowMs + limitMs;
    await this.settle();
    while (!isSo()) {
      const next = this.#next(endMs);
      if (next === undefined) throw new Error(`not within ${limitMs} ms: ${what}`);
      await this.pass(Math.max(0, next.atMs - this.#nowMs));
    }
  }

  #next(endMs: number): Planned | undefined {
    return this.#planned
      .filter((planned) => planned.atMs <= endMs)
      .toSorted((a, b) => a.atMs - b.atMs || a.number - b.number)[0];
  }
}
