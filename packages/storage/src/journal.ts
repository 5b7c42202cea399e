/**
 * The journal file that is written, and how one follows the other.
 *
 * Owns the open file, its position and the chain of checksums. Called by `GroupCommit`, for one write at a time.
 *
 * J1 A file takes its first group only when its name, its header and the manifest that names it are durable (S7).
 * J2 The footer of a file is durable before the manifest names the next.
 * J3 Nothing is written after a write or sync failed (S2): the caller stops for good.
 * J4 A file is longer than its groups while it is written to, and as long as they and its footer when it is finished; one
 *    that is closed between two groups is cut too. What is longer after a crash reads as zeros (A4).
 * J5 A file with rows is finished by age too, so that what little traffic left there can go with it. A wall clock that
 *    is set by as much between two lives of the process, either way, finishes one file early.
 * J6 A footer and a new file that find the disk full wait for room (R3), and the group with them. What fails with any other
 *    error, and any sync, stops the log.
 */
import { SteadyWall } from '@sluice/base';
import type { Clock, DiskFile, LogId } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { encodingFooter } from './footer.ts';
import { frameBytes } from './frame.ts';
import { Staging } from './gather.ts';
import type { EncodedGroup, Group } from './group.ts';
import { inTurns } from './in-turns.ts';
import { encodeJournalHeader, journalHeaderBytes, journalName } from './journal-file.ts';
import type { LiveFiles } from './live-files.ts';
import type { StateSnapshot } from './log-store.ts';
import type { FoundOpen, Recovered } from './recovery.ts';
import type { Replay } from './replay.ts';
import { takeSnapshots } from './snapshot-taking.ts';
import { SpaceAhead, type SpaceAheadLimits } from './space-ahead.ts';

interface MadeFile {
  readonly file: DiskFile;
  readonly fileId: number;
}

interface OpenFile extends MadeFile {
  readonly ahead: SpaceAhead;
  position: number;
  rows: number;
  firstAppendedMs: number;
}

export interface JournalLimits extends SpaceAheadLimits {
  readonly groupBytesMax: number;
  readonly journalAgeMsMax: number;
}

export interface JournalOptions {
  readonly files: LiveFiles;
  readonly limits: JournalLimits;
  readonly clock: Clock;
  readonly reserve: DiskReserve;
  /** Of a log, to be kept in the footer. */
  readonly snapshotOf: (id: LogId) => StateSnapshot | undefined;
  /** A file is finished at this many rows too: they are indexed in memory. */
  readonly rowsMax: number;
}

export class Journal {
  readonly #directory: DataDirectory;
  readonly #replay: Replay;
  readonly #limits: JournalLimits;
  readonly #clock: Clock;
  readonly #snapshotOf: JournalOptions['snapshotOf'];
  /** A jump of the clock must not make what is appended now look old, or young, later. */
  readonly #wall: SteadyWall;
  readonly #staging: Staging;
  readonly #files: LiveFiles;
  readonly #reserve: DiskReserve;
  readonly #rowsMax: number;
  #open: OpenFile | undefined;
  #checksum: number;
  #lastGroup: number;
  #appendedMs = 0;
  #syncs = 0;
  #failed: Error | undefined;
  /** Something is on its way that the log stands on; for ever, when it failed. */
  #busy = false;
  /** Between two groups: what fails a group is told to who asked for it. */
  onFailure: (error: Error) => void = () => undefined;

  constructor(directory: DataDirectory, recovered: Recovered, options: JournalOptions) {
    const { files, limits, clock, reserve, rowsMax, snapshotOf } = options;
    this.#directory = directory;
    this.#files = files;
    this.#replay = recovered.replay;
    this.#limits = limits;
    this.#clock = clock;
    this.#reserve = reserve;
    this.#snapshotOf = snapshotOf;
    this.#rowsMax = rowsMax;
    this.#wall = new SteadyWall(clock);
    this.#staging = new Staging(limits.groupBytesMax * 2);
    this.#open = recovered.open && this.#opened(recovered.open);
    this.#checksum = recovered.checksum;
    this.#lastGroup = recovered.nextGroup - 1;
  }

  get syncs(): number {
    return this.#syncs;
  }

  /** Of the open file, without the space ahead. */
  get openBytes(): number {
    return this.#open?.position ?? 0;
  }

  /** Of the open file. */
  get openRows(): number {
    return this.#open?.rows ?? 0;
  }

