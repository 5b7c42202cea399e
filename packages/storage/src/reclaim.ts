/**
 * Gives the space of dead journal files back.
 *
 * Owns the drop that is in flight, and which files are evidence of damage. Called by the node log at start and after each
 * group; works beside the groups, and they wait for it at most where both name files in the manifest.
 *
 * C1 Only the oldest finished files go: what is left is the checkpoint and an unbroken end of the log, whose rows name the
 *    same groups as ever. A file that is missing in between, or without a checkpoint for it, is damage.
 * C2 A file goes when no segment of any log lies in it, by rows that are durable (X4).
 * C3 What still counts of it, the Raft entries among that, is in a checkpoint that is durable with its name, before a
 *    manifest leaves the file out; that is durable before `Removal` hears of the file. A crash in between leaves files
 *    without a name, which recovery removes.
 * C4 A file with damage stays, and all behind it, while a log is lossy or the Raft state is doubtful. One whose damage
 *    nobody has met before stays until recovery has judged it.
 * C5 What goes is no smaller than the checkpoint that is made anew for it: a byte is written for each that is freed, at
 *    most.
 * C6 Without room for the checkpoint, or when old files cannot be read, nothing goes this time, and nothing fails.
 *    For room it looks again when the disk was looked at.
 */
import { DiskError, type Logger } from '@sluice/base';
import { checkpointName } from './checkpoint-name.ts';
import { type Folded, type WrittenCheckpoint, writeCheckpoint } from './checkpoint.ts';
import type { ColdReader } from './cold-reader.ts';
import type { DataDirectory } from './data-directory.ts';
import { journalName } from './journal-file.ts';
import type { FinishedCheckpoint, FinishedFile, LiveFiles } from './live-files.ts';
import type { LossyReport } from './log-store.ts';
import { foldFiles } from './recovery.ts';
import type { Removal } from './removal.ts';
import type { Replay } from './replay.ts';
import { isNoSpace } from './space-ahead.ts';

export interface ReclaimView {
  /** In log order. */
  readonly finished: readonly FinishedFile[];
  readonly checkpoint: FinishedFile | undefined;
  /** Whether a segment lies in the file. */
  readonly lives: (fileId: number) => boolean;
  readonly isEvidence: (file: FinishedFile) => boolean;
}

/** The files that go now, the oldest first; none when that is not worth it. */
export function filesToDrop({ finished, checkpoint, lives, isEvidence }: ReclaimView): readonly FinishedFile[] {
  if (checkpoint !== undefined && isEvidence(checkpoint)) return [];
  const first = finished.findIndex((file) => lives(file.fileId) || isEvidence(file));
  const files = first < 0 ? finished : finished.slice(0, first);
  let bytes = 0;
  for (const file of files) bytes += file.bytes;
  return bytes < (checkpoint?.bytes ?? 0) ? [] : files;
}

export interface ReclaimOptions {
  readonly directory: DataDirectory;
  readonly files: LiveFiles;
  readonly replay: Replay;
  readonly cold: ColdReader;
  readonly removal: Removal;
  readonly logger: Logger;
  /** A log is lossy, or the Raft state doubtful. */
  readonly isInDoubt: () => boolean;
  readonly isStopped: () => boolean;
  readonly onFailure: (error: Error) => void;
  /** Calls `run` once, when the disk was asked again what is free. */
  readonly afterLook: (run: () => void) => void;
}

interface Damage {
  readonly fileId: number;
  readonly log: { readonly lossy: LossyReport | undefined };
}

export class Reclaim {
  readonly #options: ReclaimOptions;
  #inFlight: Promise<void> | undefined;
  /** `FileUse.changes` when it was last looked at. */
  #seen = -1;
  #closing = false;
  /** There was no room for a checkpoint: said once. */
  #hadNoRoom = false;
  /** Met by reads; recovery does not know of it. */
  #damage: Damage[] = [];

  constructor(options: ReclaimOptions) {
    this.#options = options;
  }

