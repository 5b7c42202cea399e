/**
 * Opens the node log of a data directory: recovers it, and hands out its logs and its Raft store.
 *
 * Owns the wiring; see `Replay` for what is durable, `GroupCommit` for what is on its way, `Tail` for what is in memory.
 */
import type { AskedLog } from './asked-log.ts';
import type { LogId } from '@sluice/base';
import { logKey } from '@sluice/base';
import { ColdReader } from './cold-reader.ts';
import { DiskReserve, type DiskState } from './disk-reserve.ts';
import { GroupCommit } from './group-commit.ts';
import { IndexMemory } from './index-memory.ts';
import { Journal } from './journal.ts';
import type { LogStore, LossyReport, StateSnapshot } from './log-store.ts';
import type { GroupStats, NodeLog, NodeLogLimits, NodeLogOptions, NodeLogStats } from './node-log.ts';
import { LiveFiles } from './live-files.ts';
import { type LogSurroundings, PartitionLog } from './partition-log.ts';
import { RaftLog } from './raft-log.ts';
import { RaftSnapshotFiles } from './raft-snapshot-files.ts';
import { Reclaim } from './reclaim.ts';
import { RecoveryProgress } from './recovery-progress.ts';
import { type Recovered, recover } from './recovery.ts';
import { Removal } from './removal.ts';
import type { Replay, Settled } from './replay.ts';
import { Rewriter, type RewriterOptions } from './rewriter.ts';
import { Scrubber } from './scrubber.ts';
import { Tail } from './tail.ts';

export const defaultLimits: NodeLogLimits = {
  journalBytesMax: 256 * 1024 * 1024,
  journalAgeMsMax: 3_600_000,
  groupBytesMax: 4 * 1024 * 1024,
  tailBytesMax: 64 * 1024 * 1024,
  readBufferBytesMax: 32 * 1024 * 1024,
  indexBytesMax: 32 * 1024 * 1024,
  pendingBytesMax: 64 * 1024 * 1024,
  sealAfterIdleMs: 200,
  scrubBytesPerSecondMax: 4 * 1024 * 1024,
  scrubIntervalMs: 24 * 3_600_000,
  spaceAheadBytes: 16 * 1024 * 1024,
  zerosAheadBytes: 2 * 1024 * 1024,
  diskReserveBytes: 'auto',
  rewriteBytesPerSecondMax: 32 * 1024 * 1024,
  spaceAmplificationMax: 1.5,
};

/**
 * Resolves when everything durable is known, and what recovery found damaged is itself durable as such. Rejects with
 * `DIRECTORY_DAMAGED` or `UNSUPPORTED_VERSION` when the directory cannot be used at all, with `DiskError` when the disk
 * fails.
 */
export async function openNodeLog(options: NodeLogOptions): Promise<NodeLog> {
  const progress = new RecoveryProgress(options.clock, options.logger);
  const recovered = await recover(options.directory, options.logger, progress);
  const log = new JournalNodeLog(options, recovered);
  try {
    await log.start();
  } catch (error) {
    log.abandon();
    throw error;
  }
  return log;
}

class JournalNodeLog implements NodeLog {
  readonly raft: RaftLog;
  readonly #raftSnapshots: RaftSnapshotFiles;
  readonly #options: NodeLogOptions;
  readonly #limits: NodeLogLimits;
  readonly #replay: Replay;
  readonly #reserve: DiskReserve;
  readonly #files: LiveFiles;
  readonly #journal: Journal;
  readonly #commit: GroupCommit;
  readonly #tail: Tail;
  readonly #cold: ColdReader;
  readonly #indexMemory: IndexMemory;
  readonly #reclaim: Reclaim;
  readonly #rewriter: Rewriter;
  readonly #scrubber: Scrubber;
  readonly #removal: Removal;
  readonly #leftBehind: readonly string[];
  readonly #logs = new Map<string, PartitionLog>();
  readonly #ofLogs: LogSurroundings;
  /** Deletions that are not durable yet, with their group. */
  readonly #deletions = new Map<string, number>();
  #waitingForRoom: (() => void)[] = [];
  readonly #settled: Settled;
  /** Found since recovery. */
  #damages = 0;
  #closed: Promise<void> | undefined;

