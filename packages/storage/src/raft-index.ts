/**
 * What stable media hold of the Raft state. Rows are applied in log order, live when their group is durable and again
 * on recovery, under the same rules as those of a log (`LogIndex` X2, X3).
 *
 * An entry at index i discards every entry at and after i (P1, P7).
 */
import type { LogIndex, Term } from '@sluice/base';
import { logIndex, term } from '@sluice/base';
import type { AppliedAt } from './log-index.ts';
import type { RaftEntry, RaftHardState } from './raft-store.ts';
import type { RaftRow } from './rows.ts';

/** An entry of the open file, for its footer. */
export interface StoredEntry {
  readonly index: LogIndex;
  readonly term: Term;
  readonly kind: number;
  /** Of the payload, in the file. */
  readonly position: number;
  readonly bytes: number;
  readonly crc: number;
}

export interface RaftSummary {
  readonly previousGroup: number;
  readonly lastGroup: number;
  readonly absolute: boolean;
  /** Of earlier files, only entries below this index survive; absent: all. */
  readonly keepBelow: number | undefined;
  readonly hardState: RaftHardState;
  readonly doubtful: boolean;
}

export class RaftIndex {
  hardState: RaftHardState = { term: term(0), votedFor: null };
  doubtful = false;
  lastGroup = 0;
  /** Of the open file. */
  stored: StoredEntry[] = [];
  /** Everything that recovery found, until it is taken. */
  #recovered: RaftEntry[] | undefined = [];
  #lastIndex = 0;
  #touched: { readonly previousGroup: number; absolute: boolean; keepBelow: number | undefined } | undefined;
  #suspect = false;
  #broken = false;

  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** `payload` is the entry's, while recovering. */
  apply(row: RaftRow, at: AppliedAt, payload?: Uint8Array): void {
    const absolute = row.kind === 'raft-doubtful';
    if (!this.#follows(row.previousGroup, absolute)) return;
    if (row.kind === 'raft-entry' && this.#lastIndex > 0 && row.index > this.#lastIndex + 1) {
      this.#break();
      return;
    }
    this.#touched ??= { previousGroup: row.previousGroup, absolute: false, keepBelow: undefined };
    if (absolute) this.#touched.absolute = true;
    this.lastGroup = at.group;
    switch (row.kind) {
      case 'raft-hard-state':
        this.hardState = { term: row.term, votedFor: row.votedFor };
        break;
      case 'raft-truncate':
        this.#cut(row.from);
        break;
      case 'raft-entry': {
        const { index, term: entryTerm, entryKind: kind, bytes, crc } = row;
        this.#cut(index);
        this.stored.push({ index, term: entryTerm, kind, position: at.payloadPosition + row.payloadAt, bytes, crc });
        this.#add({ index, term: entryTerm, kind, payload: payload ?? new Uint8Array(0) });
        break;
      }
      case 'raft-doubtful':
        this.doubtful = true;
        break;
      case 'raft-healed':
        this.doubtful = false;
        break;
    }
  }

  applySummary(summary: RaftSummary, entries: readonly RaftEntry[]): void {
    if (!this.#follows(summary.previousGroup, summary.absolute)) return;
    if (summary.keepBelow !== undefined) this.#cut(summary.keepBelow);
    this.hardState = summary.hardState;
    this.doubtful = summary.doubtful;
    this.lastGroup = summary.lastGroup;
    for (const entry of entries) this.#add(entry);
  }

  /** What a file's header repeats; it may be newer than anything else that damage left. */
  applyHeader(hardState: RaftHardState): void {
    if (hardState.term > this.hardState.term) this.hardState = hardState;
  }

  summary(): RaftSummary | undefined {
    if (this.#touched === undefined) return undefined;
    const { lastGroup, hardState, doubtful } = this;
    return { ...this.#touched, lastGroup, hardState, doubtful };
  }

  /** What a checkpoint says when every file so far is dropped. */
  droppedSummary(): RaftSummary {
    const { lastGroup, hardState, doubtful } = this;
    const absolute = { previousGroup: 0, absolute: true, keepBelow: undefined };
    return { ...absolute, lastGroup, hardState, doubtful };
  }

  finishFile(): void {
    this.stored = [];
    this.#touched = undefined;
  }

  suspect(): void {
    this.#suspect = true;
  }

  damagedRow(): void {
    this.#break();
  }

  /** After recovery; true when doubt is new. */
  settle(): boolean {
    const fresh = this.#broken || this.#suspect;
    if (fresh) this.doubtful = true;
    this.#broken = false;
    this.#suspect = false;
    return fresh;
  }

  /** What recovery found; afterwards entries are no longer kept in memory. */
  take(): readonly RaftEntry[] {
    const entries = this.#recovered ?? [];
    this.#recovered = undefined;
    return entries;
  }

  #follows(previousGroup: number, absolute: boolean): boolean {
    if (absolute || (!this.#broken && previousGroup === this.lastGroup)) {
      this.#broken = false;
      this.#suspect = false;
      return true;
    }
    this.#break();
    return false;
  }

  #break(): void {
    this.#broken = true;
    this.doubtful = true;
  }

  #add(entry: RaftEntry): void {
    this.#recovered?.push(entry);
    this.#lastIndex = entry.index;
  }

  #cut(from: number): void {
    if (this.#touched !== undefined) this.#touched.keepBelow = Math.min(this.#touched.keepBelow ?? from, from);
    if (from > this.#lastIndex) return;
    while ((this.stored.at(-1)?.index ?? -1) >= from) this.stored.pop();
    while ((this.#recovered?.at(-1)?.index ?? -1) >= from) this.#recovered?.pop();
    this.#lastIndex = logIndex(Math.max(0, from - 1));
  }
}
