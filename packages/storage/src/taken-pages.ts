/**
 * How much of a `MemoryDisk` with a capacity is taken: the pages that were written and not cut away, of files that have a
 * name. Holes and names take nothing. After a crash a page counts that may not have survived.
 */
const pageBytes = 4096;

export class TakenPages {
  capacityBytes: number;
  readonly #files = new Map<object, Set<number>>();
  #pageCount = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.#pageCount * pageBytes);
  }

  /** Takes the pages of a write, as far as there is room; returns how many of its bytes fit. */
  take(file: object, position: number, bytes: number): number {
    const pages = this.#files.get(file) ?? new Set();
    this.#files.set(file, pages);
    const end = position + bytes;
    for (let page = Math.floor(position / pageBytes); page * pageBytes < end; page += 1) {
      if (pages.has(page)) continue;
      if (this.freeBytes < pageBytes) return Math.max(0, page * pageBytes - position);
      pages.add(page);
      this.#pageCount += 1;
    }
    return bytes;
  }

  /** The file ends there now. */
  cut(file: object, size: number): void {
    const pages = this.#files.get(file);
    if (pages === undefined) return;
    for (const page of pages) if (page * pageBytes >= size && pages.delete(page)) this.#pageCount -= 1;
  }

  /** Only these still have a name. */
  keep(files: ReadonlySet<object>): void {
    for (const [file, pages] of this.#files) {
      if (files.has(file)) continue;
      this.#files.delete(file);
      this.#pageCount -= pages.size;
    }
  }
}
