/** A node log on the disk of this machine, and a load on it: appends, and the time of each until it was durable. */
import fs from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { LogKind, leaderEpoch, offset, partitionIndex, silentLogger, topicId } from '../../packages/base/src/mod.ts';
import { BatchBuilder, draftOf, installCrc32c, patchBatch, unstamped } from '../../packages/record/src/mod.ts';
import {
  DataDirectory,
  type LogStore,
  type NodeLog,
  type NodeLogLimits,
  openNodeLog,
} from '../../packages/storage/src/mod.ts';
import { nativeCrc32c } from '../../packages/wire/src/native-crc32c.ts';
import { SystemClock } from '../../packages/wire/src/system-clock.ts';
import { CountingDisk } from './counting-disk.ts';
import { rounded } from './figure.ts';
import { latencyFigures, type LatencyFigures } from './storage-samples.ts';
import { WaitingBatches } from './storage-waiting.ts';

export interface Load {
  readonly batchBytes: number;
  readonly partitions: number;
  /** Absent: as fast as the log takes them. */
  readonly batchesPerSecond?: number;
  /** No buffer is appended twice: the tail counts each once, and would hold them all. */
  readonly isFresh?: boolean;
}

export interface OpenLog {
  readonly log: NodeLog;
  readonly disk: CountingDisk;
  close(): Promise<void>;
}

export async function openLog(
  at: string,
  {
    disk = new CountingDisk(),
    limits = {},
  }: { readonly disk?: CountingDisk; readonly limits?: Partial<NodeLogLimits> } = {},
): Promise<OpenLog> {
  const native = nativeCrc32c();
  if (typeof native !== 'string') installCrc32c(native);
  const directory = await DataDirectory.open(disk, at);
  const halt = {
    halt: (reason: Error): void => {
      throw reason;
    },
  };
  const log = await openNodeLog({ directory, clock: new SystemClock(), halt, logger: silentLogger, limits });
  return {
    log,
    disk,
    close: async () => {
      await log.close();
      await directory.release();
    },
  };
}

/** Gone from the disk, too: what a file system tells the disk of freed blocks must not hit the next sample. */
export function removeDirectory(at: string): void {
  fs.rmSync(at, { recursive: true, force: true });
  const parent = fs.openSync(path.dirname(at), 'r');
  fs.fsyncSync(parent);
  fs.closeSync(parent);
}

export interface LogFigures extends Omit<LatencyFigures, 'operationsPerSecond'> {
  readonly appendsPerSecond: number;
  readonly groupsPerSecond: number;
  readonly syncsPerSecond: number;
  readonly groupKib: number;
  /** Bytes to the disk for each byte of a batch: tables, padding, zeros, footers, manifests. */
  readonly writeAmplification: number;
  readonly eventLoopDelayP99Ms: number;
  readonly rssMb: number;
}

export interface Pass {
  readonly warmupMs: number;
  readonly measuredMs: number;
}

/** In a directory of its own, which is gone afterwards. */
export async function measureLoad(at: string, load: Load, { warmupMs, measuredMs }: Pass): Promise<LogFigures> {
  const { log, disk, close } = await openLog(at);
  const run = new LoadRun(log, load);
  await run.pass(warmupMs);
  run.latenciesMs.length = 0;
  const before = { groups: log.stats.groups, syncs: disk.syncs };
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await run.pass(measuredMs);
  const elapsedMs = performance.now() - startMs;
  const used = process.cpuUsage(cpu);
  delay.disable();
  const bytes = run.latenciesMs.length * run.batchBytes;
  const groups = log.stats.groups - before.groups;
  const perSecond = (count: number): number => Math.round((count * 1000) / elapsedMs);
  const { operationsPerSecond, ...latency } = latencyFigures({
    latenciesMs: run.latenciesMs,
    bytes,
    elapsedMs,
    cpuUs: used.user + used.system,
  });
  const figures = {
    ...latency,
    appendsPerSecond: operationsPerSecond,
    groupsPerSecond: perSecond(groups),
    syncsPerSecond: perSecond(disk.syncs - before.syncs),
    groupKib: rounded(bytes / 1024 / Math.max(1, groups), 1),
    eventLoopDelayP99Ms: rounded(Math.max(0, delay.percentile(99) / 1e6 - 1), 2),
    rssMb: Math.round(process.memoryUsage.rss() / 1e6),
  };
  await run.idle();
  const writeAmplification = rounded(disk.writtenBytes / Math.max(1, run.appendedBytes), 3);
  await close();
  removeDirectory(at);
  return { ...figures, writeAmplification };
}

/** Appended and not durable; about what a broker lets in. */
const pendingBytesMax = 16 * 1024 * 1024;
const pendingBatchesMax = 8192;

