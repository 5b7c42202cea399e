/** What the same bytes cost without the node log: raw writes of the same groups, and `level` with synchronous batches. */
import fs from 'node:fs';
import { Level } from 'level';
import type { Load } from './storage-load.ts';
import { removeDirectory } from './storage-load.ts';
import { latencyFigures, type LatencyFigures } from './storage-samples.ts';

/** A write of a group at the end of a growing file, then `fdatasync`, and so on. */
export async function measureRaw(at: string, groupBytes: number, measuredMs: number): Promise<LatencyFigures> {
  fs.mkdirSync(at);
  const descriptor = fs.openSync(`${at}/raw`, 'wx');
  const group = Buffer.alloc(groupBytes, 7);
  let position = 0;
  const figures = await measured(measuredMs, groupBytes, async () => {
    await called((done) => fs.write(descriptor, group, 0, groupBytes, position, done));
    await called((done) => fs.fdatasync(descriptor, done));
    position += groupBytes;
  });
  fs.closeSync(descriptor);
  removeDirectory(at);
  return figures;
}

/** A batch of puts for each group, each put under the partition and a number. */
export async function measureLevel(
  at: string,
  { load, groupBytes, measuredMs }: { readonly load: Load; readonly groupBytes: number; readonly measuredMs: number },
): Promise<LatencyFigures> {
  const db = new Level<string, Uint8Array>(at, { valueEncoding: 'view' });
  await db.open();
  const value = new Uint8Array(load.batchBytes).fill(7);
  const puts = Math.max(1, Math.round(groupBytes / load.batchBytes));
  let next = 0;
  const key = (): string => {
    next += 1;
    return `${String(next % load.partitions).padStart(5, '0')} ${String(next).padStart(12, '0')}`;
  };
  const figures = await measured(measuredMs, puts * load.batchBytes, async () => {
    await db.batch(
      Array.from({ length: puts }, () => ({ type: 'put' as const, key: key(), value })),
      { sync: true },
    );
  });
  await db.close();
  removeDirectory(at);
  return figures;
}

async function measured(forMs: number, bytesEach: number, run: () => Promise<void>): Promise<LatencyFigures> {
  const latenciesMs: number[] = [];
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  let nowMs = startMs;
  while (nowMs - startMs < forMs) {
    await run();
    const endMs = performance.now();
    latenciesMs.push(endMs - nowMs);
    nowMs = endMs;
  }
  const used = process.cpuUsage(cpu);
  const bytes = latenciesMs.length * bytesEach;
  return latencyFigures({ latenciesMs, bytes, elapsedMs: nowMs - startMs, cpuUs: used.user + used.system });
}

const called = (run: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => run((error) => (error === null ? resolve() : reject(error))));
