/**
 * The buffers of one write. Small pieces are copied into one staging buffer that is used again for the next group, large
 * ones are written from where they lie: few buffers to a write, and no copy of what is large.
 */
import { aligned } from './frame.ts';

/** From this size on a buffer is written from where it lies. */
const largeBytes = 16 * 1024;

/** The buffer that groups are gathered in, one after the other. */
export class Staging {
  readonly #keptBytesMax: number;
  #kept = new Uint8Array(0);

  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax;
  }

  /** At least `bytes`, with old content. */
  take(bytes: number): Uint8Array {
    if (bytes <= this.#kept.length) return this.#kept;
    const fresh = new Uint8Array(aligned(bytes));
    if (bytes <= this.#keptBytesMax) this.#kept = fresh;
    return fresh;
  }
}

export class Gather {
  readonly #buffers: Uint8Array[] = [];
  readonly #staging: Staging;
  readonly #totalMax: number;
  #block: Uint8Array | undefined;
  #used = 0;
  #flushed = 0;
  #total = 0;

  constructor(staging: Staging, totalMax: number) {
    this.#staging = staging;
    this.#totalMax = totalMax;
  }

  reserve(bytes: number): Uint8Array {
    const block = this.#room(bytes);
    this.#used += bytes;
    this.#total += bytes;
    return block.subarray(this.#used - bytes, this.#used);
  }

  add(buffer: Uint8Array): void {
    if (buffer.length < largeBytes) {
      this.reserve(buffer.length).set(buffer);
      return;
    }
    this.#flush();
    this.#buffers.push(buffer);
    this.#total += buffer.length;
  }

  pad(total: number): void {
    this.reserve(total - this.#total).fill(0);
  }

  buffers(): readonly Uint8Array[] {
    this.#flush();
    return this.#buffers;
  }

  /** A block with room; a full one is handed over as it is. */
  #room(bytes: number): Uint8Array {
    this.#block ??= this.#staging.take(Math.min(this.#totalMax, stagingBytes));
    if (this.#used + bytes <= this.#block.length) return this.#block;
    this.#flush();
    this.#block = new Uint8Array(Math.max(bytes, stagingBytes));
    this.#used = 0;
    this.#flushed = 0;
    return this.#block;
  }

  #flush(): void {
    if (this.#block !== undefined && this.#used > this.#flushed) {
      this.#buffers.push(this.#block.subarray(this.#flushed, this.#used));
      this.#flushed = this.#used;
    }
  }
}

/** More small bytes than this in one group, which is rare, go into blocks of their own. */
const stagingBytes = 1024 * 1024;
