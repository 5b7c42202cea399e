/**
 * How fast a rewrite may go: so many bytes a second, in pieces of which each may have to wait for its turn. Time that was
 * not used is given for half a second at most.
 */
import type { Clock, Timer } from '@sluice/base';

const savedMsMax = 500;

export class RewritePace {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** When what was taken so far is paid for, on the monotonic clock. */
  #paidMs: number;
  #waiting: { readonly timer: Timer; readonly end: () => void } | undefined;
  #stopped = false;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#paidMs = clock.monotonicMs();
  }

  /** Resolves when these bytes may be written; at once after `stop`. `hurry`: so many times as fast. */
  async take(bytes: number, hurry: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const fromMs = Math.max(this.#paidMs, nowMs - savedMsMax);
    this.#paidMs = fromMs + (bytes * 1000) / (this.#bytesPerSecond * hurry);
    if (this.#stopped || this.#paidMs <= nowMs) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        this.#waiting = undefined;
        timer.cancel();
        resolve();
      };
      const timer = this.#clock.setTimer(this.#paidMs - nowMs, end);
      this.#waiting = { timer, end };
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#waiting?.end();
  }
}