/** Within a turn the clock is read again after so many partitions were told: as precise, and for one as for thousands. */
const toldByOneTime = 64;

export const logOf = (log: NodeLog, partition: number): LogStore =>
  log.log({ topicId: topicId('1'.repeat(32)), partition: partitionIndex(partition), kind: LogKind.data });

/** Appends to one partition after the other, and keeps the time that each batch took until it was durable. */
export class LoadRun {
  readonly latenciesMs: number[] = [];
  /** As they came out; about what was asked for. */
  readonly batchBytes: number;
  /** Since the beginning. */
  appendedBytes = 0;
  readonly #load: Load;
  readonly #logs: readonly LogStore[];
  readonly #waiting: WaitingBatches;
  /** Batches to append again; the tail may still hold them, but nobody reads it. */
  readonly #spare: Uint8Array[] = [];
  readonly #template: Uint8Array;
  #next = 0;
  #pending = 0;
  #sent = 0;
  #startedMs = 0;
  #wake: () => void = () => undefined;
  #waking = false;
  #toldAtMs = 0;
  #toldInTurn = 0;

  constructor(log: NodeLog, load: Load) {
    this.#load = load;
    this.#template = batchOf(load.batchBytes);
    this.batchBytes = this.#template.length;
    this.#logs = Array.from({ length: load.partitions }, (_, partition) => logOf(log, partition));
    this.#waiting = new WaitingBatches(load.partitions, this.#pendingMax);
    for (const [at, each] of this.#logs.entries()) {
      each.onDurable = (end) => this.#onDurable(at, end);
    }
  }

  async pass(forMs: number): Promise<void> {
    const { batchesPerSecond } = this.#load;
    this.#startedMs = performance.now();
    this.#sent = 0;
    while (performance.now() - this.#startedMs < forMs) {
      if (batchesPerSecond === undefined) await this.#fill(Number.POSITIVE_INFINITY);
      else await this.#appendDue(batchesPerSecond);
    }
  }

  async append(batches: number): Promise<void> {
    this.#sent = 0;
    while (this.#sent < batches) await this.#fill(batches);
    await this.idle();
  }

  async idle(): Promise<void> {
    while (this.#pending > 0) await this.#told();
  }

  async #fill(batches: number): Promise<void> {
    for (; this.#pending < this.#pendingMax && this.#sent < batches; this.#sent += 1) this.#append(performance.now());
    await this.#told();
  }

  #told(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** A millisecond's worth at a time; each counts from when it was due. */
  async #appendDue(batchesPerSecond: number): Promise<void> {
    const due = Math.floor(((performance.now() - this.#startedMs) / 1000) * batchesPerSecond);
    for (; this.#sent < due && this.#pending < this.#pendingMax; this.#sent += 1) {
      this.#append(this.#startedMs + (this.#sent * 1000) / batchesPerSecond);
    }
    await new Promise<void>((resolve) => void setTimeout(resolve, 1));
  }

  get #pendingMax(): number {
    return Math.min(pendingBatchesMax, Math.ceil(pendingBytesMax / this.#load.batchBytes));
  }

  #append(dueMs: number): void {
    const partition = this.#next % this.#logs.length;
    this.#next += 1;
    this.#pending += 1;
    const log = this.#logs[partition];
    if (log === undefined) return;
    const buffer = this.#spare.pop() ?? this.#template.slice();
    patchBatch(buffer, 0, { baseOffset: log.endOffset, leaderEpoch: leaderEpoch(0) });
    const end = offset(log.endOffset + 1);
    this.#waiting.add(partition, end, { dueMs, buffer });
    this.appendedBytes += buffer.length;
    log.append(buffer, { baseOffset: log.endOffset, endOffset: end });
  }

  #onDurable(partition: number, end: number): void {
    if (!this.#waking || this.#toldInTurn % toldByOneTime === 0) this.#toldAtMs = performance.now();
    this.#toldInTurn += 1;
    while (this.#waiting.take(partition, end, this.#onTaken));
    // After everybody in the group was told, and once: over many partitions that would cost as much as the log.
    if (this.#waking) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      this.#toldInTurn = 0;
      this.#wake();
    });
  }

  readonly #onTaken = (dueMs: number, buffer: Uint8Array): void => {
    this.latenciesMs.push(this.#toldAtMs - dueMs);
    if (this.#load.isFresh !== true) this.#spare.push(buffer);
    this.#pending -= 1;
  };
}

/** One record that fills a batch of about this size. */
function batchOf(batchBytes: number): Uint8Array {
  const builder = new BatchBuilder();
  const overheadBytes = 75;
  const value = new Uint8Array(Math.max(0, batchBytes - overheadBytes)).fill(7);
  builder.append(draftOf({ timestamp: 1_700_000_000_000, key: null, value, headers: [] }));
  return builder.build(unstamped);
}
