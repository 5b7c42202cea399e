/**
 * The durable state of the node log, as its rows and footers add up to: one index for each log and one for Raft.
 * Owned by the node log; recovery feeds it files, the live log feeds it groups.
 */
import type { LogId } from '@sluice/base';
import { logKey } from '@sluice/base';
import { ExtentList } from './extents.ts';
import { FileUse } from './file-use.ts';
import type { Footer, FooterSource } from './footer.ts';
import { type AppliedAt, LogIndex } from './log-index.ts';
import type { LossyReport } from './log-store.ts';
import { RaftIndex, type StoredEntry } from './raft-index.ts';
import type { RaftEntry } from './raft-store.ts';
import type { Row } from './rows.ts';
import type { GroupFound } from './scan.ts';

export class Replay {
  readonly logs = new Map<string, LogIndex>();
  readonly raft = new RaftIndex();
  readonly use = new FileUse();
  /** By the object that a log is known by, so that a busy one needs no text for each row. */
  readonly #byId = new WeakMap<LogId, LogIndex>();
  /** True once whole groups were lost: a log that is missing may have been in them. */
  damaged = false;

  index(id: LogId): LogIndex {
    const known = this.#byId.get(id);
    if (known !== undefined && !known.forgotten) return known;
    const index = this.#named(id);
    this.#byId.set(id, index);
    return index;
  }

  #named(id: LogId): LogIndex {
    const key = logKey(id);
    let index = this.logs.get(key);
    if (index === undefined) {
      index = new LogIndex(id, this.use);
      this.logs.set(key, index);
    }
    return index;
  }

  /** On the disk, of all logs. */
  get liveBytes(): number {
    let bytes = this.use.liveBytes;
    for (const index of this.logs.values()) bytes += index.open.bytes;
    return bytes;
  }

  apply(row: Row, at: AppliedAt, payload?: Uint8Array): void {
    if ('id' in row) this.index(row.id).apply(row, at);
    else {
      this.raft.apply(row, at, payload);
      if (row.kind === 'raft-healed') this.use.changes += 1;
    }
  }

  /** A group found by recovery; `where` names the place, for reports. */
  applyFound(found: GroupFound, where: string): void {
    const at = { group: found.number, payloadPosition: found.payloadPosition, appendedMs: found.appendedMs };
    for (const row of found.rows) {
      if (!found.damagedRows.has(row)) {
        // Copied: the entry outlives the window that it was read in.
        const payload = row.kind === 'raft-entry' ? found.payloadOf(row).slice() : undefined;
        this.apply(row, at, payload);
      } else if ('id' in row) this.index(row.id).damagedRow(where, row.kind === 'run' ? row.end : undefined);
      else this.raft.damagedRow();
    }
  }

  /** Without its Raft entries, where those are damaged, a footer says nothing of the Raft state. */
  applyFooter(footer: Footer, fileId: number, raftEntries: readonly RaftEntry[] | undefined): void {
    if (footer.damaged) this.damaged = true;
    for (const { summary, section } of footer.logs) this.index(summary.id).applySummary(summary, fileId, section);
    if (raftEntries === undefined) this.raft.damagedRow();
    else if (footer.raft !== undefined) this.raft.applySummary(footer.raft.summary, raftEntries);
    this.#forgetDeleted();
  }

  /** Whole groups are lost at `where`: every log and the Raft state may have been in them. */
  hole(where: string): void {
    this.damaged = true;
    for (const index of this.logs.values()) index.suspect(where);
    this.raft.suspect();
  }

  /** What the footer of the open file says. */
  footerSource(group: number): FooterSource {
    const logs: { summary: NonNullable<ReturnType<LogIndex['summary']>>; extents: ExtentList }[] = [];
    for (const index of this.logs.values()) {
      const summary = index.summary();
      if (summary !== undefined) logs.push({ summary, extents: index.open });
    }
    const raft = this.raft.summary();
    return { group, logs, raft: raft && { summary: raft, stored: this.raft.stored }, damaged: false };
  }

  /** What the footer of a checkpoint says when every file so far is dropped. */
  checkpointSource(group: number, stored: readonly StoredEntry[]): FooterSource {
    const none = new ExtentList();
    const logs = Array.from(this.logs.values(), (index) => ({ summary: index.droppedSummary(), extents: none }));
    return { group, logs, raft: { summary: this.raft.droppedSummary(), stored }, damaged: this.damaged };
  }

  /** The open file has a footer now, or none because of damage: its extents then stay in memory. */
  finishFile(fileId: number, footer: Footer | undefined): void {
    if (footer === undefined) {
      for (const index of this.logs.values()) if (index.touched) index.finishFile(fileId, index.open);
    } else {
      for (const { summary, section } of footer.logs) this.index(summary.id).finishFile(fileId, section);
    }
    this.raft.finishFile();
    this.use.changes += 1;
    this.#forgetDeleted();
  }

  /** After recovery: new reports of loss, and whether the Raft state became doubtful just now. */
  settle(): { readonly lossy: readonly LossyReport[]; readonly raftDoubtful: boolean } {
    const lossy: LossyReport[] = [];
    for (const index of this.logs.values()) {
      const report = index.settle();
      if (report !== undefined) lossy.push(report);
    }
    return { lossy, raftDoubtful: this.raft.settle() };
  }

  #forgetDeleted(): void {
    for (const [key, index] of this.logs) {
      if (!index.deleted || index.touched) continue;
      index.forgotten = true;
      this.logs.delete(key);
    }
  }
}
