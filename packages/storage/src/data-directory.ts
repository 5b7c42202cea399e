/**
 * One node's data directory, held exclusively. Whoever reads or writes below it takes a `DataDirectory`, so that
 * nothing is touched without the lock.
 *
 *   DIR/lock  DIR/identity  DIR/manifest  DIR/journal-<20 digits>.log
 */
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
   * Creates the directory when absent and locks it; rejects with `DIRECTORY_LOCKED` when another process holds it. Names
   * that a killed process left are durable before anybody goes by them.
   */
  static async open(disk: Disk, path: string): Promise<DataDirectory> {
    await disk.makeDirectory(path);
    const lock = await disk.lock(`${path}/lock`);
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
