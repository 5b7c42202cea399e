/**
 * How fast this node reads behind the tail for its followers: so many bytes a second, over all of them. Owned by
 * `ReplicationService`; the streams ask it before each such read (ADR 0035).
 *
 * U1. Reads are charged when it is known what they took, and no other begins before that is paid for; the streams that
 *     waited go on together, each with one read. Time that was not used is given for a quarter of a second at most.
 * U2. What a partition takes in while a follower is behind in it comes on top: to one that keeps up it would have been
 *     pushed too. So the gap closes at the rate of the budget, however much is produced.
 */
import type { Clock, Timer } from '@sluice/base';

const savedMsMax = 250;

export class CatchUpBudget {
  readonly #clock: Clock;
  readonly #bytesPerMs: number;
  /** When what was charged so far is paid for, on the monotonic clock. */
  #paidMs: number;
  #waiting = new Set<() => void>();
  #timer: Timer | undefined;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#paidMs = clock.monotonicMs();
  }

  /** True: one read may begin now. False: `run` is called once when it may. */
  mayRead(run: () => void): boolean {
    if (this.#paidMs <= this.#clock.monotonicMs()) return true;
    this.#waiting.add(run);
    this.#wakeLater();
    return false;
  }

  charge(bytes: number): void {
    this.#paidMs = Math.max(this.#paidMs, this.#clock.monotonicMs() - savedMsMax) + bytes / this.#bytesPerMs;
  }

  /** U2. */
  earn(bytes: number): void {
    this.#paidMs -= bytes / this.#bytesPerMs;
  }

  /** Its stream is closed. */
  forget(run: () => void): void {
    this.#waiting.delete(run);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#waiting.clear();
  }

  #wakeLater(): void {
    if (this.#timer !== undefined) return;
    const nowMs = this.#clock.monotonicMs();
    this.#timer = this.#clock.setTimer(Math.max(0, this.#paidMs - nowMs), () => {
      this.#timer = undefined;
      if (this.#paidMs > this.#clock.monotonicMs()) return this.#wakeLater();
      const woken = this.#waiting;
      this.#waiting = new Set();
      for (const run of woken) run();
    });
  }
}
