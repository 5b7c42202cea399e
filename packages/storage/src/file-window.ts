/** Reads a file front to back in large pieces, so that scanning many small frames costs few system calls. */
import type { DiskFile } from '@sluice/base';

const windowBytes = 1024 * 1024;
const noBytes = new Uint8Array(0);

export class FileWindow {
  readonly #file: DiskFile;
  readonly size: number;
  #buffer: Uint8Array = noBytes;
  /** What is there of it. */
  #bytes: Uint8Array = noBytes;
  #position = 0;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  /** Up to `length` bytes at `position`, fewer only at the end of the file. Valid until the next call, and `close`. */
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

  /** Its memory goes at once, not when garbage is looked for: a node that starts has little of that. */
  close(): void {
    const { buffer } = this.#buffer;
    this.#buffer = noBytes;
    this.#bytes = noBytes;
    if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) buffer.transfer(0);
  }

  async #load(position: number, wanted: number): Promise<void> {
    // One for all of it: a node that starts would leave as much garbage as it scans.
    if (this.#buffer.length < wanted) this.#buffer = new Uint8Array(Math.max(wanted, Math.min(windowBytes, this.size)));
    this.#bytes = noBytes;
    const left = Math.min(this.#buffer.length, Math.max(0, this.size - position));
    const read = await this.#file.read(this.#buffer.subarray(0, left), position);
    this.#bytes = this.#buffer.subarray(0, read);
    this.#position = position;
  }
}
