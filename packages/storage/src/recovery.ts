/**
 * Brings the durable state back from the files that the manifest names: the checkpoint, footers of finished files, a scan
 * of the last.
 * Safe to be interrupted anywhere and to run again: it changes files only by cutting a torn end, and zeros from behind a
 * footer. What it found in the last file is durable before anything is said of it.
 */
import type { Disk, DiskFile, Logger } from '@sluice/base';
import { DiskError, silentLogger, SluiceError } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { checkpointFileId, checkpointName } from './checkpoint-name.ts';
import type { Folded } from './checkpoint.ts';
import type { DataDirectory } from './data-directory.ts';
import { decodeFooter, decodeStored, type Footer } from './footer.ts';
import { frameBytes, FrameKind, frameHeaderBytes, readFrameHeader } from './frame.ts';
import {
  decodeJournalHeader,
  type JournalHeader,
  journalFileId,
  journalHeaderBytes,
  journalName,
} from './journal-file.ts';
import type { FilesFound, FinishedCheckpoint, FinishedFile } from './live-files.ts';
import { type Manifest, type ManifestFile, manifestRemedy, readManifest } from './manifest.ts';
import type { RaftEntry } from './raft-store.ts';
import { removalStepBytes } from './removal.ts';
import { Replay } from './replay.ts';
import { type ScanEnd, scanJournal } from './scan.ts';
import { readSnapshots } from './snapshot-reads.ts';
import { readSpans } from './spans.ts';

export interface Recovered {
  readonly replay: Replay;
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

export async function recover(directory: DataDirectory, logger: Logger): Promise<Recovered> {
  const manifest = await readManifest(directory);
  if (manifest === undefined) {
    await refuseLostManifest(directory);
    const none: Manifest = { checkpoint: undefined, files: [] };
    await removeUnnamed(directory, none);
    return { ...(await new Recovery(directory, logger).run(none)), leftBehind: [] };
  }
  const leftBehind = await removeUnnamed(directory, manifest);
  return { ...(await new Recovery(directory, logger).run(manifest)), leftBehind };
}

/** The checkpoint and the oldest journal files, none of them open; damage in them is reported in `damage` alone. */
export interface FoldedFiles extends Folded {
  readonly damage: string | undefined;
}

export function foldFiles(
  directory: DataDirectory,
  checkpoint: ManifestCheckpoint | undefined,
  files: readonly ManifestFile[],
): Promise<FoldedFiles> {
  return new Recovery(directory, silentLogger).fold(checkpoint, files);
}

type ManifestCheckpoint = NonNullable<Manifest['checkpoint']>;

class Recovery {
  readonly #directory: DataDirectory;
  readonly #disk: Disk;
  readonly #logger: Logger;
  readonly #replay = new Replay();
  readonly #finished: FinishedFile[] = [];
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

  constructor(directory: DataDirectory, logger: Logger) {
    this.#directory = directory;
    this.#disk = directory.disk;
    this.#logger = logger;
  }

