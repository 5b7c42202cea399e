/**
 * The kernel: one queue of events, one seed, simulated time. Everything that happens in a run happens because an event
 * of this queue ran; promises settle between events, before the next one is taken.
 *
 * Z1. The next event is taken only when no promise reaction is pending: each runs in an immediate of its own, and Node
 *     runs all microtasks between two immediates. Many are queued at once, so that a turn of the real event loop, with
 *     whatever else the process does, is paid once for many events; nothing of the run happens in it.
 * Z2. The same seed gives the same events in the same order: `traceHash` covers time and label of each, and whatever is
 *     given to `note`.
 * Z3. While an event and its promise reactions run, what is not simulated is out of reach (see `traps`).
 * Z4. What an event defers belongs to it: it runs in the order in which it was deferred, each with its promise reactions,
 *     before the event is looked at and the next one is taken.
 */
import { SeededRandom } from '@sluice/base';
import type { Random } from '@sluice/base';
import { EventQueue } from './event-queue.ts';
import { arm, disarm, installTraps, standDown } from './traps.ts';

/** Events for one turn of the real event loop. */
const eventsPerTurn = 256;
/** More at one moment is a loop. */
const eventsAtOnceMax = 100_000;
/** Of an event: in place of its label's characters. */
const labelHashes = new Map<string, number>();
const { setImmediate: nextTurn } = globalThis;

interface Waiter {
  readonly what: string;
  readonly limitMs: number;
  readonly limitUs: number;
  readonly isDone: () => boolean;
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

export class Simulation {
  readonly random: Random;
  readonly #queue = new EventQueue();
  /** Of the event that runs (Z4). */
  readonly #deferred: (() => void)[] = [];
  #waiters: Waiter[] = [];
  /** Immediates that are queued. */
  #turns = 0;
  #afterEvent: (() => void) | undefined;
  #unchecked = false;
  #nowUs = 0;
  #events = 0;
  /** At this moment. */
  #eventsNow = 0;
  #hashHigh = 0x811c_9dc5;
  #hashLow = 0xcbf2_9ce4;

  /** Any safe integer. */
  constructor(seed: number) {
    installTraps();
    const root = new SeededRandom(seed);
    const beyond = Math.floor(seed / 0x1_0000_0000);
    this.random = beyond === 0 ? root : root.fork(`beyond ${beyond}`);
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

  /** Called after each event and its promise reactions; what it throws ends the run. */
  set afterEvent(check: (() => void) | undefined) {
    this.#afterEvent = check;
  }

  /** What the hash must cover beside times and labels: what was sent, and where everybody stands. */
  note(value: number): void {
    this.#mix(value);
    this.#mix(Math.floor(value / 0x1_0000_0000));
  }

  noteText(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.#mix(text.charCodeAt(at));
  }

  /** Never earlier than asked for: whole microseconds, rounded up. Returns the function that takes the event back. */
  schedule(delayUs: number, label: string, run: () => void): () => void {
    const event = this.#queue.add(this.#nowUs + Math.max(0, Math.ceil(delayUs)), label, run);
    return () => {
      event.cancelled = true;
    };
  }

  /** Runs once the promise reactions of the present event have run, at the same moment (Z4). */
  defer(run: () => void): void {
    this.#deferred.push(run);
  }

  /** Runs until the condition holds after an event; rejects when simulated time passes `limitMs` more first. */
  until(what: string, limitMs: number, isDone: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ what, limitMs, limitUs: this.#nowUs + limitMs * 1000, isDone, resolve, reject });
      this.#turnOver();
    });
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

  /** The run is over, perhaps in the middle of an event: whoever waits is told so. */
  fail(reason: Error): void {
    standDown();
    const failed = this.#waiters;
    this.#waiters = [];
    for (const { reject } of failed) reject(reason);
  }

  #turnOver(): void {
    if (this.#turns > 0) return;
    this.#turns = eventsPerTurn;
    for (let turn = 0; turn < eventsPerTurn; turn += 1) nextTurn(this.#turn);
  }

  readonly #turn = (): void => {
    this.#turns -= 1;
    try {
      disarm();
      if (this.#deferred.length > 0) return this.#goOn();
      if (this.#unchecked) {
        this.#unchecked = false;
        this.#afterEvent?.();
      }
      // Who waited goes on first, and nothing is armed for what it does.
      if (!this.#someAreDone() && this.#waiters.length > 0 && this.#turns > 0) this.#step();
    } catch (error) {
      this.fail(error as Error);
    } finally {
      if (this.#waiters.length > 0) this.#turnOver();
    }
  };

  #someAreDone(): boolean {
    let done: Set<Waiter> | undefined;
    for (const waiter of this.#waiters) if (!this.#waits(waiter)) done = (done ?? new Set()).add(waiter);
    const gone = done;
    if (gone !== undefined) this.#waiters = this.#waiters.filter((waiter) => !gone.has(waiter));
    return gone !== undefined;
  }

  #waits({ what, limitMs, limitUs, isDone, resolve, reject }: Waiter): boolean {
    if (isDone()) resolve();
    else if (this.#nowUs > limitUs) reject(new Error(`not within ${limitMs} ms of simulated time: ${what}`));
    else return true;
    return false;
  }

  /** The next of what was deferred. */
  #goOn(): void {
    if (this.#turns === 0 || this.#waiters.length === 0) return;
    const run = this.#deferred.shift();
    this.#countAtOnce('what was deferred');
    arm();
    run?.();
  }

  #step(): void {
    const event = this.#queue.take();
    if (event === undefined) throw new Error('nothing is left to happen, and the run is not over');
    if (event.atUs !== this.#nowUs) this.#eventsNow = 0;
    this.#countAtOnce(event.label);
    this.#nowUs = event.atUs;
    this.#events += 1;
    this.note(event.atUs);
    this.#mix(labelHash(event.label));
    this.#unchecked = true;
    arm();
    event.run();
  }

  #countAtOnce(label: string): void {
    this.#eventsNow += 1;
    if (this.#eventsNow > eventsAtOnceMax) throw new Error(`time stands still at ${this.nowMs} ms: ${label}`);
  }

  /** Two hashes of 32 bits, as FNV-1a by words, with different primes. */
  #mix(word: number): void {
    const { imul } = Math;
    // Turned, because a product carries upwards only.
    this.#hashHigh = imul(((this.#hashHigh << 5) | (this.#hashHigh >>> 27)) ^ word, 0x0100_0193);
    this.#hashLow = imul(((this.#hashLow << 7) | (this.#hashLow >>> 25)) ^ word, 0x01b3_0f1d);
  }
}

/** Of the text alone; labels are few, and each is on thousands of events. */
function labelHash(label: string): number {
  let hash = labelHashes.get(label);
  if (hash === undefined) {
    hash = 0x811c_9dc5;
    for (let at = 0; at < label.length; at += 1) hash = Math.imul(hash ^ label.charCodeAt(at), 0x0100_0193);
    labelHashes.set(label, hash);
  }
  return hash;
}
