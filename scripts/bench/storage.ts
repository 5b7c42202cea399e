/**
 * The storage engine by itself, without network and replication, in a temporary directory: what the disk gives, the node
 * log under loads, and the ratios that it is held to. Every ratio of times is the median of five pairs that were measured in turn.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { tuneCollector } from '../../packages/server/src/collector.ts';
import { filesystemOf } from '../../packages/server/src/filesystem.ts';
import type { BenchFigure } from './figure.ts';
import { rawDisk } from './storage-disk.ts';
import { coldReads, loadGrid, loadRates, partitionRatio, rawRatio, rewrite } from './storage-loads.ts';
import { amplification } from './storage-amplification.ts';
import { idleLog, recovery } from './storage-processes.ts';

type Part = (directory: string) => AsyncGenerator<BenchFigure, void, undefined>;

const parts: Readonly<Record<string, Part>> = {
  disk: rawDisk,
  loads: loadGrid,
  rates: loadRates,
  raw: rawRatio,
  partitions: partitionRatio,
  cold: coldReads,
  rewrite,
  amplification,
  idle: idleLog,
  recovery,
};

export const storageParts: readonly string[] = Object.keys(parts);

const memoryFilesystems: ReadonlySet<string> = new Set(['tmpfs', 'ramfs']);
const endings = { SIGINT: 130, SIGTERM: 143 } as const;

export async function* storage(only?: string): AsyncGenerator<BenchFigure, void, undefined> {
  // As the process of a node does: without it a reader of old data has the whole heap collected forty times a second.
  tuneCollector();
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'));
  const remove = (): void => fs.rmSync(directory, { recursive: true, force: true });
  const handlers = Object.entries(endings).map(([signal, code]) => {
    const end = (): void => {
      remove();
      process.exit(code);
    };
    process.once(signal, end);
    return { signal, end };
  });
  try {
    const filesystem = await filesystemOf(directory);
    if (memoryFilesystems.has(filesystem)) {
      throw new Error(`${os.tmpdir()} is in memory (${filesystem}); set TMPDIR to a directory on a disk.`);
    }
    for (const [name, part] of Object.entries(parts)) {
      if (only !== undefined && only !== name) continue;
      for await (const figure of part(directory)) yield { ...figure, part: name, filesystem };
    }
  } finally {
    for (const { signal, end } of handlers) process.removeListener(signal, end);
    remove();
  }
}
