/**
 * The node log by itself: appends until they are durable, without network and replication, in a temporary directory.
 * First as fast as it takes them, then at a given rate; before both, what the disk gives.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { LogKind, leaderEpoch, offset, partitionIndex, silentLogger, topicId } from '../../packages/base/src/mod.ts';
import { BatchBuilder, installCrc32c, draftOf, patchBatch, unstamped } from '../../packages/record/src/mod.ts';
import { nativeCrc32c } from '../../packages/wire/src/native-crc32c.ts';
import { SystemClock } from '../../packages/wire/src/system-clock.ts';
import { DataDirectory, type LogStore, type NodeLog, NodeDisk, openNodeLog } from '../../packages/storage/src/mod.ts';
import type { BenchFigure } from './figure.ts';
import { rawDisk } from './storage-disk.ts';
import { latencyFigures, rounded } from './storage-samples.ts';

interface Load {
  readonly batchBytes: number;
  readonly partitions: number;
  /** Absent: as fast as the log takes them. */
  readonly batchesPerSecond?: number;
}

const loads: readonly Load[] = [
  { batchBytes: 256 * 1024, partitions: 6 },
  { batchBytes: 2 * 1024, partitions: 6 },
  { batchBytes: 100, partitions: 1000 },
  { batchBytes: 256 * 1024, partitions: 6, batchesPerSecond: 800 },
  { batchBytes: 1024, partitions: 6, batchesPerSecond: 5000 },
  { batchBytes: 1024, partitions: 6, batchesPerSecond: 500 },
];

const warmupMs = 300;
const measuredMs = 1500;
/** Appended and not durable; about what a broker lets in. */
const pendingBytesMax = 16 * 1024 * 1024;
const pendingBatchesMax = 8192;

export async function* storage(): AsyncGenerator<BenchFigure, void, undefined> {
  const native = nativeCrc32c();
  if (typeof native !== 'string') installCrc32c(native);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
  try {
    yield* rawDisk(directory);
    for (const [at, load] of loads.entries()) yield await measure(`${directory}/${at}`, load);
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(at: string, load: Load): Promise<BenchFigure> {
  const directory = await DataDirectory.open(new NodeDisk(), at);
  const halt = {
    halt: (reason: Error): void => {
      throw reason;
    },
  };
  const log = await openNodeLog({ directory, clock: new SystemClock(), halt, logger: silentLogger });
  const run = new LoadRun(log, load);
  await run.pass(warmupMs);
  run.latenciesMs.length = 0;
  const groups = log.stats.groups;
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await run.pass(measuredMs);
  const elapsedMs = performance.now() - startMs;
  const used = process.cpuUsage(cpu);
  const { latenciesMs } = run;
  const bytes = latenciesMs.length * load.batchBytes;
  const committed = log.stats.groups - groups;
  await run.idle();
  await log.close();
  await directory.release();
  fs.rmSync(at, { recursive: true, force: true });
  return {
    name: nameOf(load),
    ...latencyFigures({ latenciesMs, bytes, elapsedMs, cpuUs: used.user + used.system }),
    groupsPerSecond: Math.round((committed * 1000) / elapsedMs),
    groupKib: rounded(bytes / 1024 / Math.max(1, committed), 1),
  };
}

const nameOf = ({ batchBytes, partitions, batchesPerSecond }: Load): string =>
  `log ${batchBytes} B over ${partitions}, ${batchesPerSecond === undefined ? 'as fast as it goes' : `${batchesPerSecond}/s`}`;

interface Appended {
  readonly end: number;
  readonly dueMs: number;
  readonly buffer: Uint8Array;
}

/** Appends, and keeps the time that each batch took until it was durable. */
class LoadRun {
  readonly latenciesMs: number[] = [];
  readonly #load: Load;
  readonly #logs: readonly LogStore[];
  readonly #waiting: Appended[][] = [];
  /** Batches to append again; the tail may still hold them, but nobody reads it. */
  readonly #spare: Uint8Array[] = [];
  readonly #template: Uint8Array;
  #next = 0;
  #pending = 0;
  #sent = 0;
  #startedMs = 0;
  #wake: () => void = () => undefined;

  constructor(log: NodeLog, load: Load) {
    this.#load = load;
    this.#template = batchOf(load.batchBytes);
    this.#logs = Array.from({ length: load.partitions }, (_, partition) =>
      log.log({ topicId: topicId('1'.repeat(32)), partition: partitionIndex(partition), kind: LogKind.data }),
    );
    for (const [at, each] of this.#logs.entries()) {
      this.#waiting.push([]);
      each.onDurable = (end) => this.#onDurable(at, end);
    }
  }

  async pass(forMs: number): Promise<void> {
    const { batchesPerSecond } = this.#load;
    this.#startedMs = performance.now();
    this.#sent = 0;
    while (performance.now() - this.#startedMs < forMs) {
      if (batchesPerSecond === undefined) {
        while (this.#pending < this.#pendingMax) this.#append(performance.now());
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else {
        await this.#appendDue(batchesPerSecond);
      }
    }
  }

  async idle(): Promise<void> {
    while (this.#pending > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** A millisecond's worth at a time. */
  async #appendDue(batchesPerSecond: number): Promise<void> {
    const due = Math.floor(((performance.now() - this.#startedMs) / 1000) * batchesPerSecond);
    for (; this.#sent < due && this.#pending < this.#pendingMax; this.#sent += 1) this.#append(performance.now());
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
    this.#waiting[partition]?.push({ end, dueMs, buffer });
    log.append(buffer, { baseOffset: log.endOffset, endOffset: end });
  }

  #onDurable(partition: number, end: number): void {
    const waiting = this.#waiting[partition] ?? [];
    const nowMs = performance.now();
    let done = 0;
    for (; done < waiting.length; done += 1) {
      const appended = waiting[done];
      if (appended === undefined || appended.end > end) break;
      this.latenciesMs.push(nowMs - appended.dueMs);
      this.#spare.push(appended.buffer);
    }
    waiting.splice(0, done);
    this.#pending -= done;
    // After everybody in the group was told.
    queueMicrotask(this.#wake);
  }
}

/** One record that fills a batch of about this size. */
function batchOf(batchBytes: number): Uint8Array {
  const builder = new BatchBuilder();
  const overheadBytes = 75;
  const value = new Uint8Array(Math.max(0, batchBytes - overheadBytes)).fill(7);
  builder.append(draftOf({ timestamp: 1_700_000_000_000, key: null, value, headers: [] }));
  return builder.build(unstamped);
}
