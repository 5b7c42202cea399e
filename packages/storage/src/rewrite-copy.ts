/**
 * Makes the parts of one sorted set: what lives in files that follow each other, by the live index, log after log, and
 * footers that say what the footers of those files add up to. Called by `Rewriter`, for one set at a time; owns the files
 * that it makes until it has handed them over.
 *
 * What is cut, dropped or deleted after a log was copied is in rows of later files, and the index still knows it: neither
 * needs a word here. What was cut away before is not copied, to the batch.
 */
import type { Clock, LogId } from '@sluice/base';
import { invariant, laterTurn, logKey } from '@sluice/base';
import { baseOffsetOf, batchBytesAt, endOffsetOf } from '@sluice/record';
import type { BatchTransform } from './asked-log.ts';
import { composeLogs, composeRaft, continued, keptEntries } from './compose.ts';
import type { DataDirectory } from './data-directory.ts';
import type { FooterLog } from './footer.ts';
import { logsInTurn } from './in-turns.ts';
import type { FinishedFile } from './live-files.ts';
import { gathered, type LivePiece } from './gathered-pieces.ts';
import type { LogIndex, LogSummary, Segment } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';
import type { RaftSummary, StoredEntry } from './raft-index.ts';
import type { Replay } from './replay.ts';
import { DamagedSource, type Piece, RewriteSources, type Source, UnreadableSource } from './rewrite-source.ts';
import type { SnapshotPlaces } from './snapshot-places.ts';
import { type SetPlace, SortedPart } from './sorted-file.ts';
import { isNoSpace } from './space-ahead.ts';

/** Read at a time, in the order of the files, to be written in the order of the logs. */
const slabBytes = 16 * 1024 * 1024;
/** Logs whose extents are looked up at a time. */
const logsAtOnce = 256;

export interface CopyOptions {
  readonly directory: DataDirectory;
  readonly replay: Replay;
  readonly clock: Clock;
  /** In log order. */
  readonly files: readonly FinishedFile[];
  readonly pathOf: (fileId: number) => string;
  readonly takeFileId: () => number;
  /** A part ends before it grows past this by batches. */
  readonly partBytesMax: number;
  /** What a log has in several files is one segment when it was appended within this time. */
  readonly segmentAgeMsMax: number;
  /** Resolves when so many bytes may be written; rejects when the copy is to be given up. */
  readonly mayWrite: (bytes: number) => Promise<void>;
  readonly transformOf: (id: LogId) => BatchTransform | undefined;
}

export interface CopiedSet {
  readonly parts: readonly FinishedFile[];
  /** Where each log's bytes lie now, for `LogIndex.moveSegments`. */
  readonly moved: ReadonlyMap<LogIndex, readonly Segment[]>;
  /** And its state snapshots, for `LogIndex.moveSnapshots`. */
  readonly snapshots: ReadonlyMap<LogIndex, SnapshotPlaces>;
  readonly batchBytes: number;
}

interface ComposedLog {
  readonly key: string;
  summary: LogSummary;
}

/** One log in the set, as far as it was written. */
interface OpenLog {
  readonly summary: LogSummary;
  readonly index: LogIndex | undefined;
  /** Its start when it was looked up: one that moved on in between would leave a gap. */
  readonly start: number;
  readonly snapshots: readonly StateSnapshot[];
  begun: boolean;
  /** The newest append of the segment that is written. */
  segmentMs: number | undefined;
  /** The oldest append that began it. */
  firstMs: number;
}

/** Rejects with `DamagedSource`, `UnreadableSource`, what `mayWrite` rejects with, or `DiskError` when it cannot write. */
export async function copySet(options: CopyOptions): Promise<CopiedSet> {
  const sources = new RewriteSources(options.clock);
  const copy = new SetCopy(options, sources);
  try {
    for (const file of options.files) await sources.open(options.directory.disk, file, options.pathOf(file.fileId));
    return await copy.run();
  } catch (error) {
    // After any other the log has failed: nothing more is written (S2), and recovery removes what is there.
    if (isHarmless(error, options.directory)) await copy.abandon();
    throw error;
  } finally {
    await sources.close();
  }
}

