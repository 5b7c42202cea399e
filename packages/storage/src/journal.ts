/**
 * The files of the node log as they are written and read.
 *
 * Owns the open file, its position and the chain of checksums, and the manifest. Called by `GroupCommit` for writes, one
 * at a time, and by `PartitionLog` for reads, many at a time.
 *
 * J1 A file takes its first group only when its name, its header and the manifest that names it are durable (S7).
 * J2 The footer of a file is durable before the manifest names the next.
 * J3 Nothing is written after a write or sync failed (S2): the caller stops for good.
 */
import type { DiskFile } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';
import { encodeFooter } from './footer.ts';
import { frameBytes } from './frame.ts';
import { type EncodedGroup, type Group, Staging } from './group.ts';
import { encodeJournalHeader, journalHeaderBytes, journalName } from './journal-file.ts';
import { type ManifestFile, writeManifest } from './manifest.ts';
import type { Recovered } from './recovery.ts';
import type { Replay } from './replay.ts';

/** A file is finished at this many rows too: they are indexed in memory, and its footer must stay small. */
const journalRowsMax = 262_144;

interface OpenFile {
  readonly file: DiskFile;
  readonly fileId: number;
  position: number;
  rows: number;
}

export interface JournalLimits {
  readonly journalBytesMax: number;
  readonly groupBytesMax: number;
}

export class Journal {
  readonly #directory: DataDirectory;
  readonly #replay: Replay;
  readonly #limits: JournalLimits;
  readonly #staging: Staging;
  #finished: ManifestFile[];
  #open: OpenFile | undefined;
  #nextFileId: number;
  #checksum: number;
  #lastGroup: number;
  #syncs = 0;

  constructor(directory: DataDirectory, recovered: Recovered, limits: JournalLimits) {
    this.#directory = directory;
    this.#replay = recovered.replay;
    this.#limits = limits;
    this.#staging = new Staging(limits.groupBytesMax * 2);
    this.#finished = [...recovered.finished];
    this.#open = recovered.open && { ...recovered.open, rows: 0 };
    this.#nextFileId = recovered.nextFileId;
    this.#checksum = recovered.checksum;
    this.#lastGroup = recovered.nextGroup - 1;
  }

  get syncs(): number {
    return this.#syncs;
  }

  get fileCount(): number {
    return this.#finished.length + (this.#open === undefined ? 0 : 1);
  }

  /** The file that rows without a segment lie in. */
  get openFileId(): number {
    return this.#open?.fileId ?? 0;
  }

  /** Makes a file when recovery left none to go on with. */
  async start(): Promise<void> {
    this.#open ??= await this.#create();
  }

  /** Writes the bytes of the next group; `sync` makes it durable. */
  async write(group: Group): Promise<EncodedGroup> {
    const { file, position, fileId } = await this.#fileFor(group);
    const encoded = group.encode({ fileId, position, previousChecksum: this.#checksum }, this.#staging);
    await file.write(encoded.buffers, position);
    return encoded;
  }

  /** The group is part of the log once this resolves. */
  async sync(group: Group, encoded: EncodedGroup): Promise<void> {
    const open = this.#open;
    if (open === undefined) return;
    await open.file.sync();
    this.#syncs += 1;
    open.position += encoded.bytes;
    open.rows += group.rowCount;
    this.#checksum = encoded.checksum;
    this.#lastGroup = group.number;
  }

  async close(): Promise<void> {
    await this.#open?.file.close();
    this.#open = undefined;
  }

  async #fileFor(group: Group): Promise<OpenFile> {
    const open = this.#open;
    if (open !== undefined && !this.#isFull(open, group)) return open;
    if (open !== undefined) await this.#finish(open);
    this.#open = undefined;
    const created = await this.#create();
    this.#open = created;
    return created;
  }

  #isFull(open: OpenFile, group: Group): boolean {
    if (open.position === journalHeaderBytes) return false;
    const bytes = frameBytes({ tableBytes: group.bytes - group.payloadBytes, payloadBytes: group.payloadBytes });
    return open.position + bytes > this.#limits.journalBytesMax || open.rows + group.rowCount > journalRowsMax;
  }

  async #finish(open: OpenFile): Promise<void> {
    const { fileId, position } = open;
    const source = this.#replay.footerSource(this.#lastGroup);
    const { frame, footer } = encodeFooter(source, { fileId, position, previousChecksum: this.#checksum });
    await open.file.write([frame], position);
    await open.file.sync();
    this.#syncs += 1;
    await open.file.close();
    this.#replay.finishFile(fileId, footer);
    this.#finished.push({ fileId, footerAt: position });
  }

  async #create(): Promise<OpenFile> {
    const { disk } = this.#directory;
    const fileId = this.#nextFileId;
    this.#nextFileId += 1;
    const file = await disk.open(this.#directory.file(journalName(fileId)), 'create');
    const header = encodeJournalHeader({
      fileId,
      firstGroup: this.#lastGroup + 1,
      previousChecksum: this.#checksum,
      hardState: this.#replay.raft.hardState,
    });
    await file.write([header], 0);
    await file.sync();
    await disk.syncDirectory(this.#directory.path);
    await writeManifest(this.#directory, [...this.#finished, { fileId }]);
    this.#syncs += 1;
    return { file, fileId, position: journalHeaderBytes, rows: 0 };
  }
}
