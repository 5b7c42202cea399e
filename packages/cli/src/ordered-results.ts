/**
 * Outcomes of records in input order, each as soon as it and all before it are decided. Owned by the produce command.
 *
 * O1 A line is written exactly once and never before the lines of earlier records.
 * O2 At most `windowMax` records are undecided or unwritten: whoever adds awaits `room` first.
 */
import type { SluiceError } from '@sluice/base';
import type { Delivery, OnDelivery } from '@sluice/client';
import { exitCodeOf, exitCodes, worseExit } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';

export type Outcome = Delivery | { readonly failure: SluiceError };

export interface OrderedResultsOptions {
  readonly windowMax: number;
  /** Gets gathered outcomes, in order, one call at a time. */
  readonly write: (outcomes: readonly Outcome[]) => Promise<void>;
}

interface Slot {
  outcome: Outcome | undefined;
}

export class OrderedResults {
  readonly #options: OrderedResultsOptions;
  #slots: Slot[] = [];
  #head = 0;
  #unwritten = 0;
  #ready: Outcome[] = [];
  #writing = false;
  #writeError: Error | undefined;
  #waiting: (() => void)[] = [];
  #succeeded = 0;
  #failed = 0;
  #exit: ExitCode = exitCodes.done;

  constructor(options: OrderedResultsOptions) {
    this.#options = options;
  }

  get succeeded(): number {
    return this.#succeeded;
  }

  get failed(): number {
    return this.#failed;
  }

  /** The worst so far. */
  get exit(): ExitCode {
    return this.#exit;
  }

  /** Takes the next record's place; what it returns is called once, with the outcome. */
  add(): OnDelivery {
    const slot: Slot = { outcome: undefined };
    this.#slots.push(slot);
    this.#unwritten += 1;
    return (failure, placed) => {
      if (failure === undefined) {
        this.#succeeded += 1;
        this.#decide(slot, placed);
      } else {
        this.#failed += 1;
        this.#exit = worseExit(this.#exit, exitCodeOf(failure));
        this.#decide(slot, { failure });
      }
    };
  }

  /** Resolves when another record may be added. */
  room(): Promise<void> | undefined {
    return this.#unwritten < this.#options.windowMax
      ? undefined
      : this.#until(() => this.#unwritten < this.#options.windowMax);
  }

  /** Resolves when everything added is decided and written. */
  drained(): Promise<void> {
    return this.#until(() => this.#unwritten === 0);
  }

  #decide(slot: Slot, outcome: Outcome): void {
    slot.outcome = outcome;
    for (let next = this.#slots[this.#head]?.outcome; next !== undefined; next = this.#slots[this.#head]?.outcome) {
      this.#ready.push(next);
      this.#head += 1;
    }
    // The decided front is cut off when it is half of the array: each slot moves once on average.
    if (this.#head > 1024 && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
    if (this.#ready.length === 0 || this.#writing) return;
    this.#writing = true;
    void this.#writeReady();
  }

  async #writeReady(): Promise<void> {
    try {
      // Outcomes of one turn of the event loop become one write.
      await Promise.resolve();
      while (this.#ready.length > 0) {
        const outcomes = this.#ready;
        this.#ready = [];
        await this.#options.write(outcomes);
        this.#unwritten -= outcomes.length;
        this.#wake();
      }
    } catch (error) {
      this.#writeError = error instanceof Error ? error : new Error(String(error));
    }
    this.#writing = false;
    this.#wake();
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.#writeError !== undefined) throw this.#writeError;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }
}
