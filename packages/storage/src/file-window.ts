/** Reads a file front to back in large pieces, so that scanning many small frames costs few system calls. */
import type { DiskFile } from '@sluice/base';

const windowBytes = 1024 * 1024;

export class FileWindow {
  readonly #file: DiskFile;
  readonly size: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #position = 0;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Up to `length` bytes at `position`, fewer only at the end of the file. Valid until the next call. */
  async at(position: number, length: number): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.size - position));
    const from = position - this.#position;
    if (from < 0 || from + wanted > this.#bytes.length) await this.#load(position, wanted);
    const start = position - this.#position;
    return this.#bytes.subarray(start, start + wanted);
  }

  /** Past the window, into a buffer of the caller; resolves to the bytes read. */
  readAside(target: Uint8Array, position: number): Promise<number> {
    return this.#file.read(target, position);
  }

  async #load(position: number, wanted: number): Promise<void> {
    const target = new Uint8Array(Math.min(Math.max(wanted, windowBytes), Math.max(0, this.size - position)));
    const read = await this.#file.read(target, position);
    // A fresh buffer each time: what a caller was handed before stays as it was.
    this.#bytes = read === target.length ? target : target.subarray(0, read);
    this.#position = position;
  }
}
