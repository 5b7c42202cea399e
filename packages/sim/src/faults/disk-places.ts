/** Where on a node's disk a bit is flipped. */
import type { MemoryDisk } from '@sluice/storage';

export interface DiskPlace {
  readonly path: string;
  readonly byte: number;
}

/** Of what was written last: some of it is needed at the next start. The last groups stay: see `BitFlip`. */
const newestBytes = { from: 64 * 1024, to: 8 * 1024 };

export function anyPlace(disk: MemoryDisk, draw: number): DiskPlace | undefined {
  const paths = disk.durablePaths().filter((path) => /\/(journal|sorted)-/.test(path));
  const path = paths[draw % Math.max(1, paths.length)];
  const bytes = path === undefined ? 0 : disk.durableBytes(path).length;
  return path === undefined || bytes === 0 ? undefined : { path, byte: (draw * 7919) % bytes };
}

export function newestPlace(disk: MemoryDisk, draw: number): DiskPlace | undefined {
  const journals = disk.durablePaths().filter((path) => path.includes('/journal-'));
  for (const path of journals.toSorted().toReversed()) {
    // Behind what was written there may be space made ahead.
    const end = disk.durableBytes(path).findLastIndex((byte) => byte !== 0) + 1 - newestBytes.to;
    const from = Math.max(0, end - newestBytes.from);
    if (end > from) return { path, byte: from + ((draw * 7919) % (end - from)) };
  }
  return undefined;
}
