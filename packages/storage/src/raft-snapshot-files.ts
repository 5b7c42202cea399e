/**
 * The files of Raft snapshots: one that the log names, others on their way in or out.
 *
 * Owns those files. Called by `RaftLog`, which writes the record that names one, and by recovery.
 *
 * F1 A file is written, synced, and its name too, before `save` resolves. It means nothing until a durable record names it:
 *    so it gets its name at once, which no file has that is there.
 * F2 Older files go when a record that names a newer one is durable; what no record names goes at start.
 * F3 While the Raft state is doubtful nothing goes that was there at start: it is evidence.
 * F4 A file that meets a full disk is removed and written anew when there is room, as another. No sync of the directory is
 *    done again. Any other failure stops the log (P10).
 */
import type { Logger } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';
import type { UntilFits } from './disk-reserve.ts';
import type { RaftIndex } from './raft-index.ts';
import {
  encodeRaftSnapshot,
  raftSnapshotFileId,
  raftSnapshotName,
  type RaftSnapshotRef,
  readRaftSnapshot,
} from './raft-snapshot-file.ts';
import type { RaftSnapshot } from './raft-store.ts';
import type { Removal } from './removal.ts';
import { isNoSpace } from './space-ahead.ts';
import { writeInPieces } from './write-in-pieces.ts';

export interface RaftSnapshotsFound {
  /** That the log names. */
  readonly snapshot: RaftSnapshot | null;
  /** Of all files of snapshots. */
  readonly fileIds: readonly number[];
}

/**
 * Reads what the log names. When that is not there as it was written, or the entries do not go on from it, the log is lost:
 * it is empty from then on, and in doubt.
 */
export async function recoverRaftSnapshot(
  directory: DataDirectory,
  raft: RaftIndex,
  logger: Logger,
): Promise<RaftSnapshotsFound> {
  const fileIds: number[] = [];
  for (const name of await directory.disk.list(directory.path)) {
    const fileId = raftSnapshotFileId(name);
    if (fileId !== undefined) fileIds.push(fileId);
  }
  const { snapshot: ref } = raft;
  const read = ref && (await readRaftSnapshot(directory, ref));
  if (ref !== undefined && read !== undefined && 'wrong' in read) {
    logger.error('Raft snapshot damaged', { file: directory.file(raftSnapshotName(ref.fileId)), found: read.wrong });
    raft.loseLog();
    return { snapshot: null, fileIds };
  }
  if (!raft.fits) {
    logger.error('Raft entries do not go on from the snapshot', { firstIndex: raft.firstIndex });
    raft.loseLog();
    return { snapshot: null, fileIds };
  }
  return { snapshot: read === undefined || 'wrong' in read ? null : read, fileIds };
}

export interface RaftSnapshotFilesOptions {
  readonly directory: DataDirectory;
  readonly removal: Removal;
  readonly untilFits: UntilFits;
  /** Why the log takes nothing more. */
  readonly failed: () => Error | undefined;
  readonly onFailure: (error: Error) => void;
}

export class RaftSnapshotFiles {
  readonly #options: RaftSnapshotFilesOptions;
  /** Named by a durable record. */
  #named: RaftSnapshotRef | undefined;
  /** No record names them yet, or any more; the oldest first. */
  #saved: RaftSnapshotRef[] = [];
  /** Not named, and there at start. */
  #leftBehind: readonly number[];
  #nextFileId: number;
  #last: Promise<unknown> = Promise.resolve();
  #isClosing = false;

  constructor(options: RaftSnapshotFilesOptions, { fileIds }: RaftSnapshotsFound, named: RaftSnapshotRef | undefined) {
    this.#options = options;
    this.#named = named;
    this.#leftBehind = fileIds.filter((fileId) => fileId !== named?.fileId);
    this.#nextFileId = Math.max(0, named?.fileId ?? 0, ...fileIds) + 1;
  }

  /** Of the file that the log names. */
  get bytes(): number {
    return this.#named?.bytes ?? 0;
  }

  /** What recovery found is durable. */
  start(isDoubtful: boolean): void {
    this.#removeLeftBehind(isDoubtful);
  }

  /** One at a time. Rejects with `STORAGE_FAILED` or `SHUTTING_DOWN`, and with `DiskError` when no file may be so large. */
  save(snapshot: RaftSnapshot): Promise<void> {
    const saving = this.#last.then(() => this.#save(snapshot));
    this.#last = saving.catch(() => undefined);
    return saving;
  }

  /** The newest that was saved of this index and term. */
  find(index: number, term: number): RaftSnapshotRef | undefined {
    const is = (ref: RaftSnapshotRef): boolean => ref.index === index && ref.term === term;
    return this.#saved.findLast(is) ?? (this.#named !== undefined && is(this.#named) ? this.#named : undefined);
  }

  /** The record that names it is durable (F2). */
  named(ref: RaftSnapshotRef, isDoubtful: boolean): void {
    if (this.#named !== undefined && this.#named.fileId !== ref.fileId) this.#saved.push(this.#named);
    this.#named = ref;
    const isOver = ({ index, fileId }: RaftSnapshotRef): boolean => index <= ref.index && fileId < ref.fileId;
    const over = this.#saved.filter(isOver);
    this.#saved = this.#saved.filter((saved) => !isOver(saved) && saved.fileId !== ref.fileId);
    this.#options.removal.add(over.map(({ fileId }) => raftSnapshotName(fileId)));
    this.#removeLeftBehind(isDoubtful);
  }

  /** Resolves when nothing is on its way. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#last;
  }

  #removeLeftBehind(isDoubtful: boolean): void {
    if (isDoubtful) return;
    this.#options.removal.add(this.#leftBehind.map(raftSnapshotName));
    this.#leftBehind = [];
  }

  async #save(snapshot: RaftSnapshot): Promise<void> {
    const { directory, untilFits, onFailure } = this.#options;
    this.#expectRunning();
    try {
      const ref = await untilFits(() => this.#write(snapshot));
      await directory.disk.syncDirectory(directory.path);
      this.#saved.push(ref);
    } catch (error) {
      if (isNoSpace(error) && error.path !== directory.path) throw error;
      onFailure(error instanceof Error ? error : new Error(String(error)));
      this.#expectRunning();
      throw error;
    }
  }

  #expectRunning(): void {
    const failed = this.#options.failed();
    if (failed !== undefined) throw new SluiceError('STORAGE_FAILED', { message: failed.message, definite: true });
    if (this.#isClosing) throw new SluiceError('SHUTTING_DOWN', { message: 'The node log is closed.' });
  }

  async #write(snapshot: RaftSnapshot): Promise<RaftSnapshotRef> {
    const { directory } = this.#options;
    const { disk } = directory;
    const fileId = this.#nextFileId;
    this.#nextFileId += 1;
    const path = directory.file(raftSnapshotName(fileId));
    const { ref, buffers } = encodeRaftSnapshot(snapshot, fileId);
    try {
      const file = await disk.open(path, 'create');
      try {
        await writeInPieces(file, { buffers, position: 0 });
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (isNoSpace(error) && (await disk.exists(path))) await disk.remove(path);
      throw error;
    }
    return ref;
  }
}
