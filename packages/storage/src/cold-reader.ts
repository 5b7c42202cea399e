/**
 * Reads batches that are no longer in the tail.
 *
 * Owns the open handles of finished files and a cache of their extents; both are bounded. Every batch read is checked
 * against its CRC and its place before it is handed out.
 */
import type { Offset } from '@sluice/base';
import { offset, SluiceError } from '@sluice/base';
import { batchesIn, crc32c } from '@sluice/record';
import { ByteReader } from './binary.ts';
import type { DataDirectory } from './data-directory.ts';
import { type Extent, ExtentList } from './extents.ts';
import { FilePool } from './file-pool.ts';
import type { LogIndex } from './log-index.ts';
import type { ReadBatches } from './log-store.ts';
import type { Checked } from './scrubber.ts';
import type { Section } from './section.ts';
import { readSpans } from './spans.ts';
import { wholeEnd } from './whole-batches.ts';

/** Extents kept of finished files, as bytes of their sections. */
const sectionBytesMax = 8 * 1024 * 1024;

export interface ColdRange {
  readonly from: number;
  readonly upTo: number;
  readonly bytesMax: number;
}

interface Part {
  readonly batches: readonly Uint8Array[];
  readonly bytes: number;
  readonly end: number;
}

interface CachedSection {
  readonly fileId: number;
  readonly extents: ExtentList;
  readonly bytes: number;
}

interface Located {
  readonly fileId: number;
  readonly extents: readonly Extent[];
}

/** The bytes on the disk are not what was written. */
export class DamagedRead extends Error {
  override readonly name = 'DamagedRead';
  readonly fileId: number;
  readonly intactEnd: Offset;

  constructor(where: string, at: { readonly fileId: number; readonly intactEnd: number }) {
    super(where);
    this.fileId = at.fileId;
    this.intactEnd = offset(at.intactEnd);
  }
}

export interface ColdReaderOptions {
  readonly openFileId: () => number;
  /** Of a finished file, in the directory. */
  readonly nameOf: (fileId: number) => string;
}

export class ColdReader {
  readonly #directory: DataDirectory;
  readonly #files: FilePool;
  readonly #openFileId: () => number;
  readonly #nameOf: (fileId: number) => string;
  readonly #sections = new Map<string, CachedSection>();
  #sectionBytes = 0;

  constructor(directory: DataDirectory, { openFileId, nameOf }: ColdReaderOptions) {
    this.#directory = directory;
    this.#openFileId = openFileId;
    this.#nameOf = nameOf;
    this.#files = new FilePool((fileId) => directory.disk.open(this.#path(fileId), 'existing'));
  }

  /** At least one batch. Rejects with `DamagedRead`, or `STORAGE_FAILED` when the disk fails. */
  async read(index: LogIndex, range: ColdRange): Promise<ReadBatches> {
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let from = range.from;
    while (from < range.upTo && (bytes === 0 || bytes < range.bytesMax)) {
      const part = await this.#readPart(index, { ...range, from, bytesMax: range.bytesMax - bytes }, bytes === 0);
      if (part === 'over-limit') break;
      if (part instanceof DamagedRead) {
        if (bytes === 0) throw part;
        break;
      }
      batches.push(...part.batches);
      bytes += part.bytes;
      from = part.end;
    }
    return { kind: 'batches', batches, bytes, endOffset: offset(from) };
  }

  /**
   * Base of the first extent at or behind `from` that can hold a record of `sinceMs` or later; the end of what is durable
   * when there is none. An extent that cannot be read counts as one: who reads there meets the damage.
   */
  async extentSince(index: LogIndex, from: number, sinceMs: number): Promise<number> {
    for (const segment of index.sealed) {
      if (segment.end <= from || segment.maxTimestampMs < sinceMs) continue;
      const start = Math.max(from, segment.base);
      const extents =
        segment.extents instanceof ExtentList
          ? segment.extents
          : await this.#section(segment.fileId, segment.extents, start);
      if (extents instanceof DamagedRead) return start;
      const found = extents.findSince(start, sinceMs);
      if (found !== undefined && found < segment.end) return found;
    }
    return index.open.findSince(from, sinceMs) ?? index.end;
  }

