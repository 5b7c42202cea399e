/**
 * Brings the durable state back from the files that the manifest names: footers of finished files, a scan of the last.
 * Safe to be interrupted anywhere and to run again: it changes files only by cutting a torn end, and zeros from behind a
 * footer. What it found in the last file is durable before anything is said of it.
 */
import type { Disk, DiskFile, Logger } from '@sluice/base';
import { DiskError, SluiceError } from '@sluice/base';
import { crc32c } from '@sluice/record';
import type { DataDirectory } from './data-directory.ts';
import { decodeFooter, decodeStored, type Footer } from './footer.ts';
import { FrameKind, frameHeaderBytes, readFrameHeader } from './frame.ts';
import {
  decodeJournalHeader,
  type JournalHeader,
  journalFileId,
  journalHeaderBytes,
  journalName,
} from './journal-file.ts';
import { type ManifestFile, manifestRemedy, readManifest } from './manifest.ts';
import type { RaftEntry } from './raft-store.ts';
import { Replay } from './replay.ts';
import { type ScanEnd, scanJournal } from './scan.ts';
import { readSpans } from './spans.ts';

export interface Recovered {
  readonly replay: Replay;
  /** Files that take no more writes, in log order. */
  readonly finished: readonly ManifestFile[];
  /** The file to go on with; undefined when a new one must be made. */
  readonly open:
    | { readonly file: DiskFile; readonly fileId: number; readonly position: number; readonly size: number }
    | undefined;
  readonly nextGroup: number;
  readonly checksum: number;
  readonly nextFileId: number;
  readonly lastIsEmpty: boolean;
}

export async function recover(directory: DataDirectory, logger: Logger): Promise<Recovered> {
  const manifest = await readManifest(directory);
  if (manifest === undefined) {
    await refuseLostManifest(directory);
    await removeUnnamed(directory, []);
    return {
      replay: new Replay(),
      finished: [],
      open: undefined,
      nextGroup: 1,
      checksum: 0,
      nextFileId: 1,
      lastIsEmpty: true,
    };
  }
  await removeUnnamed(directory, manifest);
  return new Recovery(directory, logger).run(manifest);
}

class Recovery {
  readonly #directory: DataDirectory;
  readonly #disk: Disk;
  readonly #logger: Logger;
  readonly #replay = new Replay();
  readonly #finished: ManifestFile[] = [];
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

  async run(manifest: readonly ManifestFile[]): Promise<Recovered> {
    const last = manifest.at(-1);
    for (const entry of manifest) await this.#file(entry, entry === last);
    return {
      replay: this.#replay,
      finished: this.#finished,
      open: this.#open,
      nextGroup: this.#nextGroup,
      checksum: this.#checksum ?? 0,
      nextFileId: (last?.fileId ?? 0) + 1,
      lastIsEmpty: this.#lastIsEmpty,
    };
  }

  async #file(entry: ManifestFile, isLast: boolean): Promise<void> {
    const file = await this.#openNamed(entry);
    if (file === undefined) {
      this.#hole(entry.fileId, 'is missing');
      this.#checksum = undefined;
      return;
    }
    let kept = false;
    try {
      const header = await this.#header(file, entry.fileId);
      if (this.#endInDoubt !== undefined) this.#hole(entry.fileId, `cannot say how ${this.#endInDoubt} ended`);
      this.#endInDoubt = undefined;
      const footer = entry.footerAt === undefined ? undefined : await readFooter(file, entry.fileId, entry.footerAt);
      if (footer !== undefined) await this.#finishedFile(file, entry, footer);
      else kept = await this.#scannedFile(file, { entry, header, isLast });
    } finally {
      if (!kept) await file.close();
    }
  }

