/** The node log under loads, and the ratios that it is held to. */
import type { NodeLogLimits } from '../../packages/storage/src/mod.ts';
import { type BenchFigure, inTurn, median, ratioFigure, rounded } from './figure.ts';
import { measureLevel, measureRaw } from './storage-limits.ts';
import { LoadRun, type LogFigures, logOf, type Load, measureLoad, openLog, removeDirectory } from './storage-load.ts';
import { quantile } from './storage-samples.ts';

const partitionCounts = [1, 10, 100, 1000, 10_000] as const;
const batchSizes = [100, 1024, 64 * 1024] as const;
const pairCount = 5;
const pass = { warmupMs: 200, measuredMs: 600 };
const limitMs = 300;

type Figures = AsyncGenerator<BenchFigure, void, undefined>;

/** As fast as the log takes it; beside each what the disk and `level` do with groups of the same size. */
export async function* loadGrid(directory: string): Figures {
  for (const batchBytes of batchSizes) {
    for (const partitions of partitionCounts) {
      const load = { batchBytes, partitions };
      const figures = await measureLoad(`${directory}/log`, load, pass);
      const groupBytes = groupBytesOf(figures);
      const raw = await measureRaw(`${directory}/raw`, groupBytes, limitMs);
      const level = await measureLevel(`${directory}/level`, { load, groupBytes, measuredMs: limitMs });
      const name = `${batchBytes} B over ${partitions}`;
      yield { name: `log ${name}`, ...figures };
      yield { name: `raw write + fdatasync of the groups of ${name}`, ...raw };
      yield { name: `level, synchronous, of the groups of ${name}`, ...level };
    }
  }
}

const rates: readonly Load[] = [
  { batchBytes: 256 * 1024, partitions: 6, batchesPerSecond: 800 },
  { batchBytes: 1024, partitions: 6, batchesPerSecond: 5000 },
  { batchBytes: 1024, partitions: 6, batchesPerSecond: 500 },
];

export async function* loadRates(directory: string): Figures {
  for (const load of rates) {
    const figures = await measureLoad(`${directory}/log`, load, { warmupMs: 300, measuredMs: 1500 });
    yield { name: `log ${load.batchBytes} B over ${load.partitions}, ${load.batchesPerSecond}/s`, ...figures };
  }
}

/** One partition, 64 KiB: against a raw write of the same groups, and what is written for each byte. */
export async function* rawRatio(directory: string): Figures {
  const long = { warmupMs: 200, measuredMs: 1000 };
  const load = { batchBytes: 64 * 1024, partitions: 1 };
  // Of the last run: the log chooses the size of its groups by what the disk did.
  let groupBytes = groupBytesOf(await measureLoad(`${directory}/log`, load, long));
  const amplifications: number[] = [];
  const pairs = await inTurn(
    pairCount,
    async () => {
      const figures = await measureLoad(`${directory}/log`, load, long);
      groupBytes = groupBytesOf(figures);
      amplifications.push(figures.writeAmplification);
      return figures.mbPerSecond;
    },
    async () => (await measureRaw(`${directory}/raw`, groupBytes, long.measuredMs)).mbPerSecond,
  );
  const name = 'log by raw write + fdatasync of its groups, 64 KiB over 1';
  yield ratioFigure(name, { ours: ours(pairs), other: other(pairs), unit: 'MB/s' }, '>= 0.8');
  const value = rounded(median(amplifications), 3);
  yield { name: 'write amplification, 64 KiB over 1', unit: 'ratio', value, goal: '<= 1.1', ours: amplifications };
}

/** Equal load over many partitions and over one. */
export async function* partitionRatio(directory: string): Figures {
  for (const batchBytes of batchSizes) {
    const speed = (partitions: number) => async (): Promise<number> =>
      (await measureLoad(`${directory}/log`, { batchBytes, partitions }, pass)).mbPerSecond;
    const pairs = await inTurn(pairCount, speed(10_000), speed(1));
    const name = `log over 10,000 by log over 1, ${batchBytes} B`;
    yield ratioFigure(name, { ours: ours(pairs), other: other(pairs), unit: 'MB/s' }, '>= 0.8');
  }
}

const oldBytes = 768 * 1024 * 1024;
const steady: Load = { batchBytes: 1024, partitions: 1, batchesPerSecond: 1000 };

