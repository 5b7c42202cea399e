/** Port of the whole node log: what `server` opens once and hands to `controller` (its `raft`) and `broker` (its logs). */
import type { Clock, Halt, LogId, Logger } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';
import type { DiskReserveBytes, DiskState } from './disk-reserve.ts';
import type { LogStore, LossyReport } from './log-store.ts';
import type { RaftStore } from './raft-store.ts';
import type { AskedLog } from './asked-log.ts';

export interface NodeLogLimits {
  /** A journal file is finished before it grows past this; default 256 MiB. */
  readonly journalBytesMax: number;
  /** A journal file with rows is finished after this time too; default 1 h. */
  readonly journalAgeMsMax: number;
  /** About the most that one group commit writes; default 4 MiB. */
  readonly groupBytesMax: number;
  /** Memory for the newest batches of all logs, in backing-store bytes; default 64 MiB. */
  readonly tailBytesMax: number;
  /** Memory that reads from the disk share, the batches that are on their way to who asked included; default 32 MiB. */
  readonly readBufferBytesMax: number;
  /** Memory for indexes: what the open file has of it ends the file, what is left is for those of older files; default 32 MiB. */
  readonly indexBytesMax: number;
  /** `hasRoom` is false from here on: accepted but not yet durable bytes; default 64 MiB. */
  readonly pendingBytesMax: number;
  /** Finished files are read again, and checked, at this rate; 0: not at all. Default 4 MiB/s. */
  readonly scrubBytesPerSecondMax: number;
  /** At least this long from the beginning of one such pass to the next; default 24 h. */
  readonly scrubIntervalMs: number;
  /** An empty group seals the last one after this time without writes; default 200 ms. */
  readonly sealAfterIdleMs: number;
  /** The open journal file is made longer by this much before groups need it; default 16 MiB. */
  readonly spaceAheadBytes: number;
  /** Zeros written behind the last group while little is written; default 2 MiB. */
  readonly zerosAheadBytes: number;
  /** Free space of the disk below which `disk` is low; default `auto`. */
  readonly diskReserveBytes: DiskReserveBytes;
  /** What the background rewrite writes; 0: nothing is rewritten. Default 32 MiB. */
  readonly rewriteBytesPerSecondMax: number;
  /** All files together take at most so many times what lives, and a few journal files; default 1.5. */
  readonly spaceAmplificationMax: number;
}

export interface GroupStats {
  readonly bytes: number;
  /** From the first append of the group until it was its turn. */
  readonly queueMs: number;
  /** Until its bytes were made and there was room for them in a file. */
  readonly prepareMs: number;
  /** Until they were durable. */
  readonly writeMs: number;
}

export interface NodeLogOptions {
  readonly directory: DataDirectory;
  readonly clock: Clock;
  readonly halt: Halt;
  readonly logger: Logger;
  readonly limits?: Partial<NodeLogLimits>;
  /** Called after each group commit, for metrics. */
  readonly onGroup?: (stats: GroupStats) => void;
}

export interface NodeLogStats {
  readonly groups: number;
  readonly bytesWritten: number;
  readonly syncs: number;
  readonly tailBytes: number;
  /** Of reads from the disk that are under way. */
  readonly readBytes: number;
  /** Reads that wait for memory. */
  readonly readsWaiting: number;
  /** In memory. */
  readonly indexBytes: number;
  readonly journalFiles: number;
  readonly sortedFiles: number;
  /** Sorted sets made since the start. */
  readonly rewrites: number;
  /** What was written for them. */
  readonly rewrittenBytes: number;
  /** Of all files, without the space ahead. */
  readonly diskBytes: number;
  /** What logs hold of that. */
  readonly liveBytes: number;
  /** Read again and checked, and how often all of it was. */
  readonly scrubbedBytes: number;
  readonly scrubPasses: number;
  /** How often damage was found: logs of which a part is lost, by recovery or later. */
  readonly damages: number;
}

export interface NodeLog {
  /** The log of this id; created, empty, when absent. The same object for the same id until it is deleted. */
  log(id: LogId): LogStore;
  /** Logs that exist, in no particular order. */
  logIds(): readonly LogId[];
  readonly raft: RaftStore;
  /** Logs that recovery or a later read found damaged. */
  readonly lossy: readonly LossyReport[];
  /** True when damage hides whole groups: a log that should be here and is not, is lossy too. */
  readonly damaged: boolean;
  /** Accepted but not yet durable. */
  readonly pendingBytes: number;
  /** False when callers must withhold credit; appends are still taken. */
  readonly hasRoom: boolean;
  /** Calls `run` once, at once when there is room, else when there is again. */
  whenRoom(run: () => void): void;
  /** While it is low callers must refuse records; whatever else is written still is, and appends are still taken. */
  readonly disk: DiskState;
  /** Calls `run` once, at once unless the disk is low, else when it is no more. */
  whenDiskRoom(run: () => void): void;
  /**
   * Writes the finished files that hold these logs below their offsets anew, in the background at the rate of any rewrite,
   * with what the transforms make of their batches, and the oldest first. A transform is called for every batch of its log
   * in those files, and again for some when a rewrite is given up. False when not all was written anew: the log was closed
   * or failed, there was no room, or a file could not be read.
   */
  rewrite(logs: readonly AskedLog[]): Promise<boolean>;
  /** Age of the oldest accepted write that is not durable; 0 when there is none. Heartbeats carry it. */
  oldestUnsyncedMs(nowMs: number): number;
  /** The error that stopped the log for good. */
  readonly failed: Error | undefined;
  readonly stats: NodeLogStats;
  /** Waits for everything accepted, seals the last group, closes the files. Idempotent. */
  close(): Promise<void>;
}
