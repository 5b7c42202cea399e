/**
 * One node's data directory, held exclusively. Whoever reads or writes below it takes a `DataDirectory`, so that
 * nothing is touched without the lock.
 *
 *   DIR/lock  DIR/identity  DIR/clean  DIR/manifest  DIR/checkpoint-<20 digits>.log  DIR/journal-<20 digits>.log
 *   DIR/sorted-<20 digits>.log  DIR/raft-snapshot-<20 digits>
 */
import { DiskError, SluiceError } from '@sluice/base';
import type { Disk, DiskLock } from '@sluice/base';

export class DataDirectory {
  readonly disk: Disk;
  readonly path: string;
  readonly #lock: DiskLock;

  private constructor(disk: Disk, path: string, lock: DiskLock) {
    this.disk = disk;
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Creates the directory when absent and locks it; rejects with `DIRECTORY_LOCKED` when another process holds it, and
   * with `INVALID_CONFIG` when this one may not write there. Names that a killed process left are durable before anybody
   * goes by them.
   */
  static async open(disk: Disk, path: string): Promise<DataDirectory> {
    const lock = await lockDirectory(disk, path);
    try {
      await disk.syncDirectory(path);
    } catch (error) {
      await lock.release();
      throw error;
    }
    return new DataDirectory(disk, path, lock);
  }

  file(name: string): string {
    return `${this.path}/${name}`;
  }

  /** After everything below it is closed. */
  release(): Promise<void> {
    return this.#lock.release();
  }
}

/**
 * What the system answers about a place where this process may not write, or that is no directory. ENOENT: a directory
 * with its parents, on a file system that is read only.
 */
const unfitCodes: ReadonlySet<string> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR', 'EEXIST']);

async function lockDirectory(disk: Disk, path: string): Promise<DiskLock> {
  try {
    await disk.makeDirectory(path);
    return await disk.lock(`${path}/lock`);
  } catch (error) {
    if (!(error instanceof DiskError) || !unfitCodes.has(error.code)) throw error;
    throw new SluiceError('INVALID_CONFIG', {
      message: `The data directory ${path} cannot be written to (${error.code}); give it to the user that the node runs as, mount a disk or volume there, or set dataDirectory to another one.`,
      details: { key: 'dataDirectory', directory: path },
      cause: error,
    });
  }
}
