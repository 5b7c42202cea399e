/**
 * The `Clock` port moved by hand: time and turns pass when the owner says so, through every timer on the way. Nothing
 * here waits for the real clock, so whoever is driven by it does the same things in the same order every time.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock, Timer } from '@sluice/base';

interface Planned {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

/** An arbitrary moment: nobody may depend on it. */
const wallStartMs = 1_800_000_000_000;
const outcomeStepMs = 10;

export class ManualClock implements Clock {
  #nowMs = 0;
  #planned: Planned[] = [];
  #deferred: (() => void)[] = [];
  #count = 0;
  #jumpedMs = 0;

  monotonicMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return wallStartMs + this.#nowMs + this.#jumpedMs;
  }

  /** Somebody sets the wall clock. */
  jumpWall(byMs: number): void {
    this.#jumpedMs += byMs;
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

  /** Timers that are set. */
  get timers(): number {
    return this.#planned.length;
  }

  /** Everything that is ready now has happened, and what came of it. */
  async settle(): Promise<void> {
    do {
      for (const run of this.#deferred.splice(0)) run();
      await nextTurn();
    } while (this.#deferred.length > 0);
  }

  async pass(forMs: number): Promise<void> {
    const endMs = this.#nowMs + forMs;
    await this.settle();
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      const taken = next;
      this.#planned = this.#planned.filter((other) => other !== taken);
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

  /** What became of the promise, with time passing for as long as it takes, at most `limitMs`. */
  async outcome<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let done = false;
    const settled = (): void => {
      done = true;
    };
    promise.then(settled, settled);
    await this.settle();
    const endMs = this.#nowMs + limitMs;
    while (!done && this.#nowMs < endMs) await this.pass(outcomeStepMs);
    if (!done) throw new Error(`nothing came of it within ${limitMs} ms`);
    return promise;
  }

  #next(endMs: number): Planned | undefined {
    return this.#planned
      .filter((planned) => planned.atMs <= endMs)
      .toSorted((a, b) => a.atMs - b.atMs || a.number - b.number)[0];
  }
}
