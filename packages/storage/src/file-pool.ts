/** Open handles of files, at most so many, closed least recently used first and never while in use. */
import type { DiskFile } from '@sluice/base';
import { SluiceError } from '@sluice/base';

const openFilesMax = 64;

interface Pooled {
  readonly file: Promise<DiskFile>;
  users: number;
  /** The file is gone, or the pool is closed: the last user closes it. */
  forgotten: boolean;
}

export class FilePool {
  readonly #open: (fileId: number) => Promise<DiskFile>;
  /** In the order of use. */
  readonly #files = new Map<number, Pooled>();
  /** Files that are gone: a read that was on its way to one keeps no handle of it. A number each, of files of 256 MiB. */
  readonly #gone = new Set<number>();
  #users = 0;
  #closed = false;
  #onUnused: () => void = () => undefined;

  constructor(open: (fileId: number) => Promise<DiskFile>) {
    this.#open = open;
  }

  async use<T>(fileId: number, run: (file: DiskFile) => Promise<T>): Promise<T> {
    if (this.#closed) throw new SluiceError('SHUTTING_DOWN', { message: 'The node log is closed.' });
    const forgotten = this.#gone.has(fileId);
    const pooled = this.#files.get(fileId) ?? { file: this.#open(fileId), users: 0, forgotten };
    this.#files.delete(fileId);
    if (!forgotten) this.#files.set(fileId, pooled);
    pooled.users += 1;
    this.#users += 1;
    try {
      const file = await pooled.file.catch((error: unknown) => {
        if (this.#files.get(fileId) === pooled) this.#files.delete(fileId);
        throw error;
      });
      return await run(file);
    } finally {
      pooled.users -= 1;
      if (pooled.forgotten) await closeUnused(pooled);
      await this.#shrink();
      this.#users -= 1;
      if (this.#users === 0) this.#onUnused();
    }
  }

  async forget(fileId: number): Promise<void> {
    this.#gone.add(fileId);
    const pooled = this.#files.get(fileId);
    if (pooled === undefined) return;
    this.#files.delete(fileId);
    pooled.forgotten = true;
    await closeUnused(pooled);
  }

  /** Resolves when nothing is read any more and everything is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    const pooled = [...this.#files.values()];
    this.#files.clear();
    for (const each of pooled) {
      each.forgotten = true;
      await closeUnused(each);
    }
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#onUnused = resolve));
  }

  async #shrink(): Promise<void> {
    if (this.#files.size <= openFilesMax) return;
    for (const [fileId, pooled] of this.#files) {
      if (pooled.users > 0) continue;
      this.#files.delete(fileId);
      await (await pooled.file).close();
      return;
    }
  }
}

/** One that could not be opened has nothing to close; who asked for it was told. */
async function closeUnused(pooled: Pooled): Promise<void> {
  if (pooled.users > 0) return;
  const file = await pooled.file.catch(() => undefined);
  await file?.close();
}