/** Appends at a steady rate, while somebody reads what lies behind the tail as fast as it comes, and while nobody does. */
export async function* coldReads(directory: string): Figures {
  const at = `${directory}/log`;
  const { log, close } = await openLog(at);
  const old = { batchBytes: 64 * 1024, partitions: 2, isFresh: true };
  await new LoadRun(log, old).append(oldBytes / old.batchBytes);
  const run = new LoadRun(log, steady);
  let readBytes = 0;
  let reading = false;
  const read = async (): Promise<void> => {
    const source = logOf(log, 1);
    let from = source.startOffset;
    while (reading) {
      const found = await source.read(from, source.endOffset, 512 * 1024);
      if (found.kind === 'out-of-range') throw new Error('the old data is gone');
      readBytes += found.bytes;
      from = found.endOffset >= source.endOffset ? source.startOffset : found.endOffset;
      // What is in memory is answered at once: others must have their turn.
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
  };
  const p99Ms = async (): Promise<number> => {
    run.latenciesMs.length = 0;
    await run.pass(steadyMs);
    await run.idle();
    return rounded(
      quantile(
        run.latenciesMs.toSorted((a, b) => a - b),
        0.99,
      ),
      3,
    );
  };
  const startMs = performance.now();
  const pairs = await inTurn(
    pairCount,
    async () => {
      reading = true;
      const reader = read();
      const value = await p99Ms();
      reading = false;
      await reader;
      return value;
    },
    p99Ms,
  );
  const readMs = (performance.now() - startMs) / 2;
  await close();
  removeDirectory(at);
  const name = 'p99 of appends at 1,000/s with a reader of old data by without';
  yield ratioFigure(name, { ours: ours(pairs), other: other(pairs), unit: 'ms' }, '<= 2');
  yield { name: 'reader of old data beside appends', mbPerSecond: rounded(readBytes / readMs / 1000, 1) };
}

const steadyMs = 2500;

const rewriteLimits = { journalBytesMax: 64 * 1024 * 1024 };
const withoutRewrite = { ...rewriteLimits, rewriteBytesPerSecondMax: 0 };

/** Appends at a steady rate while files with short runs are rewritten, and while nothing is. */
export async function* rewrite(directory: string): Figures {
  const at = `${directory}/log`;
  const filled = await openLog(at, { limits: withoutRewrite });
  const short = { batchBytes: 1024, partitions: 1000 };
  // More files than one rewrite takes; it begins anew with each start.
  await new LoadRun(filled.log, short).append((6 * rewriteLimits.journalBytesMax) / short.batchBytes);
  await filled.close();
  const measure = async (limits: Partial<NodeLogLimits>): Promise<{ p99Ms: number; writtenMbPerSecond: number }> => {
    const { log, disk, close } = await openLog(at, { limits });
    const run = new LoadRun(log, steady);
    await run.pass(500);
    run.latenciesMs.length = 0;
    const written = disk.writtenBytes;
    await run.pass(steadyMs);
    const writtenMbPerSecond = rounded((disk.writtenBytes - written) / steadyMs / 1000, 1);
    await run.idle();
    const p99Ms = rounded(
      quantile(
        run.latenciesMs.toSorted((a, b) => a - b),
        0.99,
      ),
      3,
    );
    await close();
    return { p99Ms, writtenMbPerSecond };
  };
  const pairs = await inTurn(
    pairCount,
    () => measure(rewriteLimits),
    () => measure(withoutRewrite),
  );
  removeDirectory(at);
  const name = 'p99 of appends at 1,000/s beside a rewrite by without';
  const of = { ours: pairs.map((pair) => pair.ours.p99Ms), other: pairs.map((pair) => pair.other.p99Ms), unit: 'ms' };
  yield ratioFigure(name, of, '<= 2');
  const extra = pairs.map((pair) => rounded(pair.ours.writtenMbPerSecond - pair.other.writtenMbPerSecond, 1));
  yield { name: 'written by the rewrite meanwhile', unit: 'MB/s', value: median(extra), ours: extra };
}

const groupBytesOf = ({ groupKib }: LogFigures): number => Math.max(4096, Math.round(groupKib * 1024));
const ours = (pairs: readonly { readonly ours: number }[]): number[] => pairs.map((pair) => pair.ours);
const other = (pairs: readonly { readonly other: number }[]): number[] => pairs.map((pair) => pair.other);
