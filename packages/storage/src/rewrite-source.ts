/**
 * The finished files that a rewrite reads: their header and footers, sections and batches. Owns a handle of each; every
 * byte that comes out of here was checked.
 */
import type { Clock, Disk, DiskFile, LogId } from '@sluice/base';
import { DiskError, offset } from '@sluice/base';
import { crc32c } from '@sluice/record';
import type { Extent } from './extents.ts';
import { ExtentList } from './extents.ts';
import type { StoredEntry } from './raft-index.ts';
import { decodeStored } from './footer.ts';
import { decodeJournalHeader, type JournalHeader, journalHeaderBytes } from './journal-file.ts';
import type { FinishedFile } from './live-files.ts';
import type { LogIndex, Segment } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';
import { type FoundFooter, readFooter } from './read-footer.ts';
import type { SnapshotsByLog } from './snapshot-reads.ts';
import { type Place, spansOf } from './spans.ts';
import { wholeEnd } from './whole-batches.ts';

/** What a rewrite was to read is not what was written there; of one log when its batches are. */
export class DamagedSource extends Error {
  override readonly name = 'DamagedSource';
  readonly fileId: number;
  readonly log: { readonly id: LogId; readonly intactEnd: number } | undefined;

  constructor(where: string, fileId: number, log?: DamagedSource['log']) {
    super(where);
    this.fileId = fileId;
    this.log = log;
  }
}

/** The disk refused to give it. */
export class UnreadableSource extends Error {
  override readonly name = 'UnreadableSource';
  readonly fileId: number;

  constructor(fileId: number, cause: DiskError) {
    super(cause.message, { cause });
    this.fileId = fileId;
  }
}

/** An extent to copy, and where its bytes go in memory. */
export interface Piece {
  readonly index: LogIndex;
  readonly segment: Segment;
  readonly extent: Extent;
  /** In the slab. */
  readonly at: number;
}

export interface Source {
  readonly file: FinishedFile;
  readonly path: string;
  readonly handle: DiskFile;
  readonly header: JournalHeader;
  readonly footer: FoundFooter;
}

export class RewriteSources {
  readonly #sources: Source[] = [];
  readonly #byId = new Map<number, Source>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In log order. */
  get all(): readonly Source[] {
    return this.#sources;
  }

