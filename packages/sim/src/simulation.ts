/**
 * The kernel: one queue of events, one seed, simulated time. Everything that happens in a run happens because an event
 * of this queue ran; promises settle between events, before the next one is taken.
 *
 * Z1. The next event is taken only when no promise reaction is pending (a turn of the real event loop has passed).
 * Z2. The same seed gives the same events in the same order: `traceHash` covers time and label of each.
 */
import { SeededRandom } from '@sluice/base';
import type { Clock, Random } from '@sluice/base';
import { EventQueue } from './event-queue.ts';

export class Simulation {
  readonly random: Random;
  readonly #queue = new EventQueue();
  #nowUs = 0;
  #events = 0;
  #hashHigh = 0x811c_9dc5;
  #hashLow = 0xcbf2_9ce4;

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  get nowMs(): number {
    return this.#nowUs / 1000;
  }

  get events(): number {
    return this.#events;
  }

  /** 16 hex digits. */
  get traceHash(): string {
    return [this.#hashHigh, this.#hashLow].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }

  /** Never earlier than asked for: whole microseconds, rounded up. Returns the function that takes the event back. */
  schedule(delayUs: number, label: string, run: () => void): () => void {
    const event = this.#queue.add(this.#nowUs + Math.max(0, Math.ceil(delayUs)), label, run);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs until the condition holds after an event; throws when simulated time passes `limitMs` more first. */
  async until(what: string, limitMs: number, isDone: () => boolean): Promise<void> {
    const limitUs = this.#nowUs + limitMs * 1000;
    await settled();
    while (!isDone()) {
      if (this.#nowUs > limitUs) throw new Error(`not within ${limitMs} ms of simulated time: ${what}`);
      await this.#step();
    }
  }

  /** Lets simulated time pass. */
  async pass(forMs: number): Promise<void> {
    let over = false;
    this.schedule(forMs * 1000, 'pass', () => {
      over = true;
    });
    await this.until('time passes', forMs + 1, () => over);
  }

  /** Runs until the promise settles, and gives what it gave. */
  async settle<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
    let over = false;
    const watched = promise.finally(() => {
      over = true;
    });
    // The rejection is reported by the return below.
    watched.catch(() => undefined);
    await this.until(what, limitMs, () => over);
    return watched;
  }

  async #step(): Promise<void> {
    const event = this.#queue.take();
    if (event === undefined) throw new Error('nothing is left to happen, and the run is not over');
    this.#nowUs = event.atUs;
    this.#events += 1;
    this.#mix(`${event.atUs} ${event.label}`);
    event.run();
    await settled();
  }

  /** Two FNV-1a hashes of 32 bits with different primes. */
  #mix(text: string): void {
    for (let at = 0; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      this.#hashHigh = Math.imul(this.#hashHigh ^ code, 0x0100_0193);
      this.#hashLow = Math.imul(this.#hashLow ^ code, 0x01b3_0f1d);
    }
  }
}

/** One turn of the real event loop: every promise reaction has run by then. */
const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** When simulated runs begin on the wall clock: a moment that no test depends on. */
const wallStartMs = 1_800_000_000_000;

/** The clock of one process: its timers die with it. */
export class SimClock implements Clock {
  readonly #simulation: Simulation;
  readonly #owner: string;
  #alive = true;

  constructor(simulation: Simulation, owner: string) {
    this.#simulation = simulation;
    this.#owner = owner;
  }

  monotonicMs(): number {
    return this.#simulation.nowMs;
  }

  wallMs(): number {
    return wallStartMs + Math.floor(this.#simulation.nowMs);
  }

  setTimer(delayMs: number, onFire: () => void): { cancel(): void } {
    return { cancel: this.#schedule(delayMs * 1000, 'timer', onFire) };
  }

  defer(run: () => void): void {
    this.#schedule(0, 'defer', run);
  }

  /** The process is dead: nothing that it planned happens any more. */
  die(): void {
    this.#alive = false;
  }

  #schedule(delayUs: number, kind: string, run: () => void): () => void {
    return this.#simulation.schedule(delayUs, `${this.#owner} ${kind}`, () => {
      if (this.#alive) run();
    });
  }
}
