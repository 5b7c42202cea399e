/**
 * Owns the log in memory and the knowledge of how much of it is on disk. Called by every phase, changed by
 * `replication` (a leader appends), `following` (a follower appends and truncates), `compaction` and `state`
 * (durability).
 *
 * - L1: entries are contiguous from `baseIndex` + 1, terms never fall; if there are any, they reach the snapshot.
 * - L2: `durableIndex` speaks of the log **as it is now**: an entry that replaced another at the same index is not
 *   durable because the other was (async append ABA).
 * - L3: persist numbers complete in order.
 *
 * The base is the position before the first entry. It lies at the snapshot, or below it, because entries are kept for
 * followers that are a little behind. Without a snapshot it is index 0, term 0.
 */
import { invariant, logIndex, nextIndex, term } from '@sluice/base';
import type { LogIndex, Term } from '@sluice/base';
import type { Entry } from './messages.ts';

/** What an entry costs beside its payload, in memory and on the wire. */
const entryOverheadBytes = 64;

export const entryBytes = (entry: Entry): number => entry.payload.length + entryOverheadBytes;

/** The most entries that an append of `bytesMax` carries, each of them empty. */
export const entriesMax = (bytesMax: number): number => Math.max(1, Math.floor(bytesMax / entryOverheadBytes));

interface PendingPersist {
  readonly number: number;
  /** What `durableIndex` becomes with it; lowered when a later truncation voids a part of the write (L2). */
  durableTo: LogIndex;
}

export class LogView {
  #baseIndex: LogIndex;
  /** Unknown after a restart with entries below the snapshot. */
  #baseTerm: Term | undefined;
  #snapshotIndex: LogIndex;
  #snapshotTerm: Term;
  #entries: Entry[] = [];
  #durableIndex: LogIndex;
  #pending: PendingPersist[] = [];

