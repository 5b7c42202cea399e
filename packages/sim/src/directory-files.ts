/** The files of a node's directory, as they lie on a simulated disk. */
import type { MemoryDisk } from '@sluice/storage';

/** By name, below the directory. */
export type Directory = ReadonlyMap<string, Uint8Array>;

const root = '/data/';

/** What a copy of the machine would hold: whatever is durable. */
export const durableDirectory = (disk: MemoryDisk): Directory =>
  new Map(disk.durablePaths().map((path) => [path.slice(root.length), disk.durableBytes(path)]));

/** On an empty disk. */
export function plantDirectory(disk: MemoryDisk, files: Directory): void {
  for (const [name, bytes] of files) disk.plant(`${root}${name}`, bytes);
}
