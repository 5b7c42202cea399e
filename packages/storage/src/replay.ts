/**
 * The durable state of the node log, as its rows and footers add up to: one index for each log and one for Raft.
 * Owned by the node log; recovery feeds it files, the live log feeds it groups.
 */
import type { LogId } from '@sluice/base';
import { logKey } from '@sluice/base';
import type { ExtentList } from './extents.ts';
import type { Footer, FooterSource } from './footer.ts';
import { LogIndex } from './log-index.ts';
import type { LossyReport } from './log-store.ts';
import { RaftIndex } from './raft-index.ts';
import type { RaftEntry } from './raft-store.ts';
import type { Row } from './rows.ts';
import type { GroupFound } from './scan.ts';

export class Replay {
  readonly logs = new Map<string, LogIndex>();
  readonly raft = new RaftIndex();
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
      index = new LogIndex(id);
      this.logs.set(key, index);
    }
    return index;
  }

  apply(row: Row, group: number, payloadPosition: number, payload?: Uint8Array): void {
    if ('id' in row) this.index(row.id).apply(row, group, payloadPosition);
    else this.raft.apply(row, { group, payloadPosition }, payload);
  }

  /** A group found by recovery; `where` names the place, for reports. */
  applyFound(found: GroupFound, where: string): void {
    for (const row of found.rows) {
      if (!found.damagedRows.has(row)) {
        // Copied: the entry outlives the window that it was read in.
        const payload = row.kind === 'raft-entry' ? found.payloadOf(row).slice() : undefined;
        this.apply(row, found.number, found.payloadPosition, payload);
      } else if ('id' in row) this.index(row.id).damagedRow(where, row.kind === 'run' ? row.end : undefined);
      else this.raft.damagedRow();
    }
  }

  applyFooter(footer: Footer, fileId: number, raftEntries: readonly RaftEntry[]): void {
    for (const { summary, section } of footer.logs) this.index(summary.id).applySummary(summary, fileId, section);
    if (footer.raft !== undefined) this.raft.applySummary(footer.raft.summary, raftEntries);
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
    return { group, logs, raft: raft && { summary: raft, stored: this.raft.stored } };
  }

  /** The open file has a footer now, or none because of damage: its extents then stay in memory. */
  finishFile(fileId: number, footer: Footer | undefined): void {
    if (footer === undefined) {
      for (const index of this.logs.values()) if (index.touched) index.finishFile(fileId, index.open);
    } else {
      for (const { summary, section } of footer.logs) this.index(summary.id).finishFile(fileId, section);
    }
    this.raft.finishFile();
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