  /** Returns at once; begins a drop when there is something to drop and none is in flight. */
  check(): void {
    const { replay, files, isStopped, onFailure } = this.#options;
    const { use } = replay;
    if (this.#seen === use.changes || this.#inFlight !== undefined || this.#closing || isStopped()) return;
    this.#seen = use.changes;
    const dropped = filesToDrop({
      finished: files.finished,
      checkpoint: files.checkpoint,
      lives: (fileId) => use.lives(fileId),
      isEvidence: (file) => this.#isEvidence(file),
    });
    if (dropped.length === 0) return;
    this.#inFlight = this.#drop(dropped)
      .catch((error: unknown) => onFailure(error instanceof Error ? error : new Error(String(error))))
      .then(() => {
        this.#inFlight = undefined;
        this.check();
      });
  }

  /** The file is evidence until the log is healed or deleted. */
  damaged(fileId: number, log: Damage['log']): void {
    if (this.#damage.some((known) => known.fileId === fileId && known.log === log)) return;
    this.#damage.push({ fileId, log });
  }

  /** Resolves when nothing is in flight; begins nothing more. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#inFlight;
  }

  #isEvidence(file: FinishedFile): boolean {
    if (file.damaged && this.#options.isInDoubt()) return true;
    this.#damage = this.#damage.filter(({ log }) => log.lossy !== undefined);
    return this.#damage.some(({ fileId }) => fileId === file.fileId);
  }

  async #drop(dropped: readonly FinishedFile[]): Promise<void> {
    const { files, replay, cold, removal, logger, isStopped } = this.#options;
    const before = files.checkpoint;
    const folded = await this.#fold(before, dropped);
    if (folded === undefined || isStopped()) return;
    const written = await this.#checkpoint(folded);
    if (written === undefined || isStopped()) return;
    const { file: checkpoint, footer } = written;
    await files.drop(dropped, checkpoint);
    const ids = new Set(dropped.map(({ fileId }) => fileId));
    if (before !== undefined) ids.add(before.fileId);
    replay.moveSnapshots(ids, checkpoint.fileId, footer);
    const gone = dropped.map(({ fileId }) => journalName(fileId));
    if (before !== undefined) gone.push(checkpointName(before.fileId));
    for (const fileId of ids) await cold.forget(fileId);
    removal.add(gone);
    logger.debug('journal files dropped', { files: gone, checkpointBytes: checkpoint.bytes });
  }

  /** Undefined when they have to stay (C4, C6). */
  async #fold(before: FinishedCheckpoint | undefined, files: readonly FinishedFile[]): Promise<Folded | undefined> {
    const { directory, logger } = this.#options;
    try {
      const folded = await foldFiles(directory, before, files);
      const isKnown = before?.damaged === true || files.some((file) => file.damaged);
      if (folded.damage === undefined || isKnown) return folded;
      logger.error('dead journal files are damaged and stay', { where: folded.damage });
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      logger.error('dead journal files cannot be read and stay', { error: error.message });
    }
    return undefined;
  }

  /** Undefined when there is no room for it. */
  async #checkpoint(folded: Folded): Promise<WrittenCheckpoint | undefined> {
    const { directory, files, logger } = this.#options;
    const fileId = files.takeFileId();
    try {
      const written = await writeCheckpoint(directory, fileId, folded);
      this.#hadNoRoom = false;
      return written;
    } catch (error) {
      // A directory whose sync failed may have lost any name in it, also one that the log stands on.
      if (!isNoSpace(error) || error.path === directory.path) throw error;
      if (!this.#hadNoRoom) logger.warn('no room to drop journal files', { error: error.message });
      this.#hadNoRoom = true;
      this.#options.afterLook(() => {
        this.#seen = -1;
        this.check();
      });
      const path = directory.file(checkpointName(fileId));
      if (await directory.disk.exists(path)) await directory.disk.remove(path);
      return undefined;
    }
  }
}
