/**
 * Removes a large file a piece at a time. Removed at once, the kernel frees all of its pages in one go, and whoever appends
 * waits for a processor meanwhile. With three nodes on two cores, acks at 1,000 a second had a p99 of 5 ms without removals,
 * of 19 ms while 12 GB went at once on each node, and of 8.6 ms while they went like this.
 *
 * Called by `Reclaim`, for files that no manifest names: one that is cut, or left, is removed by the next recovery.
 */
import type { Clock, Disk } from '@sluice/base';

export interface RemovalOptions {
  readonly clock: Clock;
  /** There is no time any more: a large file is left as it is. */
  readonly isHurried: () => boolean;
  /** Default: 4 MiB, which with the pause is about what a disk takes in. */
  readonly stepBytes?: number;
}

const defaultStepBytes = 4 * 1024 * 1024;
const pauseMs = 10;

export async function removeInSteps(disk: Disk, path: string, options: RemovalOptions): Promise<void> {
  const { clock, isHurried, stepBytes = defaultStepBytes } = options;
  const file = await disk.open(path, 'existing');
  try {
    for (let left = (await file.size()) - stepBytes; left > 0; left -= stepBytes) {
      if (isHurried()) return;
      await file.truncate(left);
      await new Promise<void>((resolve) => void clock.setTimer(pauseMs, resolve));
    }
  } finally {
    await file.close();
  }
  await disk.remove(path);
}