  /**
   * Reads what the next finished file holds of the log from `from` on, about `bytesMax` of it, and checks every byte, of the
   * index too. Undefined when no finished file holds any. Rejects like `read`.
   */
  async check(index: LogIndex, from: number, bytesMax: number): Promise<Checked | undefined> {
    const segment = index.sealed.find(({ end }) => end > from);
    if (segment === undefined) return undefined;
    const { fileId, base } = segment;
    const start = Math.max(from, base);
    const extents =
      segment.extents instanceof ExtentList
        ? segment.extents
        : await this.#section(fileId, segment.extents, start, start === base ? 'disk' : 'memory');
    if (extents instanceof DamagedRead) throw extents;
    const places: Extent[] = [];
    let bytes = 0;
    for (let at = Math.max(0, extents.find(start)); at < extents.length && bytes < bytesMax; at += 1) {
      const extent = extents.at(at);
      if (extent === undefined || extent.base >= segment.end) break;
      places.push(extent);
      bytes += extent.bytes;
    }
    const read = await this.#files.use(fileId, (file) => readSpans(file, places));
    for (const [at, extent] of places.entries()) {
      const found = read[at];
      const end = found && wholeEnd(found, extent);
      if (end !== undefined && end >= extent.end) continue;
      const where = `${this.#path(fileId)} at byte ${extent.position}`;
      throw new DamagedRead(where, { fileId, intactEnd: Math.max(index.start, extent.base) });
    }
    const next = places.at(-1)?.end;
    if (next !== undefined && next > start) return { next, bytes };
    throw new DamagedRead(`${this.#path(fileId)}: its index has a gap`, { fileId, intactEnd: start });
  }

  /** Undefined when they are damaged. */
  async sectionBytes(fileId: number, section: Section): Promise<Uint8Array | undefined> {
    const bytes = new Uint8Array(section.bytes);
    const read = await this.#files.use(fileId, (file) => file.read(bytes, section.position));
    return read < bytes.length || crc32c(bytes) !== section.crc ? undefined : bytes;
  }

  /** The file is dropped: reads that are in it go on, and no new one begins. */
  async forget(fileId: number): Promise<void> {
    for (const [key, { fileId: of, bytes }] of this.#sections) {
      if (of !== fileId) continue;
      this.#sections.delete(key);
      this.#sectionBytes -= bytes;
    }
    await this.#files.forget(fileId);
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  /** From one file. */
  async #readPart(index: LogIndex, range: ColdRange, atLeastOne: boolean): Promise<Part | 'over-limit' | DamagedRead> {
    const located = await this.#locate(index, range);
    if (located instanceof DamagedRead) return located;
    const where = this.#path(located.fileId);
    const read = await this.#files.use(located.fileId, (file) => readSpans(file, located.extents));
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let next = range.from;
    for (const [at, extent] of located.extents.entries()) {
      const part = take(read[at], extent, { ...range, from: next, bytesMax: range.bytesMax - bytes });
      if (part === undefined) {
        if (batches.length > 0) break;
        return new DamagedRead(`${where} at byte ${extent.position}`, { fileId: located.fileId, intactEnd: next });
      }
      const fits = part.bytes.length > 0 && (part.withinLimit || (atLeastOne && batches.length === 0));
      if (!fits) break;
      batches.push(part.bytes);
      bytes += part.bytes.length;
      next = part.end;
      if (next < Math.min(extent.end, range.upTo)) break;
    }
    return batches.length === 0 ? 'over-limit' : { batches, bytes, end: next };
  }

