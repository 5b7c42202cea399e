/**
 * Reads batches that are no longer in the tail.
 *
 * Owns the open handles of finished files, a cache of their extents and the memory that reads take; all are bounded.
 * Every batch read is checked against its CRC and its place before it is handed out.
 *
 * A1 A read from `from` below `upTo` gives the batch that contains `from` and what follows it without a gap, or rejects.
 *    It gives nothing in one case alone: that batch is whole, is where the index says, and ends behind `upTo`; who reads
 *    with a larger one gets it. Whatever else an index leads to is damage, also under a checksum that fits: a reader that
 *    got nothing and was told nothing would ask for ever.
 */
import type { DiskFile } from '@sluice/base';
import { DiskError, offset, SluiceError } from '@sluice/base';
import { baseOffsetOf, batchesIn, crc32c } from '@sluice/record';
import { DamagedRead } from './damaged-read.ts';
import type { DataDirectory } from './data-directory.ts';
import { type Extent, ExtentList, extentMemoryBytes } from './extents.ts';
import { FilePool } from './file-pool.ts';
import { intactEndBelow } from './intact-end.ts';
import type { LogIndex, Segment } from './log-index.ts';
import type { ReadBatches } from './log-store.ts';
import { ReadBudget, type ReadLease } from './read-budget.ts';
import type { Checked } from './scrubber.ts';
import { SectionCache } from './section-cache.ts';
import type { ExtentSection, Section } from './section.ts';
import { readSpans, roomFor, spanBytes } from './spans.ts';
import { areHeadsOf, wholeEnd } from './whole-batches.ts';

/** Taken beside what is asked for: runs are not cut where a reader would like it, and places are kept while they are read. */
const slackBytes = 64 * 1024;
/** About what a place that is read takes, beside its bytes. */
const placeBytes = 128;

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

interface Located {
  readonly fileId: number;
  readonly extents: readonly Extent[];
}

export interface ColdReaderOptions {
  readonly openFileId: () => number;
  /** Of a finished file, in the directory. */
  readonly nameOf: (fileId: number) => string;
  readonly readBufferBytesMax: number;
  /** What the cache of extents may take now. */
  readonly sectionBytesMax: () => number;
}

export class ColdReader {
  readonly #directory: DataDirectory;
  readonly #files: FilePool;
  readonly #openFileId: () => number;
  readonly #nameOf: (fileId: number) => string;
  readonly #sections: SectionCache;
  readonly #budget: ReadBudget;

  constructor(directory: DataDirectory, options: ColdReaderOptions) {
    this.#directory = directory;
    this.#openFileId = options.openFileId;
    this.#nameOf = options.nameOf;
    this.#budget = new ReadBudget(options.readBufferBytesMax);
    this.#sections = new SectionCache(options.sectionBytesMax);
    this.#files = new FilePool((fileId) => directory.disk.open(this.#path(fileId), 'existing'));
  }

  /** Of reads under way, and of batches read that were not handed over yet. */
  get readBytes(): number {
    return this.#budget.bytes;
  }

  get waiting(): number {
    return this.#budget.waiting;
  }

  /** Kept of indexes that were read. */
  get keptBytes(): number {
    return this.#sections.bytes;
  }

  /** What else is kept in memory has grown. */
  shrink(): void {
    this.#sections.shrink();
  }

  /** As A1 says. Rejects with `DamagedRead`, or `STORAGE_FAILED` when the disk fails. */
  read(index: LogIndex, range: ColdRange): Promise<ReadBatches> {
    return this.#proving(index, this.#readWithin(index, range));
  }

  /** The same damage, with an end that D1 allows. */
  async proven(index: LogIndex, damage: DamagedRead): Promise<DamagedRead> {
    const intactEnd = await this.intactEnd(index, damage.intactEnd);
    return new DamagedRead(damage.message, { fileId: damage.fileId, intactEnd });
  }

