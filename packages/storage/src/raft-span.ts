/**
 * Which indexes a Raft log spans: the snapshot that it starts with, and contiguous entries. Pure; `RaftIndex` keeps one for
 * what is durable, `RaftLog` one for what is asked for.
 *
 * N1 The first entry lies at most one behind the snapshot; entries at and below it may be kept.
 * N2 Nothing stays behind what is cut, also where that lies at or below the snapshot (P7).
 * N3 An entry right behind the snapshot, above a gap, discards the entries below: the snapshot stands for them.
 */
export class RaftSpan {
  /** 0 without a snapshot. */
  snapshotIndex = 0;
  #first = 0;
  /** 0 without entries. */
  #last = 0;

  /** Of the log as Raft sees it. */
  get lastIndex(): number {
    return Math.max(this.#last, this.snapshotIndex);
  }

  /** 0 without entries. */
  get lastEntry(): number {
    return this.#last;
  }

  /** No entry below it lives. */
  get firstIndex(): number {
    return this.#last === 0 ? this.snapshotIndex + 1 : this.#first;
  }

  /** N1. While a log is replayed it may not hold: what was compacted later may be gone already. */
  get fits(): boolean {
    return this.firstIndex <= this.snapshotIndex + 1;
  }

  /** What an entry at this index does to those before it, beside cutting off what follows; undefined: it follows nothing. */
  follows(index: number): 'keep' | 'discard' | undefined {
    if (this.#last === 0 || index <= this.#last + 1) return 'keep';
    return index === this.snapshotIndex + 1 ? 'discard' : undefined;
  }

  append(index: number): void {
    if (this.#last === 0 || index <= this.#first) this.#first = index;
    this.#last = index;
  }

  cut(from: number): void {
    if (from <= this.#last) this.#last = from <= this.#first ? 0 : from - 1;
  }

  dropBelow(keepFrom: number): void {
    if (keepFrom > this.#last) this.#last = 0;
    else this.#first = Math.max(this.#first, keepFrom);
  }

  copy(): RaftSpan {
    const copy = new RaftSpan();
    copy.snapshotIndex = this.snapshotIndex;
    copy.#first = this.#first;
    copy.#last = this.#last;
    return copy;
  }
}