  constructor(options: NodeLogOptions, recovered: Recovered) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#replay = recovered.replay;
    this.#settled = recovered.replay.settle();
    const { directory, clock, logger } = options;
    const reserveBytes = this.#limits.diskReserveBytes;
    const pendingBytes = (): number => this.#commit.pendingBytes;
    const reserve = new DiskReserve({ directory, clock, logger, reserveBytes, pendingBytes });
    this.#reserve = reserve;
    const { untilFits } = reserve;
    this.#files = new LiveFiles(directory, recovered.files, { openFileId: recovered.open?.fileId, untilFits });
    const [files, limits] = [this.#files, this.#limits];
    const snapshotOf = (id: LogId): StateSnapshot | undefined => this.#logs.get(logKey(id))?.takeSnapshot();
    const indexMemory = new IndexMemory(limits.indexBytesMax, recovered.replay.use);
    this.#indexMemory = indexMemory;
    const { rowsMax } = indexMemory;
    this.#journal = new Journal(directory, recovered, { files, limits, clock, reserve, rowsMax, snapshotOf });
    this.#tail = new Tail(this.#limits.tailBytesMax);
    this.#cold = new ColdReader(options.directory, {
      openFileId: () => this.#journal.openFileId,
      nameOf: (fileId) => this.#files.nameOf(fileId),
      readBufferBytesMax: limits.readBufferBytesMax,
      sectionBytesMax: () => indexMemory.sectionBytesMax(),
    });
    this.#commit = new GroupCommit({
      journal: this.#journal,
      replay: recovered.replay,
      clock: options.clock,
      halt: options.halt,
      nextGroup: recovered.nextGroup,
      lastIsEmpty: recovered.lastIsEmpty,
      groupBytesMax: this.#limits.groupBytesMax,
      sealAfterIdleMs: this.#limits.sealAfterIdleMs,
      onGroup: (group, stats) => this.#onGroup(group, stats),
    });
    this.#ofLogs = this.#surroundings();
    this.#leftBehind = recovered.leftBehind;
    const isStopped = (): boolean => this.#commit.failed !== undefined;
    const onFailure = (error: Error): void => this.#journal.fail(error);
    const bytesWritten = (): number => this.#commit.bytesWritten;
    this.#removal = new Removal({
      directory,
      clock,
      bytesWritten,
      isDiskLow: () => reserve.isLow,
      isStopped,
      onFailure,
    });
    this.#raftSnapshots = this.#makeRaftSnapshots(recovered, onFailure);
    const { snapshot } = recovered.raftSnapshots;
    this.raft = new RaftLog(recovered.replay.raft, this.#commit, { files: this.#raftSnapshots, snapshot });
    this.#reclaim = new Reclaim({
      directory,
      files,
      replay: recovered.replay,
      cold: this.#cold,
      removal: this.#removal,
      clock,
      logger,
      isInDoubt: () => this.raft.doubtful || this.lossy.length > 0,
      isHeld: (entry) => this.#rewriter.holds(entry),
      isStopped,
      onFailure,
      afterLook: (run) => reserve.afterLook(run),
    });
    this.#rewriter = this.#makeRewriter({ isStopped, onFailure });
    this.#scrubber = new Scrubber({ clock, limits, logs: () => this.#logs.values(), isStopped });
  }

  #makeRaftSnapshots({ raftSnapshots, replay }: Recovered, onFailure: RewriterOptions['onFailure']): RaftSnapshotFiles {
    const { directory } = this.#options;
    const { untilFits } = this.#reserve;
    const failed = (): Error | undefined => this.#commit.failed;
    const options = { directory, removal: this.#removal, untilFits, failed, onFailure };
    return new RaftSnapshotFiles(options, raftSnapshots, replay.raft.snapshot);
  }

  #makeRewriter(fate: Pick<RewriterOptions, 'isStopped' | 'onFailure'>): Rewriter {
    const { directory, clock, logger } = this.#options;
    return new Rewriter({
      directory,
      clock,
      logger,
      files: this.#files,
      replay: this.#replay,
      cold: this.#cold,
      limits: this.#limits,
      isEvidence: (file) => this.#reclaim.isEvidence(file),
      isDropped: (entry) => this.#reclaim.drops(entry),
      onDamage: (id, damage) => this.#partition(id).damageFound(damage),
      onDone: () => this.#reclaim.check(),
      removal: this.#removal,
      isDiskLow: () => this.#reserve.isLow,
      afterLook: (run) => this.#reserve.afterLook(run),
      ...fate,
    });
  }

  #tidy(): void {
    this.#reclaim.check();
    this.#rewriter.check();
  }

  /** What was found damaged is written down first: the next recovery must not judge by bytes that follow the damage. */
  async start(): Promise<void> {
    await this.#reserve.start();
    await this.#journal.start();
    const { shortened, raftDoubtful } = this.#settled;
    const lossy = await this.#proveIntactEnds();
    for (const [key, index] of this.#replay.logs) if (!index.deleted) this.#keyed(key, index.id);
    for (const report of lossy) this.#partition(report.id).recordLoss(report);
    for (const id of shortened) this.#partition(id).recordEnd();
    if (raftDoubtful) this.raft.recordDoubt({ isLogLost: this.#replay.raft.isLogLost });
    await this.#commit.idle();
    if (this.#commit.failed !== undefined) throw this.#commit.failed;
    this.#commit.whenIdle();
    this.#removal.add(this.#leftBehind);
    this.#raftSnapshots.start(this.raft.doubtful);
    this.#tidy();
    this.#scrubber.start();
  }

  /** D1, of what earlier recoveries found too: their logs may have changed since. Gives the reports that are new. */
  async #proveIntactEnds(): Promise<readonly LossyReport[]> {
    const news = new Set(this.#settled.lossy.map(({ id }) => logKey(id)));
    const found: LossyReport[] = [];
    for (const [key, index] of this.#replay.logs) {
      if (index.lossy === undefined) continue;
      const intactEnd = await this.#cold.intactEnd(index, Math.min(index.lossy.intactEnd, index.end));
      index.settleIntactEnd(intactEnd, news.has(key));
      if (news.has(key)) found.push(index.lossy);
    }
    return found;
  }

  /** It did not start: nothing of it may run on. */
  abandon(): void {
    this.#reserve.close();
  }

  log(id: LogId): LogStore {
    return this.#partition(id);
  }

  logIds(): readonly LogId[] {
    return Array.from(this.#logs.values(), (log) => log.id);
  }

  get lossy(): readonly LossyReport[] {
    const reports: LossyReport[] = [];
    for (const { lossy } of this.#logs.values()) if (lossy !== undefined) reports.push(lossy);
    return reports;
  }

  get damaged(): boolean {
    return this.#replay.damaged;
  }

  get pendingBytes(): number {
    return this.#commit.pendingBytes;
  }

  get hasRoom(): boolean {
    return this.#commit.failed === undefined && this.#commit.pendingBytes < this.#limits.pendingBytesMax;
  }

  whenRoom(run: () => void): void {
    if (this.hasRoom) run();
    else this.#waitingForRoom.push(run);
  }

  get disk(): DiskState {
    return this.#reserve.state;
  }

  whenDiskRoom(run: () => void): void {
    this.#reserve.whenRoom(run);
  }

  oldestUnsyncedMs(nowMs: number): number {
    return this.#commit.oldestUnsyncedMs(nowMs);
  }

  get failed(): Error | undefined {
    return this.#commit.failed;
  }

  get stats(): NodeLogStats {
    return {
      groups: this.#commit.groups,
      bytesWritten: this.#commit.bytesWritten,
      syncs: this.#journal.syncs,
      tailBytes: this.#tail.bytes,
      readBytes: this.#cold.readBytes,
      readsWaiting: this.#cold.waiting,
      indexBytes: this.#indexMemory.bytes(this.#journal.openRows, this.#cold.keptBytes),
      journalFiles: this.#files.journalCount,
      sortedFiles: this.#files.sortedCount,
      ...this.#rewriter.stats,
      diskBytes: this.#files.bytes + this.#journal.openBytes + this.#raftSnapshots.bytes,
      liveBytes: this.#replay.liveBytes + this.#raftSnapshots.bytes,
      scrubbedBytes: this.#scrubber.stats.bytes,
      scrubPasses: this.#scrubber.stats.passes,
      damages: this.#settled.lossy.length + this.#damages,
    };
  }

  rewrite(logs: readonly AskedLog[]): Promise<boolean> {
    return this.#rewriter.rewrite(
      logs.map((asked) => {
        const { id, upTo, transform } = asked;
        const log = this.#logs.get(logKey(id));
        log?.forgetTailBelow(upTo);
        // It was deleted meanwhile: what has its id now was not asked for.
        const isSame = (): boolean => log !== undefined && this.#logs.get(logKey(id)) === log;
        return { ...asked, transform: (batches) => (isSame() ? transform(batches) : batches) };
      }),
    );
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#reserve.close();
    await this.#commit.close();
    await this.#raftSnapshots.close();
    await this.#rewriter.close();
    await this.#reclaim.close();
    await this.#scrubber.close();
    await this.#removal.close();
    await this.#cold.close();
    await this.#journal.close();
  }

  #surroundings(): LogSurroundings {
    return {
      index: (id) => this.#replay.index(id),
      commit: this.#commit,
      tail: this.#tail,
      cold: this.#cold,
      onDamage: (log, fileId, isNews) => {
        this.#damages += isNews ? 1 : 0;
        this.#reclaim.damaged(fileId, log);
      },
      onUnusableSnapshot: ({ id }, reason) =>
        this.#options.logger.warn('state snapshot cannot be used', { ...id, reason }),
      onDelete: ({ id }, group) => {
        this.#logs.delete(logKey(id));
        this.#deletions.set(logKey(id), group);
      },
    };
  }

  #partition(id: LogId): PartitionLog {
    return this.#keyed(logKey(id), id);
  }

  #keyed(key: string, id: LogId): PartitionLog {
    let log = this.#logs.get(key);
    if (log === undefined) {
      log = new PartitionLog(this.#ofLogs, id, this.#deletions.get(key));
      this.#logs.set(key, log);
    }
    return log;
  }

  #onGroup(group: number, stats: GroupStats): void {
    for (const [key, by] of this.#deletions) if (by <= group) this.#deletions.delete(key);
    this.#tail.evict(group);
    this.#reserve.wrote(stats.bytes);
    this.#cold.shrink();
    this.#tidy();
    this.#options.onGroup?.(stats);
    while (this.hasRoom) {
      const run = this.#waitingForRoom.shift();
      if (run === undefined) return;
      run();
    }
  }
}