  async run({ checkpoint, files }: Manifest): Promise<Omit<Recovered, 'leftBehind'>> {
    if (checkpoint !== undefined) this.#checkpoint = await this.#applyCheckpoint(checkpoint);
    const last = files.at(-1);
    for (const entry of files) await this.#file(entry, entry === last);
    const newest = Math.max(checkpoint?.fileId ?? 0, last?.fileId ?? 0);
    return {
      replay: this.#replay,
      files: { checkpoint: this.#checkpoint, finished: this.#finished, nextFileId: newest + 1 },
      open: this.#open,
      nextGroup: this.#nextGroup,
      checksum: this.#checksum ?? 0,
      lastIsEmpty: this.#lastIsEmpty,
    };
  }

  async fold(checkpoint: ManifestCheckpoint | undefined, files: readonly ManifestFile[]): Promise<FoldedFiles> {
    if (checkpoint !== undefined) await this.#applyCheckpoint(checkpoint);
    for (const entry of files) await this.#file(entry, false);
    const nameOf = (fileId: number): string =>
      fileId === checkpoint?.fileId ? checkpointName(fileId) : journalName(fileId);
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
      return { ...entry, bytes: 0, damaged: true };
    };
    const file = await this.#openNamed(path);
    if (file === undefined) return lost('is missing');
    try {
      const footer = await readFooter(file, entry.fileId, entry.footerAt);
      if (footer === undefined) return lost('is damaged');
      const isWhole = await this.#applyFooter(file, entry.fileId, footer);
      if (!isWhole) this.#damage ??= path;
      return { ...entry, bytes: footer.end, damaged: !isWhole };
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
      const footer = entry.footerAt === undefined ? undefined : await readFooter(file, entry.fileId, entry.footerAt);
      if (footer !== undefined) {
        const isWhole = (await this.#applyFooter(file, entry.fileId, footer)) && header !== undefined;
        if (!isWhole) this.#damage ??= this.#path(entry.fileId);
        this.#finished.push({ ...entry, bytes: footer.end, damaged: !isWhole || this.#isBehindHole });
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
    const page = new Uint8Array(journalHeaderBytes);
    const read = await file.read(page, 0);
    const header = decodeJournalHeader(page.subarray(0, read), fileId);
    if (header === undefined) {
      this.#logger.error('journal file header damaged', { file: this.#path(fileId) });
      return undefined;
    }
    if (header.firstGroup !== this.#nextGroup) this.#hole(this.#path(fileId), 'does not follow the file before');
    this.#endInDoubt = undefined;
    this.#replay.raft.applyHeader(header.hardState);
    this.#nextGroup = header.firstGroup;
    this.#checksum = header.previousChecksum;
    return header;
  }

  /** False when Raft entries that it speaks of are damaged. */
  async #applyFooter(file: DiskFile, fileId: number, footer: FoundFooter): Promise<boolean> {
    const entries = await this.#raftEntries(file, footer.footer);
    this.#replay.applyFooter(footer.footer, fileId, entries);
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
    const { end, damage, rows } = await this.#scan(file, fileId);
    this.#nextGroup = end.nextGroup;
    this.#checksum = end.checksum;
    if (end.kind === 'footer') {
      if ((await file.size()) > end.end) await file.truncate(end.end);
      await file.sync();
      this.#replay.finishFile(fileId, damage ? undefined : end.footer);
      const found = { fileId, bytes: end.end, damaged: damage || this.#isBehindHole };
      this.#finished.push(damage ? found : { ...found, footerAt: end.position });
      return false;
    }
    const whole = !damage && what.header !== undefined;
    if (what.isLast && whole) {
      if (end.kind === 'torn') await this.#cut(file, fileId, end.position);
      // What a process that was killed had written is there, and nobody knows whether it is durable.
      await file.sync();
      this.#open = { file, fileId, position: end.position, size: await file.size(), ...rows };
      return true;
    }
    if (!what.isLast && end.kind === 'torn') this.#endInDoubt = this.#path(fileId);
    this.#damage ??= this.#path(fileId);
    this.#replay.finishFile(fileId, undefined);
    this.#finished.push({ fileId, bytes: await file.size(), damaged: true });
    return false;
  }

  async #scan(file: DiskFile, fileId: number): Promise<{ end: ScanEnd; damage: boolean; rows: FileRows }> {
    let damage = false;
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
        this.#lastIsEmpty = found.rows.length === 0;
      },
      hole: (hole) => {
        damage = true;
        this.#hole(this.#path(fileId), `is damaged at byte ${hole.position}`);
      },
    });
    return { end, damage, rows };
  }

  async #cut(file: DiskFile, fileId: number, position: number): Promise<void> {
    this.#logger.warn('torn group cut from the journal', { file: this.#path(fileId), position });
    await file.truncate(position);
  }

