/**
 * Sleeps of fractions of a millisecond, which timers of the event loop round up: at 1,000 records a second that would
 * add up to a millisecond to each latency that counts from when a record was due. A thread does the sleeping, so that
 * the wait costs no processor time.
 */
import { Worker } from 'node:worker_threads';

/** Shorter sleeps are made this long; what falls due meanwhile is sent together. */
const shortestUs = 200;
const longestUs = 1_000_000;

export class Metronome implements AsyncDisposable {
  readonly #cells = new Int32Array(new SharedArrayBuffer(8));
  readonly #thread = new Worker(new URL('./metronome-thread.ts', import.meta.url), { workerData: this.#cells });
  #wake: () => void = () => undefined;
  #failed: Error | undefined;

  constructor() {
    this.#thread.on('message', () => this.#wake());
    this.#thread.on('error', (error: Error) => {
      this.#failed = error;
      this.#wake();
    });
  }

  /** One at a time. May wake early: the caller looks at its clock. */
  async sleep(ms: number): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#tell(Math.min(longestUs, Math.max(shortestUs, Math.round(ms * 1000))));
    await woken;
    if (this.#failed !== undefined) throw this.#failed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#tell(-1);
    await this.#thread.terminate();
  }

  #tell(us: number): void {
    Atomics.store(this.#cells, 0, us);
    Atomics.notify(this.#cells, 0);
  }
}
