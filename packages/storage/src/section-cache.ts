/**
 * The indexes of finished files that were read lately, by file and place. Owned by `ColdReader`.
 *
 * Y1 What is kept is at most what `bytesMax` says at the time, least recently used first out; what is larger than that is
 *    not kept.
 */
import type { ExtentList } from './extents.ts';

interface Kept {
  readonly fileId: number;
  readonly extents: ExtentList;
}

export class SectionCache {
  readonly #bytesMax: () => number;
  /** In the order of use. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  constructor(bytesMax: () => number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(fileId: number, position: number): ExtentList | undefined {
    const key = `${fileId}:${position}`;
    const found = this.#kept.get(key);
    if (found === undefined) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, found);
    return found.extents;
  }

  put(fileId: number, position: number, extents: ExtentList): void {
    const key = `${fileId}:${position}`;
    this.#drop(key);
    const room = this.#bytesMax();
    if (extents.memoryBytes > room) return;
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes + extents.memoryBytes <= room) break;
      this.#drop(oldest);
    }
    this.#kept.set(key, { fileId, extents });
    this.#bytes += extents.memoryBytes;
  }

  forget(fileId: number): void {
    for (const [key, kept] of this.#kept) if (kept.fileId === fileId) this.#drop(key);
  }

  /** The bound may have become smaller. */
  shrink(): void {
    const room = this.#bytesMax();
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= room) return;
      this.#drop(oldest);
    }
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#kept.delete(key);
    this.#bytes -= kept.extents.memoryBytes;
  }
}
