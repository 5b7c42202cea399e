/** Where on a node's disk a bit is flipped: nowhere from the last frame of a journal on, see `BitFlip`. */
import { lastFrameAt, type MemoryDisk } from '@sluice/storage';

export interface DiskPlace {
  readonly path: string;
  readonly byte: number;
}

/** Of what was written last: some of it is needed at the next start. */
const newestBytes = 64 * 1024;

export function anyPlace(disk: MemoryDisk, draw: number): DiskPlace | undefined {
  const paths = disk.durablePaths().filter((path) => /\/(journal|sorted)-/.test(path));
  const path = paths[draw % Math.max(1, paths.length)];
  if (path === undefined) return undefined;
  const bytes = lastFrameIn(disk, path) ?? disk.durableBytes(path).length;
  return bytes === 0 ? undefined : { path, byte: (draw * 7919) % bytes };
}

export function newestPlace(disk: MemoryDisk, draw: number): DiskPlace | undefined {
  const journals = disk.durablePaths().filter((path) => path.includes('/journal-'));
  for (const path of journals.toSorted().toReversed()) {
    const end = lastFrameIn(disk, path) ?? 0;
    const from = Math.max(0, end - newestBytes);
    if (end > from) return { path, byte: from + ((draw * 7919) % (end - from)) };
  }
  return undefined;
}

const lastFrameIn = (disk: MemoryDisk, path: string): number | undefined =>
  lastFrameAt(path.slice(path.lastIndexOf('/') + 1), disk.durableBytes(path));
