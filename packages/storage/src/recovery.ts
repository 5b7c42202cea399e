/**
 * Brings the durable state back from the files that the manifest names: the checkpoint, footers of finished files and
 * sorted sets, a scan of the last.
 * Safe to be interrupted anywhere and to run again: it changes files only by cutting a torn end, and zeros from behind a
 * footer, and by writing the last frame again as it is. What it found in the last file is durable before anything is said
 * of it.
 */
import type { Clock, Disk, DiskFile, Logger } from '@sluice/base';
import { DiskError, silentLogger } from '@sluice/base';
import { checkpointName } from './checkpoint-name.ts';
import type { Folded } from './checkpoint.ts';
import type { DataDirectory } from './data-directory.ts';
import {
  decodeJournalHeader,
  type JournalHeader,
  journalHeaderBytes,
  journalName,
  sortedName,
} from './journal-file.ts';
import {
  fileName,
  type FilesFound,
  type FinishedCheckpoint,
  type FinishedEntry,
  type FinishedFile,
  journalEntry,
} from './live-files.ts';
import { atOnce, inTurns } from './in-turns.ts';
import { type Manifest, type ManifestEntry, type ManifestFile, readManifest } from './manifest.ts';
import { type FoundFooter, readFooter, readRaftEntries } from './read-footer.ts';
import { recoverRaftSnapshot, type RaftSnapshotsFound } from './raft-snapshot-files.ts';
import type { RaftEntry } from './raft-store.ts';
import { Replay } from './replay.ts';
import { type ScanEnd, type ScanSink, scanJournal } from './scan.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import { readSnapshots } from './snapshot-reads.ts';
import { newestOf, refuseLostManifest, removeUnnamed } from './unnamed-files.ts';

export interface Recovered {
  readonly replay: Replay;
  readonly raftSnapshots: RaftSnapshotsFound;
  readonly files: FilesFound;
  /** The file to go on with; undefined when a new one must be made. */
  readonly open: FoundOpen | undefined;
  readonly nextGroup: number;
  readonly checksum: number;
  readonly lastIsEmpty: boolean;
  /** Large files that no manifest names any more: they are in nobody's way, and to remove them takes long. */
  readonly leftBehind: readonly string[];
}

export interface FoundOpen extends FileRows {
  readonly file: DiskFile;
  readonly fileId: number;
  readonly position: number;
  readonly size: number;
}

export interface FileRows {
  readonly rows: number;
  /** When the first of them was appended, in ms of the wall clock. */
  readonly firstAppendedMs: number;
}

export async function recover(
  directory: DataDirectory,
  logger: Logger,
  progress?: RecoveryProgress,
): Promise<Recovered> {
  const manifest = await readManifest(directory);
  if (manifest === undefined) {
    await refuseLostManifest(directory);
    const none: Manifest = { checkpoint: undefined, entries: [] };
    await removeUnnamed(directory, none);
    return { ...(await recoverFrom(directory, none, { logger, progress })), leftBehind: [] };
  }
  const leftBehind = await removeUnnamed(directory, manifest);
  return { ...(await recoverFrom(directory, manifest, { logger, progress })), leftBehind };
}

async function recoverFrom(
  directory: DataDirectory,
  manifest: Manifest,
  { logger, progress }: { readonly logger: Logger; readonly progress: RecoveryProgress | undefined },
): Promise<Omit<Recovered, 'leftBehind'>> {
  const found = await new Recovery(directory, logger, { progress }).run(manifest);
  try {
    return { ...found, raftSnapshots: await recoverRaftSnapshot(directory, found.replay.raft, logger) };
  } catch (error) {
    await found.open?.file.close();
    throw error;
  }
}

/** The checkpoint and the oldest journal files and sorted sets, none of them open; damage in them is reported in `damage` alone. */
export interface FoldedFiles extends Folded {
  readonly damage: string | undefined;
}