  async open(disk: Disk, file: FinishedFile, path: string): Promise<void> {
    const { fileId, footerAt } = file;
    const handle = await reading(fileId, disk.open(path, 'existing'));
    try {
      const page = new Uint8Array(journalHeaderBytes);
      const read = await reading(fileId, handle.read(page, 0));
      const header = decodeJournalHeader(page.subarray(0, read), fileId);
      if (header === undefined) throw new DamagedSource(`${path}: its header`, fileId);
      const footer =
        footerAt === undefined ? undefined : await reading(fileId, readFooter(handle, fileId, footerAt, this.#clock));
      if (footer === undefined) throw new DamagedSource(`${path}: its footer`, fileId);
      const source = { file, path, handle, header, footer };
      this.#sources.push(source);
      this.#byId.set(fileId, source);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#sources) await handle.close();
  }

  async raftEntries({ file, handle, footer, path }: Source): Promise<readonly StoredEntry[]> {
    const { raft } = footer.footer;
    if (raft === undefined) return [];
    const bytes = new Uint8Array(raft.section.bytes);
    const read = await reading(file.fileId, handle.read(bytes, raft.section.position));
    if (read < bytes.length || crc32c(bytes) !== raft.section.crc) {
      throw new DamagedSource(`${path}: its list of Raft entries`, file.fileId);
    }
    return decodeStored(bytes);
  }

  /** The payload of each, in their order. */
  async *raftPayloads(source: Source, entries: readonly StoredEntry[]): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const span of readingPlaces(source, entries)) {
      for (const { place: entry, bytes: payload } of span) {
        if (payload === undefined || crc32c(payload) !== entry.crc) {
          throw new DamagedSource(`${source.path}: a Raft entry at byte ${entry.position}`, source.file.fileId);
        }
        yield payload;
      }
    }
  }

  /** The extents of segments of several logs, in their order; each has all that its segment claims. */
  async extentsOf(segments: readonly { readonly index: LogIndex; readonly segment: Segment }[]): Promise<ExtentList[]> {
    const found: ExtentList[] = [];
    for (const source of this.#sources) {
      const { file, path } = source;
      const wanted = segments
        .map(({ index, segment }, at) => ({ index, segment, at }))
        .filter(({ segment }) => segment.fileId === file.fileId)
        .map(({ index, segment: { base, end, extents }, at }) => {
          if (extents instanceof ExtentList) throw new DamagedSource(`${path}: it has no footer`, file.fileId);
          return { ...extents, base, end, index, at };
        })
        .toSorted((one, other) => one.position - other.position);
      for await (const span of readingPlaces(source, wanted)) {
        for (const { place: section, bytes } of span) {
          const isWhole = bytes !== undefined && crc32c(bytes) === section.crc;
          const extents = isWhole ? ExtentList.read(bytes, section.extents) : undefined;
          if (extents === undefined || !covers(extents, Math.max(section.base, section.index.start), section.end)) {
            const log = { id: section.index.id, intactEnd: section.base };
            throw new DamagedSource(`${path}: the footer at byte ${section.position}`, file.fileId, log);
          }
          found[section.at] = extents;
        }
      }
    }
    return found;
  }

  /** State snapshots that lie in these files, oldest first; damaged ones are left out. */
  async snapshotsOf(indexes: Iterable<LogIndex>): Promise<SnapshotsByLog> {
    const found = new Map<LogIndex, StateSnapshot[]>();
    const logs = [...indexes];
    for (const source of this.#sources) {
      const wanted = logs
        .flatMap((index) =>
          index.snapshots.map(({ fileId, offset: at, section }) => ({ ...section, index, at, fileId })),
        )
        .filter(({ fileId }) => fileId === source.file.fileId)
        .toSorted((one, other) => one.position - other.position);
      for await (const span of readingPlaces(source, wanted)) {
        for (const { place, bytes } of span) {
          if (bytes === undefined || crc32c(bytes) !== place.crc) continue;
          const list = found.get(place.index) ?? [];
          // Copied: it is kept for the footer, and what it was read with is not.
          list.push({ offset: offset(place.at), bytes: bytes.slice() });
          found.set(place.index, list);
        }
      }
    }
    for (const snapshots of found.values()) snapshots.sort((one, other) => one.offset - other.offset);
    return found;
  }

  /** Fills the slab; checks nothing yet. Where a file ends too early, what was there before is left. */
  async fill(slab: Uint8Array, pieces: readonly Piece[]): Promise<void> {
    for (const source of this.#sources) {
      const { file, path } = source;
      const wanted = pieces
        .filter(({ segment }) => segment.fileId === file.fileId)
        .map(({ index, at, extent }) => ({
          position: extent.position,
          bytes: extent.bytes,
          base: extent.base,
          index,
          at,
        }))
        .toSorted((one, other) => one.position - other.position);
      for await (const span of readingPlaces(source, wanted)) {
        for (const { place, bytes } of span) {
          if (bytes === undefined) {
            const log = { id: place.index.id, intactEnd: place.base };
            throw new DamagedSource(`${path} at byte ${place.position}`, file.fileId, log);
          }
          slab.set(bytes, place.at);
        }
      }
    }
  }

  /** The batches of a piece that was read into the slab; throws when a byte of them is another than when written. */
  checked(slab: Uint8Array, piece: Piece): Uint8Array {
    const { extent, at } = piece;
    const bytes = slab.subarray(at, at + extent.bytes);
    const end = wholeEnd(bytes, extent);
    if (end !== undefined && end >= extent.end) return bytes;
    throw this.damaged(piece);
  }

  /** Its bytes are not what its index says. */
  damaged({ index, segment, extent }: Piece): DamagedSource {
    const path = this.#byId.get(segment.fileId)?.path ?? '';
    const log = { id: index.id, intactEnd: offset(extent.base) };
    return new DamagedSource(`${path} at byte ${extent.position}`, segment.fileId, log);
  }
}

/** Whether every offset is in it, without a gap. */
function covers(extents: ExtentList, from: number, to: number): boolean {
  let end = from;
  for (let at = 0; at < extents.length && end < to; at += 1) {
    const extent = extents.at(at);
    if (extent === undefined || extent.end <= from) continue;
    if (end === from ? extent.base > from : extent.base !== end) return false;
    end = extent.end;
  }
  return end >= to;
}

/** Tells a disk that does not give from one that does not take. */
async function reading<T>(fileId: number, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof DiskError ? new UnreadableSource(fileId, error) : error;
  }
}

interface ReadPlace<T> {
  readonly place: T;
  /** Undefined where the file ends before. */
  readonly bytes: Uint8Array | undefined;
}

/** Every place, in the order given, those of one read at a time. */
async function* readingPlaces<T extends Place>(
  { file: { fileId }, handle }: Source,
  places: readonly T[],
): AsyncGenerator<readonly ReadPlace<T>[], void, undefined> {
  let next = 0;
  try {
    for await (const span of spansOf(handle, places)) {
      const first = next;
      next += span.length;
      yield places.slice(first, next).map((place, at) => ({ place, bytes: span[at] }));
    }
  } catch (error) {
    throw error instanceof DiskError ? new UnreadableSource(fileId, error) : error;
  }
}
