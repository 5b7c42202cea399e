/** A disk that is only looked at: what would change it is not done, and what cannot go on without that is refused. */
import type { Disk, DiskFile } from '@sluice/base';
import { DiskError } from '@sluice/base';

const nothing = (): Promise<void> => Promise.resolve();
const refused = (path: string): Promise<never> =>
  Promise.reject(new DiskError('EROFS', path, `${path} is only looked at`));

/** A lock that nobody sees; nothing is removed, cut, synced, or written again as it is. Reads see what is there. */
export const readOnly = (disk: Disk): Disk => ({
  open: async (path, mode) => (mode === 'create' ? refused(path) : readOnlyFile(path, await disk.open(path, mode))),
  makeDirectory: nothing,
  list: (path) => disk.list(path),
  exists: (path) => disk.exists(path),
  rename: nothing,
  remove: nothing,
  syncDirectory: nothing,
  space: (path) => disk.space(path),
  lock: () => Promise.resolve({ release: nothing }),
});

const readOnlyFile = (path: string, file: DiskFile): DiskFile => ({
  read: (target, position) => file.read(target, position),
  write: nothing,
  writeDurable: () => refused(path),
  sync: nothing,
  truncate: nothing,
  size: () => file.size(),
  close: () => file.close(),
});