/** In slices: groups are committed meanwhile. */
export function foldFiles(directory: DataDirectory, folded: Manifest, clock: Clock): Promise<FoldedFiles> {
  return new Recovery(directory, silentLogger, { clock }).fold(folded);
}

type ManifestCheckpoint = NonNullable<Manifest['checkpoint']>;

interface RecoveryOptions {
  readonly progress?: RecoveryProgress | undefined;
  /** Long work is done in slices; at once without it. */
  readonly clock?: Clock;
}

class Recovery {
  readonly #directory: DataDirectory;
  readonly #disk: Disk;
  readonly #logger: Logger;
  readonly #progress: RecoveryProgress | undefined;
  readonly #clock: Clock | undefined;
  readonly #replay = new Replay();
  readonly #finished: FinishedEntry[] = [];
  #checkpoint: FinishedCheckpoint | undefined;
  /** The first damage that was met. */
  #damage: string | undefined;
  /** The file at hand is the first behind a hole: what the hole did can be seen by it alone. */
  #isBehindHole = false;
  #nextGroup = 1;
  #checksum: number | undefined = 0;
  /** The last file ended in damage: only the next one can tell whether groups are missing. */
  #endInDoubt: string | undefined;
  #open: Recovered['open'];
  #lastIsEmpty = true;

  constructor(directory: DataDirectory, logger: Logger, { progress, clock }: RecoveryOptions) {
    this.#directory = directory;
    this.#progress = progress;
    this.#clock = clock;
    this.#disk = directory.disk;
    this.#logger = logger;
  }

  async run({ checkpoint, entries }: Manifest): Promise<Omit<Recovered, 'leftBehind' | 'raftSnapshots'>> {
    if (checkpoint !== undefined) this.#checkpoint = await this.#applyCheckpoint(checkpoint);
    const last = entries.at(-1);
    this.#progress?.begin(entries.reduce((count, entry) => count + entry.files.length, 0));
    for (const entry of entries) {
      await this.#entry(entry, entry === last);
      this.#progress?.filesDone(entry.files.length);
    }
    return {
      replay: this.#replay,
      files: {
        checkpoint: this.#checkpoint,
        finished: this.#finished,
        nextFileId: newestOf({ checkpoint, entries }) + 1,
      },
      open: this.#open,
      nextGroup: this.#nextGroup,
      checksum: this.#checksum ?? 0,
      lastIsEmpty: this.#lastIsEmpty,
    };
  }

  async fold({ checkpoint, entries }: Manifest): Promise<FoldedFiles> {
    if (checkpoint !== undefined) await this.#applyCheckpoint(checkpoint);
    for (const entry of entries) await this.#entry(entry, false);
    const names = new Map<number, string>();
    for (const { kind, files } of entries) for (const { fileId } of files) names.set(fileId, fileName(kind, fileId));
    const nameOf = (fileId: number): string => names.get(fileId) ?? checkpointName(fileId);
    return {
      snapshots: await readSnapshots(this.#directory, nameOf, this.#replay.carriedSnapshots()),
      replay: this.#replay,
      entries: this.#replay.raft.take(),
      lastGroup: this.#nextGroup - 1,
      checksum: this.#checksum ?? 0,
      damage: this.#damage,
    };
  }

  async #applyCheckpoint(entry: ManifestCheckpoint): Promise<FinishedCheckpoint> {
    const path = this.#directory.file(checkpointName(entry.fileId));
    const lost = (found: string): FinishedCheckpoint => {
      this.#hole(path, found);
      return { ...entry, bytes: 0, batchBytes: 0, damaged: true };
    };
    const file = await this.#openNamed(path);
    if (file === undefined) return lost('is missing');
    try {
      const footer = await readFooter(file, entry.fileId, entry.footerAt, this.#clock);
      if (footer === undefined) return lost('is damaged');
      const isWhole = await this.#applyFooter(file, entry.fileId, footer);
      if (!isWhole) this.#damage ??= path;
      return { ...entry, bytes: footer.end, batchBytes: 0, damaged: !isWhole };
    } finally {
      await file.close();
    }
  }

  async #entry({ kind, files }: ManifestEntry, isLast: boolean): Promise<void> {
    if (kind === 'sorted') await this.#set(files);
    else for (const file of files) await this.#file(file, isLast);
  }

