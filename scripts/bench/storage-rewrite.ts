/** What is written for each byte that is appended, the background rewrite included. */
import type { NodeLog } from '../../packages/storage/src/mod.ts';
import { type BenchFigure, rounded } from './figure.ts';
import { type Load, LoadRun, logOf, openLog, removeDirectory } from './storage-load.ts';

type Figures = AsyncGenerator<BenchFigure, void, undefined>;

const MiB = 1024 * 1024;
const loads: readonly { readonly name: string; readonly load: Load }[] = [
  { name: 'long runs', load: { batchBytes: 64 * 1024, partitions: 4, isFresh: true } },
  { name: 'runs of 1 KiB of 1,000 partitions', load: { batchBytes: 1024, partitions: 1000, isFresh: true } },
];

export async function* rewriteAmplification(directory: string): Figures {
  for (const { name, load } of loads) yield await amplification(directory, name, load);
}

/** What is written for each byte of a batch until all of it has expired at once. */
async function amplification(directory: string, name: string, load: Load): Promise<BenchFigure> {
  const at = `${directory}/log`;
  const { log, disk, close } = await openLog(at, { limits: { journalBytesMax: 32 * MiB } });
  const run = new LoadRun(log, load);
  await run.append((320 * MiB) / load.batchBytes);
  await settled(log);
  const { rewrites } = log.stats;
  for (let partition = 0; partition < load.partitions; partition += 1) {
    const old = logOf(log, partition);
    old.restartAt(old.endOffset);
  }
  await new Promise<void>((resolve) => log.raft.persist({}, resolve));
  await settled(log);
  const value = rounded(disk.writtenBytes / run.appendedBytes, 3);
  const { diskBytes } = log.stats;
  await close();
  removeDirectory(at);
  const goal = load.batchBytes > 4096 ? '<= 1.1' : '<= 2.1';
  return { name: `write amplification with rewrites, ${name}`, unit: 'ratio', value, goal, rewrites, diskBytes };
}

const quietMs = 1500;

/** When nothing was rewritten for a while. */
async function settled(log: NodeLog): Promise<void> {
  for (let seen = -1; seen !== log.stats.rewrittenBytes; ) {
    seen = log.stats.rewrittenBytes;
    await new Promise<void>((resolve) => void setTimeout(resolve, quietMs));
  }
}