  /** The extents of one file that the range needs, as far as it is likely to reach. */
  async #locate(index: LogIndex, range: ColdRange): Promise<Located | DamagedRead> {
    const segment = index.sealed.find((candidate) => candidate.base <= range.from && range.from < candidate.end);
    const extents =
      segment === undefined
        ? index.open
        : segment.extents instanceof ExtentList
          ? segment.extents
          : await this.#section(segment.fileId, segment.extents, range.from);
    if (extents instanceof DamagedRead) return extents;
    const end = Math.min(range.upTo, segment?.end ?? index.end);
    const chosen: Extent[] = [];
    let bytes = 0;
    for (let at = Math.max(0, extents.find(range.from)); at < extents.length; at += 1) {
      const extent = extents.at(at);
      if (extent === undefined || extent.base >= end || (bytes >= range.bytesMax && chosen.length > 0)) break;
      chosen.push(extent.end > end ? { ...extent, end } : extent);
      bytes += extent.bytes;
    }
    const fileId = segment?.fileId ?? this.#openFileId();
    if (chosen.length === 0) {
      return new DamagedRead(`${this.#path(fileId)}: its index has a gap`, { fileId, intactEnd: range.from });
    }
    return { fileId, extents: chosen };
  }

  async #section(
    fileId: number,
    section: Section,
    from: number,
    known: 'memory' | 'disk' = 'memory',
  ): Promise<ExtentList | DamagedRead> {
    const key = `${fileId}:${section.position}`;
    const cached = this.#sections.get(key);
    if (cached !== undefined && known === 'memory') {
      // Again at the end: the map's order is the order of use.
      this.#sections.delete(key);
      this.#sections.set(key, cached);
      return cached.extents;
    }
    const bytes = await this.sectionBytes(fileId, section);
    if (bytes === undefined) {
      const where = `${this.#path(fileId)}: the footer at byte ${section.position}`;
      return new DamagedRead(where, { fileId, intactEnd: from });
    }
    const extents = ExtentList.read(new ByteReader(bytes));
    if (!this.#sections.has(key)) this.#sectionBytes += bytes.length;
    this.#sections.set(key, { fileId, extents, bytes: bytes.length });
    for (const [oldest, entry] of this.#sections) {
      if (this.#sectionBytes <= sectionBytesMax || oldest === key) break;
      this.#sections.delete(oldest);
      this.#sectionBytes -= entry.bytes;
    }
    return extents;
  }

  #path(fileId: number): string {
    return this.#directory.file(this.#nameOf(fileId));
  }
}

/**
 * The batches of an extent from the one that contains `from`. Undefined when they are not what the index says.
 * `withinLimit` is false when even the first is over `bytesMax`; it is then returned alone.
 */
function take(
  bytes: Uint8Array | undefined,
  extent: Extent,
  range: ColdRange,
): { bytes: Uint8Array; end: number; withinLimit: boolean } | undefined {
  if (bytes === undefined) return undefined;
  let next = extent.base;
  let first = -1;
  let last = 0;
  let end = range.from;
  let withinLimit = true;
  for (const found of batchesIn(bytes)) {
    if (next >= extent.end) break;
    if (!found.ok || found.header.baseOffset !== next) {
      // What comes before the damage is good; the next read begins at it.
      if (first >= 0) break;
      return undefined;
    }
    next = found.header.baseOffset + found.header.lastOffsetDelta + 1;
    if (next <= range.from) continue;
    if (next > range.upTo) break;
    const reach = found.position + found.header.batchBytes;
    const over = reach - (first < 0 ? found.position : first) > range.bytesMax;
    if (over && first >= 0) break;
    if (over) withinLimit = false;
    if (first < 0) first = found.position;
    last = reach;
    end = next;
    if (over) break;
  }
  if (first < 0 && next < Math.min(extent.end, range.upTo)) return undefined;
  return { bytes: first < 0 ? bytes.subarray(0, 0) : bytes.subarray(first, last), end, withinLimit };
}

export const readFailed = (cause: unknown): SluiceError =>
  new SluiceError('STORAGE_FAILED', {
    message: `A read from the disk failed: ${cause instanceof Error ? cause.message : String(cause)}.`,
    cause,
  });