  /** Until the open file is finished by age (J5); undefined while it has no rows. */
  ageLeftMs(): number | undefined {
    const open = this.#open;
    if (open === undefined || open.rows === 0) return undefined;
    return Math.max(0, this.#limits.journalAgeMsMax - Math.abs(this.#wallMs() - open.firstAppendedMs));
  }

  /** What the log stands on failed between two groups: none is written any more, and none on its way is completed. */
  fail(error: Error): void {
    this.#stopWriting(error);
    this.onFailure(error);
  }

  /** The file that rows without a segment lie in. */
  get openFileId(): number {
    return this.#open?.fileId ?? 0;
  }

  /** Makes a file when recovery left none to go on with. */
  async start(): Promise<void> {
    this.#open ??= await this.#begin(await this.#make());
    this.#open.ahead.replenish();
  }

  /** The group is part of the log once this resolves. `onWrite` is called when its bytes are made and go to the disk. */
  async commit(group: Group, onWrite: () => void): Promise<EncodedGroup> {
    this.#busy = true;
    try {
      return await this.#commit(group, onWrite);
    } catch (error) {
      this.#stopWriting(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  async #commit(group: Group, onWrite: () => void): Promise<EncodedGroup> {
    const open = this.#fileFor(group) ?? (await this.#nextFile());
    const { file, position, fileId, ahead } = open;
    const appendedMs = this.#wallMs();
    const encoded = group.encode({ fileId, position, previousChecksum: this.#checksum, appendedMs }, this.#staging);
    const space = ahead.claim(position + encoded.bytes);
    if (space !== undefined) await space;
    this.#assertWhole();
    onWrite();
    await file.writeDurable(encoded.buffers, position);
    ahead.assertWhole();
    this.#assertWhole();
    this.#syncs += 1;
    open.position += encoded.bytes;
    if (open.rows === 0) open.firstAppendedMs = appendedMs;
    open.rows += group.rowCount;
    this.#appendedMs = appendedMs;
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
    const open = this.#open;
    // Both at once: neither is part of the log before the manifest says so, and appends wait meanwhile.
    const [made] = await Promise.all([this.#make(), open && this.#finish(open)]);
    this.#open = undefined;
    const created = await this.#begin(made);
    this.#open = created;
    return created;
  }

  #isFull(open: OpenFile, group: Group): boolean {
    if (open.position === journalHeaderBytes) return false;
    const bytes = frameBytes({ tableBytes: group.bytes - group.payloadBytes, payloadBytes: group.payloadBytes });
    if (open.position + bytes > this.#limits.journalBytesMax) return true;
    return open.rows + group.rowCount > this.#rowsMax || this.ageLeftMs() === 0;
  }

  async #finish(open: OpenFile): Promise<void> {
    const { fileId, position } = open;
    const snapshotOf = this.#snapshotOf;
    const snapshots = await takeSnapshots(this.#replay.touched(), { snapshotOf, clock: this.#clock, fileId });
    this.#assertWhole();
    const source = this.#replay.footerSource(this.#lastGroup, snapshots);
    const place = { fileId, position, previousChecksum: this.#checksum, appendedMs: this.#appendedMs };
    // No group is under way: what the source says of stays as it is.
    const { frame, footer } = await inTurns(this.#clock, encodingFooter(source, place));
    await open.ahead.stop();
    open.ahead.assertWhole();
    this.#assertWhole();
    await this.#reserve.untilFits(() => open.file.write([frame], position));
    this.#assertWhole();
    await this.#reserve.untilFits(() => open.file.truncate(position + frame.length));
    this.#assertWhole();
    await open.file.sync();
    this.#syncs += 1;
    await open.file.close();
    this.#replay.finishFile(fileId, footer);
    const bytes = position + frame.length;
    this.#files.finish({
      fileId,
      footerAt: position,
      bytes,
      batchBytes: position - journalHeaderBytes,
      damaged: false,
    });
  }

  /** A file that no manifest names. */
  async #make(): Promise<MadeFile> {
    const { disk } = this.#directory;
    const fileId = this.#files.takeFileId();
    const { untilFits } = this.#reserve;
    const file = await untilFits(() => disk.open(this.#directory.file(journalName(fileId)), 'create'));
    const header = encodeJournalHeader({
      fileId,
      firstGroup: this.#lastGroup + 1,
      previousChecksum: this.#checksum,
      hardState: this.#replay.raft.hardState,
    });
    this.#assertWhole();
    await untilFits(() => file.write([header], 0));
    this.#assertWhole();
    await file.sync();
    await disk.syncDirectory(this.#directory.path);
    this.#syncs += 1;
    return { file, fileId };
  }

  async #begin({ file, fileId }: MadeFile): Promise<OpenFile> {
    await this.#files.begin(fileId);
    const at = { position: journalHeaderBytes, size: journalHeaderBytes, rows: 0, firstAppendedMs: 0 };
    return this.#opened({ file, fileId, ...at });
  }

  /** J3, also for what lies ahead of the groups. */
  #stopWriting(error: Error): void {
    this.#failed ??= error;
    this.#busy = true;
    void this.#open?.ahead.stop();
  }

  #assertWhole(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  #opened({ file, fileId, position, size, rows, firstAppendedMs }: FoundOpen): OpenFile {
    const onFailure = (error: Error): void => this.fail(error);
    const [clock, limits, reserve] = [this.#clock, this.#limits, this.#reserve];
    const ahead = new SpaceAhead(file, { end: position, size, clock, limits, reserve, onFailure });
    return { file, fileId, ahead, position, rows, firstAppendedMs };
  }

  /** As a frame holds it. */
  #wallMs(): number {
    return Math.max(0, Math.floor(this.#wall.wallMs()));
  }
}
