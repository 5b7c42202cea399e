/** Knows when all that was handed over before a certain call is decided. What comes later delays nobody. */
export class FlushTracker {
  readonly #undecided = new Map<number, number>();
  #generation = 0;
  #waiters: { readonly generation: number; readonly done: () => void }[] = [];

  /** Of what is handed over now. */
  get generation(): number {
    return this.#generation;
  }

  enter(generation: number): void {
    this.#undecided.set(generation, (this.#undecided.get(generation) ?? 0) + 1);
  }

  leave(generation: number): void {
    const left = (this.#undecided.get(generation) ?? 0) - 1;
    if (left > 0) {
      this.#undecided.set(generation, left);
      return;
    }
    this.#undecided.delete(generation);
    if (this.#waiters.length === 0) return;
    const oldest = Math.min(...this.#undecided.keys());
    const done = this.#waiters.filter((waiter) => waiter.generation < oldest);
    this.#waiters = this.#waiters.filter((waiter) => waiter.generation >= oldest);
    for (const waiter of done) waiter.done();
  }

  /** Resolves when everything of this and earlier generations is decided. */
  flushed(): Promise<void> {
    const generation = this.#generation;
    this.#generation += 1;
    if (this.#undecided.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push({ generation, done: resolve });
    });
  }
}