  async #openNamed(entry: ManifestFile): Promise<DiskFile | undefined> {
    try {
      return await this.#disk.open(this.#path(entry.fileId), 'existing');
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
    if (header.firstGroup !== this.#nextGroup) this.#hole(fileId, 'does not follow the file before');
    this.#endInDoubt = undefined;
    this.#replay.raft.applyHeader(header.hardState);
    this.#nextGroup = header.firstGroup;
    this.#checksum = header.previousChecksum;
    return header;
  }

  async #finishedFile(file: DiskFile, entry: ManifestFile, footer: FoundFooter): Promise<void> {
    const entries = await this.#raftEntries(file, footer.footer);
    if (entries === undefined) this.#replay.raft.damagedRow();
    this.#replay.applyFooter(footer.footer, entry.fileId, entries ?? []);
    this.#nextGroup = footer.group + 1;
    this.#checksum = footer.previousChecksum;
    this.#finished.push(entry);
    this.#lastIsEmpty = true;
  }

  /** True when the file stays open, to be written on. */
  async #scannedFile(
    file: DiskFile,
    what: { entry: ManifestFile; header: JournalHeader | undefined; isLast: boolean },
  ): Promise<boolean> {
    const { fileId } = what.entry;
    const { end, damage } = await this.#scan(file, fileId);
    this.#nextGroup = end.nextGroup;
    this.#checksum = end.checksum;
    if (end.kind === 'footer') {
      if ((await file.size()) > end.end) await file.truncate(end.end);
      await file.sync();
      this.#replay.finishFile(fileId, damage ? undefined : end.footer);
      this.#finished.push(damage ? { fileId } : { fileId, footerAt: end.position });
      return false;
    }
    const whole = !damage && what.header !== undefined;
    if (what.isLast && whole) {
      if (end.kind === 'torn') await this.#cut(file, fileId, end.position);
      // What a process that was killed had written is there, and nobody knows whether it is durable.
      await file.sync();
      this.#open = { file, fileId, position: end.position, size: await file.size() };
      return true;
    }
    if (!what.isLast && end.kind === 'torn') this.#endInDoubt = this.#path(fileId);
    this.#replay.finishFile(fileId, undefined);
    this.#finished.push({ fileId });
    return false;
  }

  async #scan(file: DiskFile, fileId: number): Promise<{ end: ScanEnd; damage: boolean }> {
    let damage = false;
    const start = { fileId, firstGroup: this.#nextGroup, previousChecksum: this.#checksum };
    const end = await scanJournal(file, start, {
      group: (found) => {
        const where = `${this.#path(fileId)} at byte ${found.position}`;
        if (found.damagedRows.size > 0) {
          damage = true;
          this.#logger.error('journal rows damaged', { where, group: found.number, rows: found.damagedRows.size });
        }
        this.#replay.applyFound(found, where);
        this.#lastIsEmpty = found.rows.length === 0;
      },
      hole: (hole) => {
        damage = true;
        this.#hole(fileId, `is damaged at byte ${hole.position}`);
      },
    });
    return { end, damage };
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

  #hole(fileId: number, found: string): void {
    const where = `${this.#path(fileId)} ${found}`;
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
  return footer && { footer, group: found.header.number, previousChecksum: found.header.previousChecksum };
}

/** Journal files get their first group only after a manifest names them: a group without a manifest is damage. */
async function refuseLostManifest(directory: DataDirectory): Promise<void> {
  for (const name of await directory.disk.list(directory.path)) {
    const fileId = journalFileId(name);
    if (fileId === undefined) continue;
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

async function removeUnnamed(directory: DataDirectory, manifest: readonly ManifestFile[]): Promise<void> {
  const { disk } = directory;
  const named = new Set(manifest.map((entry) => entry.fileId));
  let removed = false;
  for (const name of await disk.list(directory.path)) {
    const fileId = journalFileId(name);
    if (fileId === undefined || named.has(fileId)) continue;
    await disk.remove(directory.file(name));
    removed = true;
  }
  if (removed) await disk.syncDirectory(directory.path);
}
