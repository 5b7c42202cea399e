/** A clock for tests: time moves when the test says so, through every timer on the way. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, Timer } from '@sluice/base';

interface ManualTimer {
  readonly atMs: number;
  readonly onFire: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  #timers: ManualTimer[] = [];
  #deferred: (() => void)[] = [];

  /** Timers that are set. */
  get timers(): number {
    return this.#timers.length;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return 1_800_000_000_000 + this.#nowMs;
  }

  setTimer(delayMs: number, onFire: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, onFire };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  /** Runs everything that is ready now: promises and what was deferred, and what they bring about. */
  async settle(): Promise<void> {
    for (;;) {
      await nextTurn();
      const ready = this.#deferred;
      if (ready.length === 0) return;
      this.#deferred = [];
      for (const run of ready) run();
    }
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= untilMs);
      const next = due.toSorted((one, other) => one.atMs - other.atMs)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.onFire();
      await this.settle();
    }
    this.#nowMs = untilMs;
  }

  /** The outcome of the promise, moving time on for as long as it takes, at most `ms`. */
  async outcome<T>(promise: Promise<T>, ms = 600_000): Promise<T> {
    let done = false;
    const settled = (): void => {
      done = true;
    };
    promise.then(settled, settled);
    await this.settle();
    const stopMs = this.#nowMs + ms;
    while (!done && this.#nowMs < stopMs) await this.advance(10);
    if (!done) throw new Error(`nothing came of it within ${ms} ms`);
    return promise;
  }
}
