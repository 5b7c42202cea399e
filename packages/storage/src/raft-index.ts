/**
 * What stable media hold of the Raft state. Rows are applied in log order, live when their group is durable and again
 * on recovery, under the same rules as those of a log (`LogIndex` X2, X3).
 *
 * An entry at index i discards every entry at and after i (P1, P7), also where a snapshot stands for i. A snapshot discards
 * the entries below those that it keeps, or all: none of them is in memory any more.
 */
import type { LogIndex, Term } from '@sluice/base';
import { term } from '@sluice/base';
import type { AppliedAt } from './log-index.ts';
import type { RaftSnapshotRef } from './raft-snapshot-file.ts';
import { RaftSpan } from './raft-span.ts';
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
  /** And only from this index on; 0: all. */
  readonly keepFrom: number;
  /** That the log starts with. */
  readonly snapshot: RaftSnapshotRef | undefined;
  readonly hardState: RaftHardState;
  readonly doubtful: boolean;
}

interface Touched {
  readonly previousGroup: number;
  absolute: boolean;
  keepBelow: number | undefined;
  keepFrom: number;
}

export class RaftIndex {
  hardState: RaftHardState = { term: term(0), votedFor: null };
  doubtful = false;
  lastGroup = 0;
  snapshot: RaftSnapshotRef | undefined;
  /** Of the open file. */
  stored: StoredEntry[] = [];
  /** Everything that recovery found, until it is taken. */
  #recovered: RaftEntry[] | undefined = [];
  #span = new RaftSpan();
  #touched: Touched | undefined;
  #suspect = false;
  #broken = false;
  #isLogLost = false;
  /** Found damaged, or missing, by this recovery. */
  lostSnapshot: RaftSnapshotRef | undefined;

  get lastIndex(): number {
    return this.#span.lastIndex;
  }

  /** No entry below it lives. */
  get firstIndex(): number {
    return this.#span.firstIndex;
  }

  /** The entries go on from the snapshot. */
  get fits(): boolean {
    return this.#span.fits;
  }

  /** Of what is durable; a copy. */
  get span(): RaftSpan {
    return this.#span.copy();
  }

  /** `payload` is the entry's, while recovering. */
  apply(row: RaftRow, at: AppliedAt, payload?: Uint8Array): void {
    const absolute = row.kind === 'raft-doubtful';
    if (!this.#follows(row.previousGroup, absolute)) return;
    if (row.kind === 'raft-entry' && this.#span.follows(row.index) === undefined) {
      this.#break();
      return;
    }
    this.#touched ??= { previousGroup: row.previousGroup, absolute: false, keepBelow: undefined, keepFrom: 0 };
    if (absolute) this.#touched.absolute = true;
    this.lastGroup = at.group;
    switch (row.kind) {
      case 'raft-hard-state':
        this.hardState = { term: row.term, votedFor: row.votedFor };
        break;
      case 'raft-snapshot':
        if (row.replacesLog) this.#clear();
        else this.#dropBelow(row.keepFrom);
        this.#startWith(row.snapshot);
        break;
      case 'raft-reset':
        this.#clear();
        this.#startWith(undefined);
        break;
      case 'raft-truncate':
        this.#cut(row.from);
        break;
      case 'raft-entry': {
        const { index, term: entryTerm, entryKind: kind, bytes, crc } = row;
        if (this.#span.follows(index) === 'discard') this.#clear();
        else this.#cut(index);
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
    this.#dropBelow(summary.keepFrom);
    if (summary.keepBelow !== undefined) this.#cut(summary.keepBelow);
    this.#startWith(summary.snapshot);
    const [first] = entries;
    if (first !== undefined && this.#span.follows(first.index) !== 'keep') return this.#break();
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
    const { lastGroup, snapshot, hardState, doubtful } = this;
    return { ...this.#touched, lastGroup, snapshot, hardState, doubtful };
  }

  /** What a checkpoint says when every file so far is dropped. */
  droppedSummary(): RaftSummary {
    const { lastGroup, snapshot, hardState, doubtful } = this;
    const absolute = { previousGroup: 0, absolute: true, keepBelow: undefined, keepFrom: 0 };
    return { ...absolute, lastGroup, snapshot, hardState, doubtful };
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

  /** Its snapshot, or what goes on from it, is not there: there is no log, until another snapshot replaces it. */
  loseLog(): void {
    this.lostSnapshot = this.snapshot;
    this.#clear();
    this.#startWith(undefined);
    this.#isLogLost = true;
    this.doubtful = true;
  }

  /** To be told durably. */
  get isLogLost(): boolean {
    return this.#isLogLost;
  }

  /** After recovery; true when doubt is new. */
  settle(): boolean {
    const fresh = this.#broken || this.#suspect || this.#isLogLost;
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

  #startWith(snapshot: RaftSnapshotRef | undefined): void {
    this.snapshot = snapshot;
    this.#span.snapshotIndex = snapshot?.index ?? 0;
  }

  #add(entry: RaftEntry): void {
    this.#recovered?.push(entry);
    this.#span.append(entry.index);
  }

  #cut(from: number): void {
    if (this.#touched !== undefined) this.#touched.keepBelow = Math.min(this.#touched.keepBelow ?? from, from);
    this.#span.cut(from);
    while ((this.stored.at(-1)?.index ?? -1) >= from) this.stored.pop();
    while ((this.#recovered?.at(-1)?.index ?? -1) >= from) this.#recovered?.pop();
  }

  #dropBelow(from: number): void {
    if (this.#touched !== undefined) this.#touched.keepFrom = Math.max(this.#touched.keepFrom, from);
    this.#span.dropBelow(from);
    if ((this.stored[0]?.index ?? from) < from) this.stored = this.stored.filter(({ index }) => index >= from);
    if ((this.#recovered?.[0]?.index ?? from) < from) {
      this.#recovered = this.#recovered?.filter(({ index }) => index >= from);
    }
  }

  #clear(): void {
    this.#cut(0);
  }
}