  constructor(snapshot: { readonly index: LogIndex; readonly term: Term } | undefined, entries: readonly Entry[]) {
    this.#snapshotIndex = snapshot?.index ?? logIndex(0);
    this.#snapshotTerm = snapshot?.term ?? term(0);
    const firstIndex = entries[0]?.index ?? nextIndex(this.#snapshotIndex);
    this.#baseIndex = logIndex(firstIndex - 1);
    this.#baseTerm = this.#baseIndex === this.#snapshotIndex ? this.#snapshotTerm : undefined;
    for (const entry of entries) this.append(entry);
    invariant(
      this.#baseIndex <= this.#snapshotIndex &&
        this.lastIndex >= this.#snapshotIndex &&
        this.termAt(this.#snapshotIndex) === this.#snapshotTerm,
      'L1: entries and snapshot do not fit together',
      { firstIndex, lastIndex: this.lastIndex, snapshotIndex: this.#snapshotIndex },
    );
    this.#durableIndex = this.lastIndex;
  }

  /** The first entry held, or, without any, the one that would be. */
  get firstIndex(): LogIndex {
    return nextIndex(this.#baseIndex);
  }

  /** 0 without a snapshot. */
  get snapshotIndex(): LogIndex {
    return this.#snapshotIndex;
  }

  get lastIndex(): LogIndex {
    return logIndex(this.#baseIndex + this.#entries.length);
  }

  get lastTerm(): Term {
    return this.#entries.at(-1)?.term ?? this.#snapshotTerm;
  }

  get durableIndex(): LogIndex {
    return this.#durableIndex;
  }

  get snapshotTerm(): Term {
    return this.#snapshotTerm;
  }

  entryAt(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#baseIndex - 1];
  }

  /** Undefined below the base, beyond the end, and at a base whose term is not known. */
  termAt(index: LogIndex): Term | undefined {
    return index === this.#baseIndex ? this.#baseTerm : this.entryAt(index)?.term;
  }

  /** Entries `from` to `to`, both included. */
  range(from: LogIndex, to: LogIndex): readonly Entry[] {
    return this.#entries.slice(from - this.#baseIndex - 1, to - this.#baseIndex);
  }

  /** Entries from `from` on, at least one if there is one, and no more than `bytesMax` unless one alone exceeds it. */
  prefix(from: LogIndex, bytesMax: number): { readonly entries: readonly Entry[]; readonly bytes: number } {
    const start = from - this.#baseIndex - 1;
    let bytes = 0;
    let end = start;
    for (let entry = this.#entries[end]; entry !== undefined; entry = this.#entries[end]) {
      if (end > start && bytes + entryBytes(entry) > bytesMax) break;
      bytes += entryBytes(entry);
      end += 1;
    }
    return { entries: this.#entries.slice(start, end), bytes };
  }

  append(entry: Entry): void {
    const lastTerm = this.#entries.at(-1)?.term ?? this.#baseTerm ?? 0;
    invariant(entry.index === nextIndex(this.lastIndex) && entry.term >= lastTerm, 'L1: entry does not follow', {
      index: entry.index,
      term: entry.term,
      lastIndex: this.lastIndex,
      lastTerm,
    });
    this.#entries.push(entry);
  }

  truncateFrom(index: LogIndex): void {
    invariant(index > this.#baseIndex, 'L1: truncation below the base', { index, base: this.#baseIndex });
    this.#entries.length = index - this.#baseIndex - 1;
    this.#voidAbove(this.lastIndex);
  }

  /** The snapshot of `index` takes the place of the entries up to there; those below `keepFrom` go. */
  compact(index: LogIndex, keepFrom: LogIndex): void {
    const snapshotTerm = this.termAt(index);
    invariant(
      snapshotTerm !== undefined && keepFrom > this.#baseIndex && keepFrom <= index + 1 && index <= this.#durableIndex,
      'L1: a snapshot of what the log does not hold',
      { index, keepFrom, base: this.#baseIndex, lastIndex: this.lastIndex, durableIndex: this.#durableIndex },
    );
    const base = logIndex(keepFrom - 1);
    const baseTerm = this.termAt(base);
    this.#entries = this.#entries.slice(base - this.#baseIndex);
    this.#baseIndex = base;
    this.#baseTerm = baseTerm;
    this.#snapshotIndex = index;
    this.#snapshotTerm = snapshotTerm;
  }

  /** Nothing of the log stays. It counts as durable up to `durableTo`, what is delivered, until the write is. */
  replaceBy(index: LogIndex, snapshotTerm: Term, durableTo: LogIndex): void {
    this.#entries = [];
    this.#baseIndex = index;
    this.#baseTerm = snapshotTerm;
    this.#snapshotIndex = index;
    this.#snapshotTerm = snapshotTerm;
    this.#voidAbove(durableTo);
  }

  /** The write `number` holds everything up to the end of the log as it is now. */
  writing(number: number): void {
    this.#pending.push({ number, durableTo: this.lastIndex });
  }

  /** Writes up to `number` are durable. */
  written(number: number): void {
    let done = 0;
    for (const write of this.#pending) {
      if (write.number > number) break;
      if (write.durableTo > this.#durableIndex) this.#durableIndex = write.durableTo;
      done += 1;
    }
    this.#pending = this.#pending.slice(done);
    invariant(this.#durableIndex <= this.lastIndex, 'L2: durable beyond the end', { lastIndex: this.lastIndex });
  }

  /**
   * The highest index, at most `index`, whose term is at most `agreedTerm`: no entry above it can equal one of a log
   * that has `agreedTerm` at `index`. Skips a whole term where a walk would take one round trip an entry.
   */
  agreementBelow(index: LogIndex, agreedTerm: Term): LogIndex {
    let at = Math.min(index, this.lastIndex);
    for (;;) {
      const here = this.termAt(logIndex(at));
      if (here === undefined || here <= agreedTerm || at === this.#baseIndex) return logIndex(at);
      at -= 1;
    }
  }

  /** What is or will be on disk above `index` is not the log as it is now (L2). */
  #voidAbove(index: LogIndex): void {
    if (this.#durableIndex > index) this.#durableIndex = index;
    for (const write of this.#pending) if (write.durableTo > index) write.durableTo = index;
  }
}
