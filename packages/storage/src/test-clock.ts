/** A clock for tests: time moves when the test says so; what is deferred runs as a microtask. */
import type { Clock, Timer } from '@sluice/base';

export class TestClock implements Clock {
  readonly #wallOriginMs: number;
  #nowMs = 0;
  #timers: { atMs: number; onFire: () => void }[] = [];

  constructor(wallOriginMs = 0) {
    this.#wallOriginMs = wallOriginMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#wallOriginMs + this.#nowMs;
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
    queueMicrotask(run);
  }

  advance(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs).toSorted((a, b) => a.atMs - b.atMs);
    this.#timers = this.#timers.filter((timer) => timer.atMs > this.#nowMs);
    for (const timer of due) timer.onFire();
  }
}
