/**
 * Gives the space of the oldest files back once they are dead; what dies behind them is `Rewriter`'s to collect.
 *
 * Owns the drop that is in flight, and which files are evidence of damage. Called by the node log at start and after each
 * group; works beside the groups, and they wait for it at most where both name files in the manifest.
 *
 * C1 Only the oldest finished files and sorted sets go: what is left is the checkpoint and an unbroken end of the log, whose rows name the
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
import { type Clock, DiskError, type Logger } from '@sluice/base';
import { checkpointName } from './checkpoint-name.ts';
import { type Folded, type WrittenCheckpoint, writeCheckpoint } from './checkpoint.ts';
import type { ColdReader } from './cold-reader.ts';
import type { DataDirectory } from './data-directory.ts';
import {
  entryBytes,
  type FinishedCheckpoint,
  type FinishedEntry,
  type FinishedFile,
  type LiveFiles,
} from './live-files.ts';
import type { LossyReport } from './log-store.ts';
import { foldFiles } from './recovery.ts';
import type { Removal } from './removal.ts';
import type { Replay } from './replay.ts';
import { isNoSpace } from './space-ahead.ts';

export interface ReclaimView {
  /** In log order. */
  readonly finished: readonly FinishedEntry[];
  readonly checkpoint: FinishedFile | undefined;
  /** Whether a segment lies in the file. */
  readonly lives: (fileId: number) => boolean;
  readonly isEvidence: (file: FinishedFile) => boolean;
  /** Something else is done with it now. */
  readonly isHeld: (entry: FinishedEntry) => boolean;
}

/** What goes now, the oldest first; nothing when that is not worth it. */
export function entriesToDrop(view: ReclaimView): readonly FinishedEntry[] {
  const { finished, checkpoint, lives, isEvidence, isHeld } = view;
  if (checkpoint !== undefined && isEvidence(checkpoint)) return [];
  const stays = (entry: FinishedEntry): boolean =>
    isHeld(entry) || entry.files.some((file) => lives(file.fileId) || isEvidence(file));
  const first = finished.findIndex(stays);
  const entries = first < 0 ? finished : finished.slice(0, first);
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  return bytes < (checkpoint?.bytes ?? 0) ? [] : entries;
}

export interface ReclaimOptions {
  readonly directory: DataDirectory;
  readonly files: LiveFiles;
  readonly replay: Replay;
  readonly cold: ColdReader;
  readonly clock: Clock;
  readonly removal: Removal;
  readonly logger: Logger;
  /** A log is lossy, or the Raft state doubtful. */
  readonly isInDoubt: () => boolean;
  readonly isHeld: (entry: FinishedEntry) => boolean;
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
  /** What goes in it. */
  #dropping: readonly FinishedEntry[] = [];
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
    const { replay, files, isHeld, isStopped, onFailure } = this.#options;
    const { use } = replay;
    if (this.#seen === use.changes || this.#inFlight !== undefined || this.#closing || isStopped()) return;
    this.#seen = use.changes;
    const dropped = entriesToDrop({
      finished: files.finished,
      checkpoint: files.checkpoint,
      lives: (fileId) => use.lives(fileId),
      isEvidence: (file) => this.isEvidence(file),
      isHeld,
    });
    if (dropped.length === 0) return;
    this.#dropping = dropped;
    this.#inFlight = this.#drop(dropped)
      .catch((error: unknown) => onFailure(error instanceof Error ? error : new Error(String(error))))
      .then(() => {
        this.#inFlight = undefined;
        this.#dropping = [];
        this.check();
      });
  }

  /** It goes in the drop that is in flight. */
  drops(entry: FinishedEntry): boolean {
    return this.#dropping.includes(entry);
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

  /** C4: what it holds must stay as it is. */
  isEvidence(file: FinishedFile): boolean {
    if (file.damaged && this.#options.isInDoubt()) return true;
    this.#damage = this.#damage.filter(({ log }) => log.lossy !== undefined);
    return this.#damage.some(({ fileId }) => fileId === file.fileId);
  }

  async #drop(dropped: readonly FinishedEntry[]): Promise<void> {
    const { files, replay, cold, removal, logger, isStopped } = this.#options;
    const before = files.checkpoint;
    const folded = await this.#fold(before, dropped);
    if (folded === undefined || isStopped()) return;
    const written = await this.#checkpoint(folded);
    if (written === undefined || isStopped()) return;
    const { file: checkpoint, footer } = written;
    const ids = new Set(dropped.flatMap((entry) => entry.files.map(({ fileId }) => fileId)));
    if (before !== undefined) ids.add(before.fileId);
    const gone = Array.from(ids, (fileId) => files.nameOf(fileId));
    await files.drop(dropped, checkpoint);
    replay.moveSnapshots(ids, checkpoint.fileId, footer);
    for (const fileId of ids) await cold.forget(fileId);
    files.forget(ids);
    removal.add(gone);
    logger.debug('dead files dropped', { files: gone, checkpointBytes: checkpoint.bytes });
  }

  /** Undefined when they have to stay (C4, C6). */
  async #fold(before: FinishedCheckpoint | undefined, entries: readonly FinishedEntry[]): Promise<Folded | undefined> {
    const { directory, clock, logger } = this.#options;
    try {
      const folded = await foldFiles(directory, { checkpoint: before, entries }, clock);
      const isKnown = before?.damaged === true || entries.some(({ files }) => files.some((file) => file.damaged));
      if (folded.damage === undefined || isKnown) {
        // What later files discard, durably, is not carried on.
        const entries = folded.entries.filter(({ index }) => index >= this.#options.replay.raft.firstIndex);
        return { ...folded, entries };
      }
      logger.error('dead files are damaged and stay', { where: folded.damage });
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      logger.error('dead files cannot be read and stay', { error: error.message });
    }
    return undefined;
  }

  /** Undefined when there is no room for it. */
  async #checkpoint(folded: Folded): Promise<WrittenCheckpoint | undefined> {
    const { directory, files, clock, logger } = this.#options;
    const fileId = files.takeFileId();
    try {
      const written = await writeCheckpoint(directory, { fileId, folded, clock });
      this.#hadNoRoom = false;
      return written;
    } catch (error) {
      // A directory whose sync failed may have lost any name in it, also one that the log stands on.
      if (!isNoSpace(error) || error.path === directory.path) throw error;
      if (!this.#hadNoRoom) logger.warn('no room to drop dead files', { error: error.message });
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
