/** Adapter: time of this machine. */
import { performance } from 'node:perf_hooks';
import type { Clock, Timer } from '@sluice/base';

export class SystemClock implements Clock {
  monotonicMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  setTimer(delayMs: number, onFire: () => void): Timer {
    return new SystemTimer(this, delayMs, onFire);
  }

  defer(run: () => void): void {
    setImmediate(run);
  }
}

/** Node fires at once when asked for more than this. */
const nodeTimerMsMax = 2 ** 31 - 1;

class SystemTimer implements Timer {
  readonly #clock: Clock;
  readonly #dueMs: number;
  readonly #onFire: () => void;
  #pending: NodeJS.Timeout;

  constructor(clock: Clock, delayMs: number, onFire: () => void) {
    this.#clock = clock;
    this.#dueMs = clock.monotonicMs() + delayMs;
    this.#onFire = onFire;
    this.#pending = this.#arm();
  }

  cancel(): void {
    clearTimeout(this.#pending);
  }

  #arm(): NodeJS.Timeout {
    const leftMs = Math.ceil(this.#dueMs - this.#clock.monotonicMs());
    return setTimeout(() => this.#onTimeout(), Math.min(Math.max(leftMs, 0), nodeTimerMsMax));
  }

  /** Node rounds down to whole milliseconds; the port promises no earlier. */
  #onTimeout(): void {
    if (this.#clock.monotonicMs() < this.#dueMs) this.#pending = this.#arm();
    else this.#onFire();
  }
}
