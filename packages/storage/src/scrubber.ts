/**
 * Reads what lies in finished files again, at a fixed rate, so that damage is found while other replicas still hold the
 * records (S9). What it finds is charged to the log by the log itself, as when a reader meets it.
 *
 * Owns where the pass stands. Made and closed by the node log.
 *
 * W1 One piece at a time, and a pause behind it that keeps the rate: it is never in the way of groups and readers.
 * W2 A pass goes over every log that there is when it begins; the next begins `scrubIntervalMs` after it, at the earliest.
 */
import type { Clock, Timer } from '@sluice/base';

/** A piece of a log was read, every byte of it. */
export interface Checked {
  /** Where the next piece begins. */
  readonly next: number;
  readonly bytes: number;
}

export interface CheckedLog {
  /** Undefined when no finished file holds anything from here on, or nothing is to be found out any more. */
  check(from: number): Promise<Checked | undefined>;
}

export interface ScrubLimits {
  /** 0: nothing is read. */
  readonly scrubBytesPerSecondMax: number;
  readonly scrubIntervalMs: number;
}

export interface ScrubberOptions {
  readonly clock: Clock;
  readonly limits: ScrubLimits;
  readonly logs: () => Iterable<CheckedLog>;
  /** The node log cannot go on: a disk that fails is no damage. */
  readonly isStopped: () => boolean;
}

export interface ScrubStats {
  readonly bytes: number;
  readonly passes: number;
}

export class Scrubber {
  readonly #options: ScrubberOptions;
  #left: CheckedLog[] = [];
  #from = 0;
  #passBeganMs = 0;
  #bytes = 0;
  #passes = 0;
  #timer: Timer | undefined;
  #inFlight: Promise<void> | undefined;
  #closed = false;

  constructor(options: ScrubberOptions) {
    this.#options = options;
  }

  get stats(): ScrubStats {
    return { bytes: this.#bytes, passes: this.#passes };
  }

  start(): void {
    if (this.#options.limits.scrubBytesPerSecondMax > 0) this.#beginPass();
  }

  /** Resolves when nothing is read any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#inFlight;
  }

  #beginPass(): void {
    const { clock, logs } = this.#options;
    this.#passBeganMs = clock.monotonicMs();
    this.#left = [...logs()].toReversed();
    this.#from = 0;
    this.#later(0);
  }

  #later(delayMs: number, run: () => void = () => void (this.#inFlight = this.#piece())): void {
    if (this.#closed || this.#options.isStopped()) return;
    this.#timer = this.#options.clock.setTimer(delayMs, run);
  }

  async #piece(): Promise<void> {
    const log = this.#left.at(-1);
    if (log === undefined) return this.#endPass();
    const checked = await log.check(this.#from);
    if (checked === undefined) this.#left.pop();
    this.#from = checked?.next ?? 0;
    const bytes = checked?.bytes ?? 0;
    this.#bytes += bytes;
    this.#later((bytes * 1_000) / this.#options.limits.scrubBytesPerSecondMax);
  }

  #endPass(): void {
    const { clock, limits } = this.#options;
    this.#passes += 1;
    this.#later(Math.max(0, this.#passBeganMs + limits.scrubIntervalMs - clock.monotonicMs()), () => this.#beginPass());
  }
}