  /** D1: at or below `to`. */
  intactEnd(index: LogIndex, to: number): Promise<number> {
    return intactEndBelow((range) => this.#readWithin(index, range), index.start, to);
  }

  async #proving<T>(index: LogIndex, work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw error instanceof DamagedRead ? await this.proven(index, error) : error;
    }
  }

  #readWithin(index: LogIndex, range: ColdRange): Promise<ReadBatches> {
    return this.#budget.within(range.bytesMax + slackBytes, (lease) => this.#read(index, range, lease));
  }

  async #read(index: LogIndex, range: ColdRange, lease: ReadLease): Promise<ReadBatches | 'over-budget'> {
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let from = range.from;
    while (from < range.upTo && (bytes === 0 || bytes < range.bytesMax)) {
      const rest = { ...range, from, bytesMax: range.bytesMax - bytes };
      const how = { lease, atLeastOne: bytes === 0 };
      const part = await this.#whereItLies(index, from, () => this.#readPart(index, rest, how));
      if (part === 'over-limit') break;
      if (part === 'over-budget' || part instanceof DamagedRead) {
        if (bytes > 0) break;
        if (part instanceof DamagedRead) throw part;
        return part;
      }
      // A rewrite under the read put batches together, across the place that it has reached: who asks next gets them.
      const [first] = part.batches;
      if (bytes > 0 && first !== undefined && baseOffsetOf(first, 0) < from) break;
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
    let start = from;
    const next = (): Segment | undefined =>
      index.sealed.find(({ end, maxTimestampMs }) => end > start && maxTimestampMs >= sinceMs);
    for (let segment = next(); segment !== undefined; segment = next()) {
      start = Math.max(start, segment.base);
      const at = start;
      const extents = await this.#whereItLies(index, at, () => this.#extentsAt(index, at));
      if (extents instanceof DamagedRead) return start;
      const end = segmentBehind(index, at)?.end ?? segment.end;
      const found = extents.findSince(start, sinceMs);
      if (found !== undefined && found < end) return found;
      start = Math.max(end, start + 1);
    }
    return index.open.findSince(from, sinceMs) ?? index.end;
  }

  /**
   * Reads what the next finished file holds of the log from `from` on, about `bytesMax` of it, and checks every byte, of the
   * index too. Undefined when no finished file holds any. Rejects like `read`.
   */
  check(index: LogIndex, from: number, bytesMax: number): Promise<Checked | undefined> {
    const check = this.#budget.within(bytesMax + slackBytes, (lease) =>
      this.#whereItLies(index, from, () => this.#check(index, { from, bytesMax }, lease)),
    );
    return this.#proving(index, check);
  }

  async #check(
    index: LogIndex,
    { from, bytesMax }: { readonly from: number; readonly bytesMax: number },
    lease: ReadLease,
  ): Promise<Checked | undefined | 'over-budget'> {
    const segment = segmentBehind(index, from);
    if (segment === undefined) return undefined;
    const { fileId, base } = segment;
    const start = Math.max(from, base);
    const extents =
      segment.extents instanceof ExtentList
        ? segment.extents
        : await this.#section(fileId, segment.extents, {
            from: Math.max(index.start, base),
            lease,
            isFresh: start === base,
          });
    if (extents === 'over-budget') return extents;
    if (extents instanceof DamagedRead) throw extents;
    const places = placesFrom(extents, start, { upTo: segment.end, end: segment.end, bytesMax, lease });
    if (places === 'over-budget') return places;
    const firstBase = Math.max(index.start, places[0]?.base ?? start);
    const read = await this.#bytes(fileId, firstBase, (file) => readSpans(file, places));
    if (read instanceof DamagedRead) throw read;
    let bytes = 0;
    let reached = start;
    for (const [at, extent] of places.entries()) {
      bytes += extent.bytes;
      const found = read[at];
      const end = found && wholeEnd(found, extent);
      const follows = at === 0 ? extent.base <= start : extent.base === reached;
      const intactEnd = Math.max(index.start, Math.min(extent.base, reached));
      reached = extent.end;
      if (follows && end !== undefined && end >= extent.end) continue;
      throw new DamagedRead(`${this.#path(fileId)} at byte ${extent.position}`, { fileId, intactEnd });
    }
    if (reached > start) return { next: reached, bytes };
    throw new DamagedRead(`${this.#path(fileId)}: its index has a gap`, { fileId, intactEnd: start });
  }

  /** Undefined when they are damaged. */
  sectionBytes(fileId: number, section: Section): Promise<Uint8Array | undefined> {
    return this.#budget.within(section.bytes, () => this.#readSection(fileId, section));
  }

  async #readSection(fileId: number, section: Section): Promise<Uint8Array | undefined> {
    const read = await this.#bytes(fileId, 0, async (file) => {
      const bytes = await roomFor(file, section);
      const length = await file.read(bytes, section.position);
      return length < section.bytes || crc32c(bytes) !== section.crc ? undefined : bytes;
    });
    return read instanceof DamagedRead ? undefined : read;
  }

  /** The file is dropped, or what lives of it lies in another: reads that are in it go on, and no new one begins. */
  async forget(fileId: number): Promise<void> {
    this.#sections.forget(fileId);
    await this.#files.forget(fileId);
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  /**
   * A rewrite may move the bytes under the read, and remove the file that it was about to open: then it is done again. The
   * open file may be finished and rewritten meanwhile too.
   */
  async #whereItLies<T>(index: LogIndex, from: number, read: () => Promise<T>): Promise<T> {
    for (;;) {
      const fileId = segmentBehind(index, from)?.fileId;
      const hasMoved = (): boolean => segmentBehind(index, from)?.fileId !== fileId;
      try {
        const found = await read();
        if (!(found instanceof DamagedRead) || !hasMoved()) return found;
      } catch (error) {
        if (!hasMoved()) throw error;
      }
    }
  }

  async #extentsAt(index: LogIndex, from: number): Promise<ExtentList | DamagedRead> {
    const segment = segmentBehind(index, from);
    if (segment === undefined) return new ExtentList();
    const { extents, fileId } = segment;
    return extents instanceof ExtentList ? extents : this.#sectionAlone(fileId, extents, from);
  }

  /** From one file. */
  async #readPart(
    index: LogIndex,
    range: ColdRange,
    { lease, atLeastOne }: { readonly lease: ReadLease; readonly atLeastOne: boolean },
  ): Promise<Part | 'over-limit' | 'over-budget' | DamagedRead> {
    const located = await this.#locate(index, range, lease);
    if (located === 'over-budget' || located instanceof DamagedRead) return located;
    const where = this.#path(located.fileId);
    const { fileId } = located;
    const startsAt = Math.max(index.start, located.extents[0]?.base ?? range.from);
    const read = await this.#bytes(fileId, startsAt, (file) => readSpans(file, located.extents));
    if (read instanceof DamagedRead) return read;
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let next = range.from;
    let isHeldBack = false;
    for (const [at, extent] of located.extents.entries()) {
      if (at > 0 && extent.base !== next) break;
      const part = take(read[at], extent, { ...range, from: next, bytesMax: range.bytesMax - bytes });
      if ('damagedAt' in part) {
        if (batches.length > 0) break;
        const intactEnd = Math.max(index.start, part.damagedAt);
        return new DamagedRead(`${where} at byte ${extent.position}`, { fileId, intactEnd });
      }
      isHeldBack = part.isHeldBack;
      const fits = part.bytes.length > 0 && (part.withinLimit || (atLeastOne && batches.length === 0));
      if (!fits) break;
      batches.push(part.bytes);
      bytes += part.bytes.length;
      next = part.end;
      if (next < Math.min(extent.end, range.upTo)) break;
    }
    if (batches.length > 0) return { batches, bytes, end: next };
    if (!atLeastOne || isHeldBack) return 'over-limit';
    return new DamagedRead(`${where}: its index holds offset ${range.from}, and no batch there does`, {
      fileId,
      intactEnd: startsAt,
    });
  }

  /** The extents of one file that the range needs, as far as it is likely to reach. */
  async #locate(index: LogIndex, range: ColdRange, lease: ReadLease): Promise<Located | 'over-budget' | DamagedRead> {
    const segment = segmentAt(index, range.from);
    const end = segment === undefined ? index.end : endIn(index, segment);
    const extents =
      segment === undefined
        ? index.open
        : segment.extents instanceof ExtentList
          ? segment.extents
          : await this.#section(segment.fileId, segment.extents, {
              from: Math.max(index.start, segment.base),
              lease,
              isFresh: false,
            });
    if (extents === 'over-budget' || extents instanceof DamagedRead) return extents;
    const chosen = placesFrom(extents, range.from, {
      upTo: range.upTo,
      end,
      bytesMax: range.bytesMax,
      lease,
    });
    if (chosen === 'over-budget') return chosen;
    const fileId = segment?.fileId ?? this.#openFileId();
    const [first] = chosen;
    if (first === undefined || first.base > range.from) {
      const intactEnd = Math.max(index.start, segment?.base ?? index.start);
      return new DamagedRead(`${this.#path(fileId)}: its index has a gap`, { fileId, intactEnd });
    }
    return { fileId, extents: chosen };
  }

  #sectionAlone(fileId: number, section: ExtentSection, from: number): Promise<ExtentList | DamagedRead> {
    const cached = this.#sections.get(fileId, section.position);
    if (cached !== undefined) return Promise.resolve(cached);
    return this.#budget.within(memoryOf(section), (lease) =>
      this.#section(fileId, section, { from, lease, isFresh: false }),
    );
  }

  /** `isFresh`: from the disk, also when it is known. */
  async #section(
    fileId: number,
    section: ExtentSection,
    { from, lease, isFresh }: { readonly from: number; readonly lease: ReadLease; readonly isFresh: boolean },
  ): Promise<ExtentList | 'over-budget' | DamagedRead> {
    const cached = isFresh ? undefined : this.#sections.get(fileId, section.position);
    if (cached !== undefined) return cached;
    if (!lease.use(memoryOf(section))) return 'over-budget';
    const bytes = await this.#readSection(fileId, section);
    const extents = bytes && ExtentList.read(bytes, section.extents);
    if (extents === undefined) {
      const where = `${this.#path(fileId)}: the footer at byte ${section.position}`;
      return new DamagedRead(where, { fileId, intactEnd: from });
    }
    this.#sections.put(fileId, section.position, extents);
    return extents;
  }

  /** A place that the disk cannot read is damage like one where it reads something else. */
  async #bytes<T>(fileId: number, intactEnd: number, run: (file: DiskFile) => Promise<T>): Promise<T | DamagedRead> {
    try {
      return await this.#files.use(fileId, run);
    } catch (error) {
      if (!(error instanceof DiskError && error.code === 'EIO')) throw error;
      return new DamagedRead(error.message, { fileId, intactEnd });
    }
  }

  #path(fileId: number): string {
    return this.#directory.file(this.#nameOf(fileId));
  }
}

