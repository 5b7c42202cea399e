/** A disk whose syncs of the log say "done" and do nothing: what the durability tests must be able to see. */
import type { Disk, DiskFile } from '@sluice/base';

/** While `isLying` the disk does so; the rest of the time it is itself. */
export function lyingAboutLogSyncs(disk: Disk, isLying: () => boolean): Disk {
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode);
      return path.includes('/journal-') ? lying(file, isLying) : file;
    },
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    space: (path) => disk.space(path),
    lock: (path) => disk.lock(path),
  };
}

const lying = (file: DiskFile, isLying: () => boolean): DiskFile => ({
  read: (target, position) => file.read(target, position),
  write: (buffers, position) => file.write(buffers, position),
  writeDurable: (buffers, position) =>
    isLying() ? file.write(buffers, position) : file.writeDurable(buffers, position),
  sync: () => (isLying() ? Promise.resolve() : file.sync()),
  truncate: (bytes) => file.truncate(bytes),
  size: () => file.size(),
  close: () => file.close(),
});
