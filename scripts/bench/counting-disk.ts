/** The disk of a machine, with a count of what goes through it. */
import type { Disk, DiskFile, DiskLock, DiskSpace } from '../../packages/base/src/mod.ts';
import { NodeDisk } from '../../packages/storage/src/mod.ts';

export class CountingDisk implements Disk {
  writtenBytes = 0;
  /** Of files and directories; a durable write is one too. */
  syncs = 0;
  /** By the path of the file. */
  readonly readBytes = new Map<string, number>();
  /** Durable writes leave holes for buffers of this size and larger, and are not durable: files that hold much, quickly. */
  holesFromBytes = Number.POSITIVE_INFINITY;
  readonly #disk = new NodeDisk();

  async open(path: string, mode: 'create' | 'existing'): Promise<DiskFile> {
    return new CountingFile(this, path, await this.#disk.open(path, mode));
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path);
  }

  list(path: string): Promise<readonly string[]> {
    return this.#disk.list(path);
  }

  exists(path: string): Promise<boolean> {
    return this.#disk.exists(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#disk.remove(path);
  }

  syncDirectory(path: string): Promise<void> {
    this.syncs += 1;
    return this.#disk.syncDirectory(path);
  }

  space(path: string): Promise<DiskSpace> {
    return this.#disk.space(path);
  }

  lock(path: string): Promise<DiskLock> {
    return this.#disk.lock(path);
  }
}

class CountingFile implements DiskFile {
  readonly #counts: CountingDisk;
  readonly #path: string;
  readonly #file: DiskFile;

  constructor(counts: CountingDisk, path: string, file: DiskFile) {
    this.#counts = counts;
    this.#path = path;
    this.#file = file;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const bytes = await this.#file.read(target, position);
    const { readBytes } = this.#counts;
    readBytes.set(this.#path, (readBytes.get(this.#path) ?? 0) + bytes);
    return bytes;
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    this.#counts.writtenBytes += bytesOf(buffers);
    return this.#file.write(buffers, position);
  }

  writeDurable(buffers: readonly Uint8Array[], position: number): Promise<void> {
    if (this.#counts.holesFromBytes < Number.POSITIVE_INFINITY) return this.#writeSparse(buffers, position);
    this.#counts.writtenBytes += bytesOf(buffers);
    this.#counts.syncs += 1;
    return this.#file.writeDurable(buffers, position);
  }

  sync(): Promise<void> {
    this.#counts.syncs += 1;
    return this.#file.sync();
  }

  truncate(bytes: number): Promise<void> {
    return this.#file.truncate(bytes);
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #writeSparse(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let at = position;
    for (const buffer of buffers) {
      if (buffer.length < this.#counts.holesFromBytes) await this.#file.write([buffer], at);
      at += buffer.length;
    }
  }
}

const bytesOf = (buffers: readonly Uint8Array[]): number => buffers.reduce((bytes, { length }) => bytes + length, 0);
