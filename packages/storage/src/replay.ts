/**
 * The durable state of the node log, as its rows and footers add up to: one index for each log and one for Raft.
 * Owned by the node log; recovery feeds it files, the live log feeds it groups.
 */
import type { LogId } from '@sluice/base';
import { logKey } from '@sluice/base';
import { ExtentList } from './extents.ts';
import { FileUse } from './file-use.ts';
import type { Footer, FooterLog, FooterSource, FooterSourceLog } from './footer.ts';
import { logsInTurn } from './in-turns.ts';
import { type AppliedAt, LogIndex } from './log-index.ts';
import type { LossyReport, StateSnapshot } from './log-store.ts';
import { RaftIndex, type StoredEntry } from './raft-index.ts';
import type { RaftEntry } from './raft-store.ts';
import type { Row } from './rows.ts';
import type { GroupFound } from './scan.ts';
import { carriedPlaces, noPlaces, type SnapshotPlace, type SnapshotPlaces } from './snapshot-places.ts';
import type { SnapshotsByLog } from './snapshot-reads.ts';

export interface Settled {
  /** New reports of loss. */
  readonly lossy: readonly LossyReport[];
  /** Logs of which a crash took what a snapshot speaks of (K2). */
  readonly shortened: readonly LogId[];
  /** The Raft state became doubtful just now. */
  readonly raftDoubtful: boolean;
}

export class Replay {
  readonly logs = new Map<string, LogIndex>();
  readonly raft = new RaftIndex();
  readonly use = new FileUse();
  /** True once whole groups were lost: a log that is missing may have been in them. */
  damaged = false;

  /** Of a log that is busy, its owner keeps it until it is forgotten: each look-up makes a text. */
  index(id: LogId): LogIndex {
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
      if (row.kind === 'raft-healed' || row.kind === 'raft-snapshot') this.use.changes += 1;
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
  *applyingFooter(
    footer: Footer,
    fileId: number,
    raftEntries: readonly RaftEntry[] | undefined,
  ): Generator<void, void, undefined> {
    if (footer.damaged) this.damaged = true;
    for (const [at, log] of footer.logs.entries()) {
      if (at % logsInTurn === logsInTurn - 1) yield;
      this.index(log.summary.id).applySummary(log.summary, fileId, log.section, placesIn(log, fileId));
    }
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

  /** The logs that the open file tells of. */
  touched(): readonly LogIndex[] {
    return [...this.logs.values()].filter((index) => index.touched);
  }

  /** What the footer of the open file says. */
  footerSource(group: number, snapshots: ReadonlyMap<LogIndex, StateSnapshot>): FooterSource {
    const logs: FooterSourceLog[] = [];
    for (const index of this.logs.values()) {
      const summary = index.summary();
      if (summary === undefined) continue;
      const snapshot = snapshots.get(index);
      logs.push({ summary, extents: index.open, snapshots: snapshot === undefined ? [] : [snapshot] });
    }
    const raft = this.raft.summary();
    return { group, logs, raft: raft && { summary: raft, stored: this.raft.stored }, damaged: false };
  }

  /** What the footer of a checkpoint says when every file so far is dropped. */
  checkpointSource(group: number, stored: readonly StoredEntry[], snapshots: SnapshotsByLog): FooterSource {
    const none = new ExtentList();
    const logs = Array.from(this.logs.values(), (index) => ({
      summary: index.droppedSummary(),
      extents: none,
      snapshots: snapshots.get(index) ?? [],
    }));
    return { group, logs, raft: { summary: this.raft.droppedSummary(), stored }, damaged: this.damaged };
  }

  /** The open file has a footer now, or none because of damage: its extents then stay in memory. */
  finishFile(fileId: number, footer: Footer | undefined): void {
    if (footer === undefined) {
      for (const index of this.logs.values()) if (index.touched) index.finishFile(fileId, index.open, noPlaces);
    } else {
      for (const log of footer.logs) {
        this.index(log.summary.id).finishFile(fileId, log.section, placesIn(log, fileId));
      }
    }
    this.raft.finishFile();
    this.use.changes += 1;
    this.#forgetDeleted();
  }

  /** What the files that a file with this footer stands for should keep, log by log. */
  carriedSnapshots(): ReadonlyMap<LogIndex, SnapshotPlaces> {
    const carried = new Map<LogIndex, SnapshotPlaces>();
    for (const index of this.logs.values()) {
      const places = carriedPlaces(index.snapshots, index.end);
      if (places.length > 0) carried.set(index, places);
    }
    return carried;
  }

  /** The files that are gone are stood for by this one, which took their snapshots over. */
  moveSnapshots(gone: ReadonlySet<number>, fileId: number, footer: Footer): void {
    const taken = new Map(footer.logs.map((log) => [logKey(log.summary.id), placesIn(log, fileId)]));
    for (const [key, index] of this.logs) index.moveSnapshots(gone, taken.get(key) ?? noPlaces);
  }

  /** After recovery: what is to be told durably before anything else is. */
  settle(): Settled {
    const lossy: LossyReport[] = [];
    const shortened: LogId[] = [];
    for (const index of this.logs.values()) {
      const report = index.settle();
      if (report !== undefined) lossy.push(report);
      if (index.forgetSnapshotsAhead() && report === undefined && !index.deleted) shortened.push(index.id);
    }
    return { lossy, shortened, raftDoubtful: this.raft.settle() };
  }

  #forgetDeleted(): void {
    for (const [key, index] of this.logs) {
      if (!index.deleted || index.touched) continue;
      index.forgotten = true;
      this.logs.delete(key);
    }
  }
}

function placesIn({ snapshots }: FooterLog, fileId: number): SnapshotPlaces {
  if (snapshots.length === 0) return noPlaces;
  return snapshots.map(({ offset, section }): SnapshotPlace => ({ fileId, offset, section }));
}