/** The one that holds the offset, or what follows it. */
const segmentBehind = (index: LogIndex, from: number): Segment | undefined =>
  index.sealed.find(({ end }) => end > from);

const segmentAt = (index: LogIndex, from: number): Segment | undefined =>
  index.sealed.find(({ base, end }) => base <= from && from < end);

/** Where what follows begins, whatever the file claims. */
function endIn({ sealed, open, end }: LogIndex, segment: Segment): number {
  return Math.min(segment.end, sealed[sealed.indexOf(segment) + 1]?.base ?? open.base ?? end);
}

/** While it is read, as bytes and as numbers. */
const memoryOf = ({ bytes, extents }: ExtentSection): number => bytes + extents * extentMemoryBytes;

/**
 * The extents from the one that holds `from` on, about `bytesMax` of them and at least one, as far as the lease goes. None
 * when there is none. What lies behind `end` was cut away, at the end of a batch.
 */
function placesFrom(
  extents: ExtentList,
  from: number,
  {
    upTo,
    end,
    bytesMax,
    lease,
  }: { readonly upTo: number; readonly end: number; readonly bytesMax: number; readonly lease: ReadLease },
): readonly Extent[] | 'over-budget' {
  const chosen: Extent[] = [];
  let bytes = 0;
  for (let at = Math.max(0, extents.find(from)); at < extents.length; at += 1) {
    const extent = extents.at(at);
    if (extent === undefined || extent.base >= Math.min(upTo, end)) break;
    const reach = bytes + extent.bytes + (chosen.length + 1) * placeBytes;
    if (chosen.length > 0 && (bytes >= bytesMax || reach > lease.leftBytes)) break;
    chosen.push(extent.end > end ? { ...extent, end } : extent);
    bytes += extent.bytes;
  }
  const memory = (places: readonly Extent[]): number => spanBytes(places) + places.length * placeBytes;
  if (chosen.length === 0 || lease.use(memory(chosen))) return chosen;
  // The gaps between them were too much.
  const first = chosen.slice(0, 1);
  return lease.use(memory(first)) ? first : 'over-budget';
}