/** The copy was stopped: the log is closed, or failed. */
export class RewriteStopped extends Error {
  override readonly name = 'RewriteStopped';
}

/**
 * No set is made, and the log goes on. A directory whose sync failed may have lost any name in it, also one that the log
 * stands on.
 */
export const isHarmless = (error: unknown, { path }: DataDirectory): boolean =>
  error instanceof DamagedSource ||
  error instanceof UnreadableSource ||
  error instanceof RewriteStopped ||
  (isNoSpace(error) && error.path !== path);

class SetCopy {
  readonly #options: CopyOptions;
  readonly #sources: RewriteSources;
  readonly #parts: FinishedFile[] = [];
  readonly #made: string[] = [];
  readonly #moved = new Map<LogIndex, Segment[]>();
  readonly #snapshots = new Map<LogIndex, SnapshotPlaces>();
  #part: SortedPart | undefined;
  #topicId = '';
  #batchBytes = 0;
  #slab = new Uint8Array(0);

  constructor(options: CopyOptions, sources: RewriteSources) {
    this.#options = options;
    this.#sources = sources;
  }

  async run(): Promise<CopiedSet> {
    const { directory } = this.#options;
    const logs = await this.#composedLogs();
    await this.#raft(await this.#beginPart());
    for (let from = 0; from < logs.length; from += logsAtOnce) await this.#logs(logs.slice(from, from + logsAtOnce));
    await this.#finishPart();
    await this.#options.mayWrite(0);
    await directory.disk.syncDirectory(directory.path);
    return { parts: this.#parts, moved: this.#moved, snapshots: this.#snapshots, batchBytes: this.#batchBytes };
  }

  /** Closes and removes what was made so far, as far as the disk lets it; recovery removes the rest. */
  async abandon(): Promise<void> {
    const { disk } = this.#options.directory;
    await this.#part?.close();
    for (const path of this.#made) if (await disk.exists(path)) await disk.remove(path);
  }

  /** In the order of the set: a topic's logs beside each other, so that what is deleted together lies together. */
  async #composedLogs(): Promise<readonly ComposedLog[]> {
    const composed = new Map<string, ComposedLog>();
    for (const { footer, path, file } of this.#sources.all) {
      for (const [at, { summary }] of footer.footer.logs.entries()) {
        if (at % logsInTurn === logsInTurn - 1) await laterTurn(this.#options.clock);
        const key = logKey(summary.id);
        const before = composed.get(key);
        if (before === undefined) {
          composed.set(key, { key, summary });
          continue;
        }
        const both = composeLogs(before.summary, summary);
        if (both === undefined) throw new DamagedSource(`${path}: it does not follow the file before`, file.fileId);
        before.summary = both;
      }
    }
    return [...composed.values()].toSorted((one, other) => (one.key < other.key ? -1 : 1));
  }

  async #raft(part: SortedPart): Promise<void> {
    let summary: RaftSummary | undefined;
    let kept: { readonly source: Source; entries: readonly StoredEntry[] }[] = [];
    for (const source of this.#sources.all) {
      const { raft } = source.footer.footer;
      if (raft === undefined) continue;
      const both = summary === undefined ? raft.summary : composeRaft(summary, raft.summary);
      if (both === undefined)
        throw new DamagedSource(`${source.path}: its Raft state follows no file`, source.file.fileId);
      summary = both;
      kept = kept.map((of) => ({ ...of, entries: keptEntries(of.entries, raft.summary) }));
      kept.push({ source, entries: await this.#sources.raftEntries(source) });
    }
    if (summary === undefined) return;
    // What later files discard, durably, is not carried on.
    const { firstIndex } = this.#options.replay.raft;
    part.beginRaft({ ...summary, keepFrom: Math.max(summary.keepFrom, firstIndex) });
    for (const { source, entries: all } of kept) {
      const entries = all.filter(({ index }) => index >= firstIndex);
      let at = 0;
      for await (const payload of this.#sources.raftPayloads(source, entries)) {
        const entry = entries[at];
        at += 1;
        if (entry !== undefined) await part.addRaftEntry(entry, payload);
      }
    }
    await part.flush();
  }

  /** A number of logs: their extents are looked up together, their batches read together as far as memory goes. */
  async #logs(logs: readonly ComposedLog[]): Promise<void> {
    const { replay, files } = this.#options;
    const from = new Set(files.map(({ fileId }) => fileId));
    const found = logs.map(({ key, summary }) => {
      const index = replay.logs.get(key);
      return { summary, index, segments: index?.segmentsIn(from) ?? [] };
    });
    const segments = found.flatMap(({ index, segments: of }) =>
      index === undefined ? [] : of.map((segment) => ({ index, segment })),
    );
    const extents = await this.#sources.extentsOf(segments);
    const snapshots = await this.#sources.snapshotsOf(found.flatMap(({ index }) => index ?? []));
    let at = 0;
    let pieces: Piece[] = [];
    let bytes = 0;
    let waiting: OpenLog[] = [];
    const flush = async (): Promise<void> => {
      await this.#copy(waiting, pieces, bytes);
      pieces = [];
      bytes = 0;
      waiting = [];
    };
    for (const { summary, index, segments: of } of found) {
      const start = index?.start ?? 0;
      const kept = (index && snapshots.get(index)) ?? [];
      waiting.push({ summary, index, start, snapshots: kept, begun: false, segmentMs: undefined, firstMs: 0 });
      for (const segment of of) {
        const list = extents[at];
        at += 1;
        if (index === undefined || list === undefined) continue;
        for (let n = 0; n < list.length; n += 1) {
          const extent = list.at(n);
          if (extent === undefined || extent.end <= start || extent.base >= segment.end) continue;
          pieces.push({ index, segment, extent, at: bytes });
          bytes += extent.bytes;
          if (bytes < slabBytes) continue;
          const open = waiting.at(-1);
          await flush();
          if (open !== undefined) waiting = [open];
        }
      }
    }
    await flush();
  }

  /** Writes these logs, with these pieces of them, in their order. The last one may go on. */
  async #copy(logs: readonly OpenLog[], pieces: readonly Piece[], bytes: number): Promise<void> {
    if (this.#slab.length < bytes) this.#slab = new Uint8Array(Math.max(bytes, Math.min(slabBytes, bytes * 2)));
    await this.#sources.fill(this.#slab, pieces);
    let next = 0;
    for (const log of logs) {
      if (!log.begun) await this.#beginLog(log);
      const first = next;
      while (pieces[next] !== undefined && pieces[next]?.index === log.index) next += 1;
      await this.#log(log, pieces.slice(first, next));
    }
    // The slab is filled again.
    await this.#part?.flush();
  }

  async #beginLog(log: OpenLog): Promise<void> {
    const { topicId } = log.summary.id;
    const isNewTopic = topicId !== this.#topicId;
    this.#topicId = topicId;
    let part = this.#part ?? (await this.#beginPart());
    if (isNewTopic && part.batchBytes > this.#options.partBytesMax / 4) part = await this.#nextPart();
    log.begun = true;
    part.beginSegment(log.summary, log.snapshots);
  }

  /** These pieces of it, in their order. */
  async #log(log: OpenLog, pieces: readonly Piece[]): Promise<void> {
    const { index } = log;
    const transform = index === undefined ? undefined : this.#options.transformOf(index.id);
    if (transform === undefined) {
      for (const { segment, live } of this.#liveIn(log, pieces)) await this.#add(log, segment, live);
      return;
    }
    for (const { segment, batches } of gathered(this.#liveIn(log, pieces))) {
      const given = await transform(batches);
      invariant(coversSame(batches, given), 'a transform keeps the offsets of a log', { ...index?.id });
      await this.#add(log, segment, given);
    }
  }

  *#liveIn(log: OpenLog, pieces: readonly Piece[]): Generator<LivePiece, void, undefined> {
    for (const piece of pieces) {
      const { segment, extent } = piece;
      // Behind it lie batches that were cut away while the file was written.
      const to = Math.min(extent.end, segment.end);
      const live = livePart(this.#sources.checked(this.#slab, piece), { from: log.start, to });
      if (live === undefined) throw this.#sources.damaged(piece);
      if (live.length > 0) yield { segment, live };
    }
  }

  async #add(log: OpenLog, segment: Segment, batches: Uint8Array): Promise<void> {
    const { partBytesMax, segmentAgeMsMax } = this.#options;
    let part = this.#part ?? (await this.#beginPart());
    if (part.batchBytes > 0 && part.bytes + batches.length > partBytesMax) {
      part = await this.#nextPart();
      log.segmentMs = undefined;
      part.beginSegment(continued(log.summary));
    }
    if (log.segmentMs === undefined) log.firstMs = segment.appendedMs;
    else if (segment.appendedMs > log.segmentMs && segment.appendedMs - log.firstMs > segmentAgeMsMax) {
      part.beginSegment(continued(log.summary));
      log.firstMs = segment.appendedMs;
      log.segmentMs = undefined;
    }
    log.segmentMs = Math.max(log.segmentMs ?? 0, segment.appendedMs);
    part.noteAppended(log.segmentMs);
    await part.addBatches(batches);
    this.#batchBytes += batches.length;
  }

  async #nextPart(): Promise<SortedPart> {
    await this.#finishPart();
    return this.#beginPart();
  }

  async #beginPart(): Promise<SortedPart> {
    const { directory, clock, takeFileId, mayWrite } = this.#options;
    const header = this.#sources.all[0]?.header;
    invariant(header !== undefined, 'a set has a file to stand for');
    const fileId = takeFileId();
    const part = await SortedPart.begin(
      directory,
      { ...header, fileId },
      { clock, onPath: (path) => this.#made.push(path), mayWrite },
    );
    this.#part = part;
    return part;
  }

  async #finishPart(): Promise<void> {
    const part = this.#part;
    const last = this.#sources.all.at(-1)?.footer;
    if (part === undefined || last === undefined) return;
    const { group, previousChecksum, appendedMs } = last;
    const place: SetPlace = { group, previousChecksum, appendedMs };
    const { file, footer } = await part.finish(place);
    this.#part = undefined;
    this.#parts.push(file);
    for (const [at, log] of footer.logs.entries()) {
      if (at % logsInTurn === logsInTurn - 1) await laterTurn(this.#options.clock);
      this.#note(file.fileId, log);
    }
  }

  #note(fileId: number, { summary, section, snapshots }: FooterLog): void {
    const { id, base, segmentEnd: end, bytes, appendedMs, maxTimestampMs } = summary;
    const index = this.#options.replay.logs.get(logKey(id));
    if (index === undefined) return;
    if (snapshots.length > 0) {
      const places = snapshots.map((snapshot) => ({ fileId, ...snapshot }));
      this.#snapshots.set(index, places);
    }
    if (base === undefined) return;
    const segments = this.#moved.get(index) ?? [];
    segments.push({ fileId, base, end, bytes, appendedMs, maxTimestampMs, extents: section });
    this.#moved.set(index, segments);
  }
}

