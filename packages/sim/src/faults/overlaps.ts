/**
 * Conditions that several faults of a plan may ask for at once, such as a cut of one link: the newest that is not over
 * holds, and all is well again only with the end of the last one. Owned by the fault driver.
 */
export interface Condition {
  /** Called again when a newer one ends. */
  readonly apply: () => void;
  readonly calm: () => void;
}

export class Overlaps {
  readonly #asked = new Map<string, readonly Condition[]>();

  /** `what` the condition is about: those of one name take each other's place. Returns the function that ends it. */
  begin(what: string, condition: Condition): () => void {
    this.#asked.set(what, [...(this.#asked.get(what) ?? []), condition]);
    condition.apply();
    return () => this.#end(what, condition);
  }

  /** Nothing is asked for any more: ends that come later change nothing. */
  calmAll(): void {
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    for (const conditions of asked) conditions.at(-1)?.calm();
  }

  #end(what: string, condition: Condition): void {
    const asked = this.#asked.get(what) ?? [];
    if (!asked.includes(condition)) return;
    const left = asked.filter((each) => each !== condition);
    const newest = left.at(-1);
    if (newest === undefined) {
      this.#asked.delete(what);
      condition.calm();
      return;
    }
    this.#asked.set(what, left);
    if (asked.at(-1) === condition) newest.apply();
  }
}