  /**
   * The parts of a sorted set stand for the same groups, each for its own logs. One that is missing or damaged is a hole;
   * it comes before what the others say, which clears their logs of it. It stays named, so that every recovery sees it
   * until the set is dropped.
   */
  async #set(parts: readonly ManifestFile[]): Promise<void> {
    const found: FoundPart[] = [];
    for (const part of parts) found.push(await this.#readPart(part));
    const header = found.find((part) => part.header !== undefined)?.header;
    this.#isBehindHole = false;
    if (header !== undefined) this.#goOnFrom(header, this.#sortedPath(parts[0]));
    for (const { file, lost } of found) if (lost !== undefined) this.#hole(this.#sortedPath(file), lost);
    if (this.#endInDoubt !== undefined) {
      this.#hole(this.#sortedPath(parts[0]), `cannot say how ${this.#endInDoubt} ended`);
      this.#endInDoubt = undefined;
    }
    let isRead = false;
    for (const { file, read } of found) {
      if (read === undefined) continue;
      isRead = true;
      if (!(await this.#replayFooter(file.fileId, read))) this.#damage ??= this.#sortedPath(file);
    }
    if (!isRead) this.#checksum = undefined;
    const isBehindHole = this.#isBehindHole;
    const files = found.map(({ file }) => (isBehindHole ? { ...file, damaged: true } : file));
    this.#finished.push({ kind: 'sorted', files });
  }

  async #readPart(entry: ManifestFile): Promise<FoundPart> {
    const { fileId, footerAt } = entry;
    const file = await this.#openNamed(this.#sortedPath(entry));
    if (file === undefined) return { file: { ...entry, ...lostFile, bytes: 0 }, lost: 'is missing' };
    try {
      const header = await this.#readHeader(file, fileId, this.#sortedPath(entry));
      const footer = await readFooter(file, fileId, footerAt ?? 0, this.#clock);
      if (footer === undefined) {
        return { file: { ...entry, ...lostFile, bytes: await file.size() }, header, lost: 'is damaged' };
      }
      const entries = await readRaftEntries(file, footer.footer);
      const damaged = header === undefined || entries === undefined;
      return {
        file: { ...entry, bytes: footer.end, batchBytes: batchBytesOf(footer), damaged },
        header,
        read: { footer, entries },
      };
    } finally {
      await file.close();
    }
  }

  async #file(entry: ManifestFile, isLast: boolean): Promise<void> {
    const file = await this.#openNamed(this.#path(entry.fileId));
    if (file === undefined) {
      this.#hole(this.#path(entry.fileId), 'is missing');
      this.#checksum = undefined;
      return;
    }
    let kept = false;
    this.#isBehindHole = false;
    try {
      const header = await this.#header(file, entry.fileId);
      if (this.#endInDoubt !== undefined) {
        this.#hole(this.#path(entry.fileId), `cannot say how ${this.#endInDoubt} ended`);
      }
      this.#endInDoubt = undefined;
      const footer =
        entry.footerAt === undefined ? undefined : await readFooter(file, entry.fileId, entry.footerAt, this.#clock);
      if (footer !== undefined) {
        const isWhole = (await this.#applyFooter(file, entry.fileId, footer)) && header !== undefined;
        if (!isWhole) this.#damage ??= this.#path(entry.fileId);
        this.#finished.push(
          journalEntry({
            ...entry,
            bytes: footer.end,
            batchBytes: (entry.footerAt ?? 0) - journalHeaderBytes,
            damaged: !isWhole || this.#isBehindHole,
          }),
        );
      } else kept = await this.#scannedFile(file, { entry, header, isLast });
    } finally {
      if (!kept) await file.close();
    }
  }

  async #openNamed(path: string): Promise<DiskFile | undefined> {
    try {
      return await this.#disk.open(path, 'existing');
    } catch (error) {
      if (error instanceof DiskError && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Checks that the file goes on where the one before ended. */
  async #header(file: DiskFile, fileId: number): Promise<JournalHeader | undefined> {
    const header = await this.#readHeader(file, fileId, this.#path(fileId));
    if (header !== undefined) this.#goOnFrom(header, this.#path(fileId));
    return header;
  }

  async #readHeader(file: DiskFile, fileId: number, path: string): Promise<JournalHeader | undefined> {
    const page = new Uint8Array(journalHeaderBytes);
    const read = await file.read(page, 0);
    const header = decodeJournalHeader(page.subarray(0, read), fileId);
    if (header === undefined) this.#logger.error('journal file header damaged', { file: path });
    return header;
  }

  #goOnFrom(header: JournalHeader, path: string): void {
    if (header.firstGroup !== this.#nextGroup) this.#hole(path, 'does not follow the file before');
    this.#endInDoubt = undefined;
    this.#replay.raft.applyHeader(header.hardState);
    this.#nextGroup = header.firstGroup;
    this.#checksum = header.previousChecksum;
  }

  /** False when Raft entries that it speaks of are damaged. */
  async #applyFooter(file: DiskFile, fileId: number, footer: FoundFooter): Promise<boolean> {
    return this.#replayFooter(fileId, { footer, entries: await readRaftEntries(file, footer.footer) });
  }

  async #replayFooter(fileId: number, { footer, entries }: ReadFooter): Promise<boolean> {
    const applying = this.#replay.applyingFooter(footer.footer, fileId, entries);
    if (this.#clock === undefined) atOnce(applying);
    else await inTurns(this.#clock, applying);
    this.#nextGroup = footer.group + 1;
    this.#checksum = footer.previousChecksum;
    this.#lastIsEmpty = true;
    return entries !== undefined;
  }

  /** True when the file stays open, to be written on. */
  async #scannedFile(
    file: DiskFile,
    what: { entry: ManifestFile; header: JournalHeader | undefined; isLast: boolean },
  ): Promise<boolean> {
    const { fileId } = what.entry;
    const { end, damage, rows, lastGroupAt } = await this.#scan(file, fileId);
    this.#nextGroup = end.nextGroup;
    this.#checksum = end.checksum;
    if (end.kind === 'footer') {
      if ((await file.size()) > end.end) await file.truncate(end.end);
      // What is not the last is named by a manifest that was written after it (J2).
      if (what.isLast) await this.#settle(file, { fileId, from: end.position, end });
      else await file.sync();
      this.#replay.finishFile(fileId, damage ? undefined : end.footer);
      const batchBytes = end.position - journalHeaderBytes;
      const found = { fileId, bytes: end.end, batchBytes, damaged: damage || this.#isBehindHole };
      this.#finished.push(journalEntry(damage ? found : { ...found, footerAt: end.position }));
      return false;
    }
    const whole = !damage && what.header !== undefined;
    if (what.isLast && whole) {
      if (end.kind === 'torn') await this.#cut(file, fileId, end.position);
      await this.#settle(file, { fileId, from: lastGroupAt ?? end.position, end });
      this.#open = { file, fileId, position: end.position, size: await file.size(), ...rows };
      return true;
    }
    if (!what.isLast && end.kind === 'torn') this.#endInDoubt = this.#path(fileId);
    this.#damage ??= this.#path(fileId);
    this.#replay.finishFile(fileId, undefined);
    const bytes = await file.size();
    this.#finished.push(journalEntry({ fileId, bytes, batchBytes: bytes, damaged: true }));
    return false;
  }

  async #scan(file: DiskFile, fileId: number): Promise<FoundByScan> {
    let damage = false;
    let lastGroupAt: number | undefined;
    let rows: FileRows = { rows: 0, firstAppendedMs: 0 };
    const start = { fileId, firstGroup: this.#nextGroup, previousChecksum: this.#checksum };
    const end = await scanJournal(file, start, {
      group: (found) => {
        const where = `${this.#path(fileId)} at byte ${found.position}`;
        if (found.damagedRows.size > 0) {
          damage = true;
          this.#damage ??= where;
          this.#logger.error('journal rows damaged', { where, group: found.number, rows: found.damagedRows.size });
        }
        if (rows.rows === 0) rows = { rows: 0, firstAppendedMs: found.appendedMs };
        rows = { ...rows, rows: rows.rows + found.rows.length };
        this.#replay.applyFound(found, where);
        this.#progress?.scannedTo(found.position);
        this.#lastIsEmpty = found.rows.length === 0;
        lastGroupAt = found.position;
      },
      hole: (hole) => {
        damage = true;
        this.#hole(this.#path(fileId), `is damaged at byte ${hole.position}`);
      },
    });
    return { end, damage, rows, lastGroupAt };
  }

  /**
   * Makes the last frame of the last file durable, before anything is said of it (ADR 0039). A process that was killed may
   * have written it without a sync, or its sync failed: then its pages are clean, never reached the disk, and no sync
   * covers them. All before it is durable (G2, J1, J2).
   */
  async #settle(file: DiskFile, what: { fileId: number; from: number; end: ScanEnd }): Promise<void> {
    const { fileId, from, end } = what;
    await rewriteInPlace(file, from, end.end);
    await file.sync();
    if (from === end.end) return;
    // Clean pages may go at any time: what was written again need not be what was scanned.
    const firstGroup = end.kind === 'footer' ? end.nextGroup : end.nextGroup - 1;
    const again = await scanJournal(file, { fileId, firstGroup, previousChecksum: undefined, from }, ignoring);
    if (again.end === end.end && again.nextGroup === end.nextGroup) return;
    const path = this.#path(fileId);
    throw new DiskError('EIO', path, `read ${path}: the frame at byte ${from} was there, and is not any more`);
  }

  async #cut(file: DiskFile, fileId: number, position: number): Promise<void> {
    this.#logger.warn('torn group cut from the journal', { file: this.#path(fileId), position });
    await file.truncate(position);
  }

