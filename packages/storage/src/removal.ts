/**
 * Removes files that no manifest names any more, a step at a time. Where the file system discards what it frees, freed
 * blocks go to the disk with the file system's own journal, and whoever syncs waits behind them: 256 MiB cost an append
 * some 70 ms, and 12 GB at once some 3 s (ADR 0024).
 *
 * Owns the files that wait. Called by `Reclaim` with what it dropped, and at start with what the process before left.
 *
 * D1 What one step frees is durable before the next begins, so that no sync has more than one step to wait for.
 * D2 A step frees what was written since the step before and half as much again, beside its own size: what waits does not
 *    grow, however fast files are filled. There are no pauses while the disk is low: whoever appends waits for space then.
 * D3 A file that is cut, or left behind by a stop, is one that no manifest names: the next start goes on with it.
 * D4 Who still reads in such a file may find less than the index said. Its log was cut since, or its bytes lie in another
 *    file: it looks again (`PartitionLog`, `ColdReader`), and takes what it found for no damage.
 */
import type { Clock, Timer } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';

/** With the pause 200 MiB/s: 2 ms of a disk that discards, every 20. */
export const removalStepBytes = 4 * 1024 * 1024;
const pauseMs = 20;
const writtenShare = 1.5;

export interface RemovalOptions {
  readonly directory: DataDirectory;
  readonly clock: Clock;
  /** By the groups, since the start. */
  readonly bytesWritten: () => number;
  readonly isDiskLow: () => boolean;
  readonly isStopped: () => boolean;
  readonly onFailure: (error: Error) => void;
  /** Default: `removalStepBytes`. */
  readonly stepBytes?: number;
}

export class Removal {
  readonly #options: RemovalOptions;
  /** Names, the next to go first. */
  #waiting: string[] = [];
  #running: Promise<void> | undefined;
  #pause: { readonly timer: Timer; readonly end: () => void } | undefined;
  #bytesSeen = 0;
  #closing = false;

  constructor(options: RemovalOptions) {
    this.#options = options;
  }

  /** Returns at once. No manifest names them, durably. */
  add(names: readonly string[]): void {
    const { isStopped, onFailure } = this.#options;
    this.#waiting.push(...names);
    if (this.#waiting.length === 0 || this.#running !== undefined || this.#closing || isStopped()) return;
    this.#running = this.#run()
      .catch((error: unknown) => onFailure(error instanceof Error ? error : new Error(String(error))))
      .then(() => {
        this.#running = undefined;
        this.add([]);
      });
  }

  /** Resolves when nothing is on its way. What still waits is left (D3). */
  async close(): Promise<void> {
    this.#closing = true;
    this.#pause?.timer.cancel();
    this.#pause?.end();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { isStopped, isDiskLow, bytesWritten } = this.#options;
    this.#bytesSeen = bytesWritten();
    while (!isStopped()) {
      await this.#step();
      if (this.#waiting.length === 0 || this.#closing) return;
      if (!isDiskLow()) await this.#paused();
      if (this.#closing) return;
    }
  }

  async #step(): Promise<void> {
    const { directory, bytesWritten, isStopped, stepBytes = removalStepBytes } = this.#options;
    const written = bytesWritten();
    let left = stepBytes + (written - this.#bytesSeen) * writtenShare;
    this.#bytesSeen = written;
    let removed = 0;
    for (let name = this.#waiting[0]; name !== undefined && left > 0 && !isStopped(); name = this.#waiting[0]) {
      const freed = await this.#shorten(directory.file(name), left);
      if (freed === undefined) break;
      left -= freed;
      removed += 1;
      this.#waiting.shift();
    }
    if (removed > 0) await directory.disk.syncDirectory(directory.path);
  }

  /** The bytes that went with the whole file, or undefined when some of it is left. */
  async #shorten(path: string, bytesMax: number): Promise<number | undefined> {
    const { disk } = this.#options.directory;
    if (!(await disk.exists(path))) return 0;
    const file = await disk.open(path, 'existing');
    let bytes = 0;
    try {
      bytes = await file.size();
      if (bytes > bytesMax) {
        await file.truncate(Math.floor(bytes - bytesMax));
        await file.sync();
        return undefined;
      }
    } finally {
      await file.close();
    }
    await disk.remove(path);
    return bytes;
  }

  #paused(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#pause = undefined;
        resolve();
      };
      this.#pause = { timer: this.#options.clock.setTimer(pauseMs, end), end };
    });
  }
}
