/** A machine's disk as one of its processes has it: when the process is dead, what it still asks never happens. */
import type { Disk, DiskFile } from '@sluice/base';

export function ofProcess(disk: Disk, isAlive: () => boolean): Disk {
  const alive = <T>(ask: () => Promise<T>): Promise<T> => (isAlive() ? ask() : new Promise<T>(() => undefined));
  const file = (opened: DiskFile): DiskFile => ({
    read: (target, position) => alive(() => opened.read(target, position)),
    write: (buffers, position) => alive(() => opened.write(buffers, position)),
    writeDurable: (buffers, position) => alive(() => opened.writeDurable(buffers, position)),
    sync: () => alive(() => opened.sync()),
    truncate: (bytes) => alive(() => opened.truncate(bytes)),
    size: () => alive(() => opened.size()),
    close: () => alive(() => opened.close()),
  });
  return {
    open: (path, mode) => alive(() => disk.open(path, mode).then(file)),
    makeDirectory: (path) => alive(() => disk.makeDirectory(path)),
    list: (path) => alive(() => disk.list(path)),
    exists: (path) => alive(() => disk.exists(path)),
    rename: (from, to) => alive(() => disk.rename(from, to)),
    remove: (path) => alive(() => disk.remove(path)),
    syncDirectory: (path) => alive(() => disk.syncDirectory(path)),
    space: (path) => alive(() => disk.space(path)),
    lock: (path) =>
      alive(async () => {
        const lock = await disk.lock(path);
        return { release: () => alive(() => lock.release()) };
      }),
  };
}
