/** Disks that say that something is durable and do nothing for it: what the enumerations must be able to see. */
import type { Disk, DiskFile } from '@sluice/base';
import { wrappedDisk } from './test-disk.ts';

export const forgettingSyncs = (disk: Disk): Disk =>
  wrappedDisk(disk, {
    sync: () => Promise.resolve(),
    writeDurable(this: DiskFile, buffers, position) {
      return this.write(buffers, position);
    },
  });

export const forgettingNames = (disk: Disk): Disk => wrappedDisk(disk, {}, { syncDirectory: () => Promise.resolve() });
