/**
 * The files of the node log as they are written and read.
 *
 * Owns the open file, its position and the chain of checksums, and the manifest. Called by `GroupCommit` for writes, one
 * at a time, and by `PartitionLog` for reads, many at a time.
 *
 * J1 A file takes its first group only when its name, its header and the manifest that names it are durable (S7).
 * J2 The footer of a file is durable before the manifest names the next.
 * J3 Nothing is written after a write or sync failed (S2): the caller stops for good.
 * J4 A file is longer than its groups while it is written to, and as long as they and its footer when it is finished; one
 *    that is closed between two groups is cut too. What is longer after a crash reads as zeros (A4).
 */
import type { Clock, DiskFile } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';
import { encodeFooter } from './footer.ts';
import { frameBytes } from './frame.ts';
import { type EncodedGroup, type Group, Staging } from './group.ts';
import { encodeJournalHeader, journalHeaderBytes, journalName } from './journal-file.ts';
import { type ManifestFile, writeManifest } from './manifest.ts';
import type { Recovered } from './recovery.ts';
import type { Replay } from './replay.ts';
import { SpaceAhead, type SpaceAheadLimits } from './space-ahead.ts';

/** A file is finished at this many rows too: they are indexed in memory, and its footer must stay small. */
const journalRowsMax = 262_144;

interface OpenFile {
  readonly file: DiskFile;
  readonly fileId: number;
  readonly ahead: SpaceAhead;
  position: number;
  rows: number;
}

export interface JournalLimits extends SpaceAheadLimits {
  readonly groupBytesMax: number;
}

export class Journal {
  readonly #directory: DataDirectory;
  readonly #replay: Replay;
  readonly #limits: JournalLimits;
  readonly #clock: Clock;
  readonly #staging: Staging;
  #finished: ManifestFile[];
  #open: OpenFile | undefined;
  #nextFileId: number;
  #checksum: number;
  #lastGroup: number;
  #syncs = 0;
  /** Something is on its way that the log stands on; for ever, when it failed. */
  #busy = false;
  /** Between two groups: what fails a group is told to who asked for it. */
  onFailure: (error: Error) => void = () => undefined;

  constructor(directory: DataDirectory, recovered: Recovered, options: { limits: JournalLimits; clock: Clock }) {
    const { limits, clock } = options;
    this.#directory = directory;
    this.#replay = recovered.replay;
    this.#limits = limits;
    this.#clock = clock;
    this.#staging = new Staging(limits.groupBytesMax * 2);
    this.#finished = [...recovered.finished];
    this.#open = recovered.open && this.#opened(recovered.open);
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
    this.#open.ahead.replenish();
  }

  /** The group is part of the log once this resolves. `onWrite` is called when its bytes are made and go to the disk. */
  async commit(group: Group, onWrite: () => void): Promise<EncodedGroup> {
    this.#busy = true;
    const open = this.#fileFor(group) ?? (await this.#nextFile());
    const { file, position, fileId, ahead } = open;
    const encoded = group.encode({ fileId, position, previousChecksum: this.#checksum }, this.#staging);
    const space = ahead.claim(position + encoded.bytes);
    if (space !== undefined) await space;
    onWrite();
    await file.writeDurable(encoded.buffers, position);
    ahead.assertWhole();
    this.#syncs += 1;
    open.position += encoded.bytes;
    open.rows += group.rowCount;
    this.#checksum = encoded.checksum;
    this.#lastGroup = group.number;
    this.#busy = false;
    ahead.replenish();
    return encoded;
  }

  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    try {
      await open.ahead.stop();
      // Not worth a sync: zeros that come back are no damage.
      if (!this.#busy) await open.file.truncate(open.position);
    } finally {
      await open.file.close();
    }
  }

  /** Undefined when the group needs another file. */
  #fileFor(group: Group): OpenFile | undefined {
    const open = this.#open;
    return open === undefined || this.#isFull(open, group) ? undefined : open;
  }

  async #nextFile(): Promise<OpenFile> {
    if (this.#open !== undefined) await this.#finish(this.#open);
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
    await open.ahead.stop();
    open.ahead.assertWhole();
    await open.file.write([frame], position);
    await open.file.truncate(position + frame.length);
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
    return this.#opened({ file, fileId, position: journalHeaderBytes, size: journalHeaderBytes });
  }

  #opened(what: NonNullable<Recovered['open']>): OpenFile {
    const { file, fileId, position, size } = what;
    const onFailure = (error: Error): void => {
      this.#busy = true;
      this.onFailure(error);
    };
    const ahead = new SpaceAhead(file, { end: position, size, clock: this.#clock, limits: this.#limits, onFailure });
    return { file, fileId, ahead, position, rows: 0 };
  }
}