/**
 * The batches of an extent from the one that contains `from`, or the base of the first that is not what the index says.
 * `withinLimit` is false when even the first is over `bytesMax`; it is then returned alone. `isHeldBack`: even the first
 * ends behind `upTo`.
 */
function take(
  bytes: Uint8Array | undefined,
  extent: Extent,
  range: ColdRange,
): { bytes: Uint8Array; end: number; withinLimit: boolean; isHeldBack: boolean } | { damagedAt: number } {
  if (bytes === undefined || !areHeadsOf(bytes, extent.headsCrc)) return { damagedAt: extent.base };
  let next = extent.base;
  let first = -1;
  let last = 0;
  let end = range.from;
  let withinLimit = true;
  let isHeldBack = false;
  for (const found of batchesIn(bytes)) {
    if (next >= Math.min(extent.end, range.upTo)) break;
    const batchEnd = found.ok ? found.header.baseOffset + found.header.lastOffsetDelta + 1 : next;
    if (!found.ok || found.header.baseOffset !== next || batchEnd > extent.end) {
      // What comes before the damage is good; the next read begins at it.
      if (first >= 0) break;
      return { damagedAt: next };
    }
    next = batchEnd;
    if (next <= range.from) continue;
    if (next > range.upTo) {
      isHeldBack = first < 0;
      break;
    }
    const reach = found.position + found.header.batchBytes;
    const over = reach - (first < 0 ? found.position : first) > range.bytesMax;
    if (over && first >= 0) break;
    if (over) withinLimit = false;
    if (first < 0) first = found.position;
    last = reach;
    end = next;
    if (over) break;
  }
  if (first < 0 && next < Math.min(extent.end, range.upTo)) return { damagedAt: next };
  return { bytes: first < 0 ? bytes.subarray(0, 0) : bytes.subarray(first, last), end, withinLimit, isHeldBack };
}

export const readFailed = (cause: unknown): SluiceError =>
  cause instanceof SluiceError
    ? cause
    : new SluiceError('STORAGE_FAILED', {
        message: `A read from the disk failed: ${cause instanceof Error ? cause.message : String(cause)}.`,
        cause,
      });