/** The batches that end behind `from` and no later than `to`; undefined when none ends there. */
function livePart(
  batches: Uint8Array,
  { from, to }: { readonly from: number; readonly to: number },
): Uint8Array | undefined {
  let first = 0;
  let last = 0;
  let lastEnd = 0;
  for (let at = 0; at < batches.length; ) {
    const end = at + batchBytesAt(batches, at);
    if (endOffsetOf(batches, at) > to || baseOffsetOf(batches, at) >= to) break;
    if (endOffsetOf(batches, at) <= from) first = end;
    last = end;
    lastEnd = endOffsetOf(batches, at);
    at = end;
  }
  return lastEnd === to ? batches.subarray(first, Math.max(first, last)) : undefined;
}

/** Whole batches over the same offsets, without a gap. */
function coversSame(before: Uint8Array, after: Uint8Array): boolean {
  const found = [before, after].map((batches) => {
    const base = baseOffsetOf(batches, 0);
    let next = base;
    let at = 0;
    while (at < batches.length && baseOffsetOf(batches, at) === next && batchBytesAt(batches, at) > 0) {
      next = endOffsetOf(batches, at);
      at += batchBytesAt(batches, at);
    }
    return at === batches.length ? `${base} to ${next}` : undefined;
  });
  return found[0] !== undefined && found[0] === found[1];
}
