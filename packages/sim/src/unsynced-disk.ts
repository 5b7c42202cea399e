/** A disk whose log syncs say "done" and do nothing: what the durability tests must be able to see. */
import type { Disk, DiskFile } from '@sluice/base';

export function withoutLogSyncs(disk: Disk): Disk {
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode);
      return path.includes('/journal-') ? withoutSync(file) : file;
    },
    makeDirectory: (path) => disk.makeDirectory(path),
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (path) => disk.syncDirectory(path),
    lock: (path) => disk.lock(path),
  };
}

const withoutSync = (file: DiskFile): DiskFile => ({
  read: (target, position) => file.read(target, position),
  write: (buffers, position) => file.write(buffers, position),
  sync: () => Promise.resolve(),
  truncate: (bytes) => file.truncate(bytes),
  size: () => file.size(),
  close: () => file.close(),
});
