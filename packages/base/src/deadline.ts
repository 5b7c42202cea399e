/**
 * A moment that is put off again and again, as by each message of a leader that is not to be missed: its timer is not set
 * anew for that, but looks again once it runs. Owned by whoever waits for the moment.
 */
import type { Clock, Timer } from './clock.ts';

export class Deadline {
  readonly #clock: Clock;
  readonly #onDue: (lateMs: number) => void;
  #atMs = Number.POSITIVE_INFINITY;
  #timer: Timer | undefined;
  #timerAtMs = 0;

  /** @param onDue is told how late its timer ran: how long this process did nothing, at least */
  constructor(clock: Clock, onDue: (lateMs: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** In place of the moment that there was, on the monotonic clock; one that is over is due in the next turn. */
  set(atMs: number): void {
    this.#atMs = atMs;
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    this.#timer?.cancel();
    this.#arm();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#timerAtMs = Math.max(nowMs, this.#atMs);
    this.#timer = this.#clock.setTimer(this.#timerAtMs - nowMs, () => {
      this.#timer = undefined;
      const ranMs = this.#clock.monotonicMs();
      if (ranMs < this.#atMs) this.#arm();
      else this.#onDue(ranMs - this.#timerAtMs);
    });
  }
}