  /** Undefined when any of them is damaged. */
  async #raftEntries(file: DiskFile, footer: Footer): Promise<readonly RaftEntry[] | undefined> {
    if (footer.raft === undefined) return [];
    const { section } = footer.raft;
    const bytes = new Uint8Array(section.bytes);
    const read = await file.read(bytes, section.position);
    if (read < bytes.length || crc32c(bytes) !== section.crc) return undefined;
    const stored = decodeStored(bytes);
    const payloads = await readSpans(file, stored);
    const entries: RaftEntry[] = [];
    for (const [at, { index, term, kind, crc }] of stored.entries()) {
      const payload = payloads[at];
      if (payload === undefined || crc32c(payload) !== crc) return undefined;
      entries.push({ index, term, kind, payload: payload.slice() });
    }
    return entries;
  }

  #hole(path: string, found: string): void {
    const where = `${path} ${found}`;
    this.#damage ??= where;
    this.#isBehindHole = true;
    this.#logger.error('journal damaged', { where });
    this.#replay.hole(where);
  }

  #path(fileId: number): string {
    return this.#directory.file(journalName(fileId));
  }
}

interface FoundFooter {
  readonly footer: Footer;
  readonly group: number;
  readonly previousChecksum: number;
  /** Where it ends. */
  readonly end: number;
}

async function readFooter(file: DiskFile, fileId: number, position: number): Promise<FoundFooter | undefined> {
  const head = new Uint8Array(frameHeaderBytes);
  await file.read(head, position);
  const found = readFrameHeader(head, { fileId, position });
  if (found === undefined || found.header.kind !== FrameKind.footer) return undefined;
  if (position + frameHeaderBytes + found.header.tableBytes > (await file.size())) return undefined;
  const table = new Uint8Array(found.header.tableBytes);
  const read = await file.read(table, position + frameHeaderBytes);
  const footer = read < table.length ? undefined : decodeFooter(found.header, table);
  if (footer === undefined) return undefined;
  const { number: group, previousChecksum } = found.header;
  return { footer, group, previousChecksum, end: position + frameBytes(found.header) };
}

/**
 * Journal files get their first group, and checkpoints are made, only after a manifest names a file: what holds data
 * without one is damage.
 */
async function refuseLostManifest(directory: DataDirectory): Promise<void> {
  for (const name of await directory.disk.list(directory.path)) {
    if (journalFileId(name) === undefined && checkpointFileId(name) === undefined) continue;
    const file = await directory.disk.open(directory.file(name), 'existing');
    try {
      if ((await file.size()) <= journalHeaderBytes) continue;
    } finally {
      await file.close();
    }
    throw new SluiceError('DIRECTORY_DAMAGED', {
      message: `${directory.file('manifest')} is missing, but ${name} holds data. ${manifestRemedy}`,
      details: { path: directory.file('manifest') },
    });
  }
}

/** Returns the names of those that are left: large, and older than what is named, so that no file gets their name. */
async function removeUnnamed(directory: DataDirectory, { checkpoint, files }: Manifest): Promise<readonly string[]> {
  const { disk } = directory;
  const named = new Set(files.map((entry) => journalName(entry.fileId)));
  if (checkpoint !== undefined) named.add(checkpointName(checkpoint.fileId));
  const newest = Math.max(checkpoint?.fileId ?? 0, files.at(-1)?.fileId ?? 0);
  const left: string[] = [];
  let removed = false;
  for (const name of await disk.list(directory.path)) {
    const fileId = journalFileId(name) ?? checkpointFileId(name);
    if (fileId === undefined || named.has(name)) continue;
    if (fileId < newest && (await sizeOf(disk, directory.file(name))) > removalStepBytes) {
      left.push(name);
      continue;
    }
    await disk.remove(directory.file(name));
    removed = true;
  }
  if (removed) await disk.syncDirectory(directory.path);
  return left;
}

async function sizeOf(disk: Disk, path: string): Promise<number> {
  const file = await disk.open(path, 'existing');
  try {
    return await file.size();
  } finally {
    await file.close();
  }
}
