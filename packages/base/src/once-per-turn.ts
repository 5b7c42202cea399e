import type { Clock } from './clock.ts';

/** Gathers the work of one turn: however often `soon` is called, `run` is called once, after what is ready now. */
export class OncePerTurn {
  readonly #clock: Clock;
  readonly #run: () => void;
  #due = false;

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock;
    this.#run = run;
  }

  soon(): void {
    if (this.#due) return;
    this.#due = true;
    this.#clock.defer(() => {
      // Before the run: what it brings about is for the next turn.
      this.#due = false;
      this.#run();
    });
  }
}
