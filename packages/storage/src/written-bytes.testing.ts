/** Counts what is written to a disk, by what it is for, and what its files take. */
import type { Disk, DiskFile } from '@sluice/base';
import { FrameKind, readFrameHeader } from './frame.ts';
import { journalFileId } from './journal-file.ts';
import { withMethods } from './test-disk.ts';

/** `groups`: with tables, padding and headers of files. `footers`: of journal files. `rewrites`: with their footers. */
export type Purpose = 'groups' | 'footers' | 'rewrites' | 'checkpoints' | 'manifests';

export class WrittenBytes {
  readonly disk: Disk;
  readonly #written: Record<Purpose, number> = { groups: 0, footers: 0, rewrites: 0, checkpoints: 0, manifests: 0 };
  /** By path: up to the last byte that was written. */
  readonly #files = new Map<string, number>();
  #takenBytes = 0;
  #peakBytes = 0;

  constructor(disk: Disk) {
    this.disk = withMethods(disk, {
      open: async (path, mode) => this.#file(path, await disk.open(path, mode)),
      rename: async (from, to) => {
        await disk.rename(from, to);
        const bytes = this.#files.get(from) ?? 0;
        this.#resize(from, 0);
        this.#resize(to, bytes);
      },
      remove: async (path) => {
        await disk.remove(path);
        this.#resize(path, 0);
      },
    });
  }

  get written(): Readonly<Record<Purpose, number>> {
    return { ...this.#written };
  }

  /** Of all files now. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** The most that all files took since the last call. */
  takePeak(): number {
    const peak = this.#peakBytes;
    this.#peakBytes = this.#takenBytes;
    return peak;
  }

  #file(path: string, file: DiskFile): DiskFile {
    const noted = (buffers: readonly Uint8Array[], position: number): void => {
      const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
      this.#written[purposeOf(path, buffers[0], position)] += bytes;
      this.#resize(path, Math.max(this.#files.get(path) ?? 0, position + bytes));
    };
    return withMethods(file, {
      write: (buffers, position) => {
        noted(buffers, position);
        return file.write(buffers, position);
      },
      writeDurable: (buffers, position) => {
        noted(buffers, position);
        return file.writeDurable(buffers, position);
      },
      truncate: (bytes) => {
        this.#resize(path, Math.min(this.#files.get(path) ?? 0, bytes));
        return file.truncate(bytes);
      },
    });
  }

  #resize(path: string, bytes: number): void {
    this.#takenBytes += bytes - (this.#files.get(path) ?? 0);
    if (bytes === 0) this.#files.delete(path);
    else this.#files.set(path, bytes);
    this.#peakBytes = Math.max(this.#peakBytes, this.#takenBytes);
  }
}

function purposeOf(path: string, first: Uint8Array | undefined, position: number): Purpose {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name.startsWith('sorted-')) return 'rewrites';
  if (name.startsWith('checkpoint-')) return 'checkpoints';
  const fileId = journalFileId(name);
  if (fileId === undefined || first === undefined) return 'manifests';
  const frame = readFrameHeader(first, { fileId, position });
  return frame?.header.kind === FrameKind.footer ? 'footers' : 'groups';
}