  #hole(path: string, found: string): void {
    const where = `${path} ${found}`;
    this.#damage ??= where;
    this.#isBehindHole = true;
    this.#logger.error('journal damaged', { where });
    this.#replay.hole(where);
  }

  #sortedPath(part: { readonly fileId: number } | undefined): string {
    return this.#directory.file(sortedName(part?.fileId ?? 0));
  }

  #path(fileId: number): string {
    return this.#directory.file(journalName(fileId));
  }
}

/** The same bytes at the same place: there is nothing that a torn write could damage. */
async function rewriteInPlace(file: DiskFile, from: number, to: number): Promise<void> {
  const piece = new Uint8Array(Math.min(to - from, rewriteBytesAtATime));
  for (let at = from; at < to; ) {
    const read = await file.read(piece.subarray(0, to - at), at);
    if (read === 0) return;
    await file.write([piece.slice(0, read)], at);
    at += read;
  }
}

const rewriteBytesAtATime = 1024 * 1024;

const ignoring: ScanSink = { group: () => undefined, hole: () => undefined };

const lostFile = { batchBytes: 0, damaged: true } as const;

const batchBytesOf = ({ footer }: FoundFooter): number =>
  footer.logs.reduce((sum, { summary }) => sum + summary.bytes, 0);

interface FoundByScan {
  readonly end: ScanEnd;
  readonly damage: boolean;
  readonly rows: FileRows;
  /** Undefined when there is no group. */
  readonly lastGroupAt: number | undefined;
}

interface ReadFooter {
  readonly footer: FoundFooter;
  /** Undefined when any of them is damaged. */
  readonly entries: readonly RaftEntry[] | undefined;
}

interface FoundPart {
  readonly file: FinishedFile;
  readonly header?: JournalHeader | undefined;
  readonly read?: ReadFooter;
  /** What is wrong with it, when nothing can be read of it. */
  readonly lost?: string;
}
