/**
 * One part of a sorted set while it is written: a journal header, the payloads of Raft entries, then batches log by log,
 * and a footer that stands for the groups of the files that the set takes the place of. There are no frames but the footer.
 *
 * Written in small pieces, each durable before the next is asked for, so that no sync of the log waits for megabytes.
 */
import type { Clock, DiskFile } from '@sluice/base';
import { baseOffsetOf, batchBytesAt, crc32c, endOffsetOf, maxTimestampOf } from '@sluice/record';
import type { DataDirectory } from './data-directory.ts';
import { ExtentList } from './extents.ts';
import { encodingFooter, type Footer, type FooterSourceLog } from './footer.ts';
import { aligned } from './frame.ts';
import { encodeJournalHeader, type JournalHeader, sortedName } from './journal-file.ts';
import { inTurns } from './in-turns.ts';
import type { FinishedFile } from './live-files.ts';
import { type LogSummary, noSegment } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';
import type { RaftSummary, StoredEntry } from './raft-index.ts';
import { headCrc } from './whole-batches.ts';

/** One write, and what the groups that are committed meanwhile may have to wait for. */
export const pieceBytesMax = 256 * 1024;
/** Neighbouring batches of a log are one extent up to here, so that extents are a sparse index. */
const extentBytesMax = 64 * 1024;

/** What the footers of all parts repeat. */
export interface SetPlace {
  readonly group: number;
  readonly previousChecksum: number;
  readonly appendedMs: number;
}

interface OpenExtent {
  readonly base: number;
  end: number;
  readonly position: number;
  bytes: number;
  headsCrc: number;
  maxTimestampMs: number;
}

interface OpenSegment {
  readonly summary: LogSummary;
  readonly snapshots: readonly StateSnapshot[];
  appendedMs: number;
  readonly extents: ExtentList;
  extent: OpenExtent | undefined;
}

export interface PartOptions {
  readonly clock: Clock;
  /** Called before there is anything at the path. */
  readonly onPath: (path: string) => void;
  /** Asked before each piece is written, and with nothing before it is synced. */
  readonly mayWrite: (bytes: number) => Promise<void>;
}

export interface FinishedPart {
  readonly file: FinishedFile;
  readonly footer: Footer;
}

export class SortedPart {
  readonly fileId: number;
  readonly #file: DiskFile;
  readonly #options: PartOptions;
  #written = 0;
  #piece: Uint8Array[] = [];
  #pieceBytes = 0;
  #batchBytes = 0;
  readonly #logs: FooterSourceLog[] = [];
  #open: OpenSegment | undefined;
  #raft: { readonly summary: RaftSummary; readonly stored: StoredEntry[] } | undefined;

  private constructor(file: DiskFile, fileId: number, options: PartOptions) {
    this.fileId = fileId;
    this.#file = file;
    this.#options = options;
  }

  static async begin(directory: DataDirectory, header: JournalHeader, options: PartOptions): Promise<SortedPart> {
    const { fileId } = header;
    const path = directory.file(sortedName(fileId));
    options.onPath(path);
    const part = new SortedPart(await directory.disk.open(path, 'create'), fileId, options);
    await part.#add(encodeJournalHeader(header));
    return part;
  }

  /** So far, without the footer. */
  get bytes(): number {
    return this.#written + this.#pieceBytes;
  }

  get batchBytes(): number {
    return this.#batchBytes;
  }

  /** Once, before any batches; the entries follow by `addRaftEntry`. */
  beginRaft(summary: RaftSummary): void {
    this.#raft = { summary, stored: [] };
  }

  async addRaftEntry(entry: Omit<StoredEntry, 'position' | 'bytes' | 'crc'>, payload: Uint8Array): Promise<void> {
    const at = { position: this.bytes, bytes: payload.length, crc: crc32c(payload) };
    this.#raft?.stored.push({ ...entry, ...at });
    await this.#add(payload);
  }

  /** The footer says this of the log, keeps these snapshots of it, and says that the batches that follow are all that the part holds of it. */
  beginSegment(summary: LogSummary, snapshots: readonly StateSnapshot[] = []): void {
    this.#endSegment();
    this.#open = { summary, snapshots, appendedMs: 0, extents: new ExtentList(), extent: undefined };
  }

  /** When the newest of the segment was appended. */
  noteAppended(appendedMs: number): void {
    if (this.#open !== undefined) this.#open.appendedMs = appendedMs;
  }

  /** Whole batches that follow each other. They must be left alone until `flush`. */
  async addBatches(batches: Uint8Array): Promise<void> {
    for (let at = 0; at < batches.length; ) {
      const bytes = batchBytesAt(batches, at);
      this.#addToExtent(batches, at, bytes);
      const written = this.#add(batches.subarray(at, at + bytes));
      if (written !== undefined) await written;
      at += bytes;
    }
    this.#batchBytes += batches.length;
  }

  /** Resolves when everything so far is durable. */
  async flush(): Promise<void> {
    if (this.#pieceBytes === 0) return;
    await this.#options.mayWrite(this.#pieceBytes);
    const piece = this.#piece;
    const position = this.#written;
    this.#written += this.#pieceBytes;
    this.#piece = [];
    this.#pieceBytes = 0;
    await this.#file.writeDurable(piece, position);
  }

  /** Resolves when all of it is durable; its name is when the directory is synced. */
  async finish(place: SetPlace): Promise<FinishedPart> {
    this.#endSegment();
    const { fileId } = this;
    const footerAt = aligned(this.bytes);
    await this.#add(new Uint8Array(footerAt - this.bytes));
    const source = { group: place.group, logs: this.#logs, raft: this.#raft, damaged: false };
    const encoding = encodingFooter(source, { ...place, fileId, position: footerAt });
    const { frame, footer } = await inTurns(this.#options.clock, encoding);
    await this.#add(frame);
    await this.flush();
    await this.#options.mayWrite(0);
    await this.#file.sync();
    await this.#file.close();
    return { file: { fileId, footerAt, bytes: this.bytes, batchBytes: this.#batchBytes, damaged: false }, footer };
  }

  /** Nothing of it is wanted; the file stays until somebody removes it. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #endSegment(): void {
    const open = this.#open;
    if (open === undefined) return;
    this.#open = undefined;
    const { summary, snapshots, extents, appendedMs } = open;
    if (open.extent !== undefined) extents.push(open.extent);
    const { base, bytes, maxTimestampMs } = extents;
    const segmentEnd = extents.at(extents.length - 1)?.end ?? 0;
    const segment = base === undefined ? noSegment : { base, segmentEnd, bytes, appendedMs, maxTimestampMs };
    this.#logs.push({ summary: { ...summary, ...segment }, extents, snapshots });
  }

  #addToExtent(batches: Uint8Array, at: number, bytes: number): void {
    const open = this.#open;
    if (open === undefined) return;
    let { extent } = open;
    if (extent === undefined || extent.bytes + bytes > extentBytesMax) {
      if (extent !== undefined) open.extents.push(extent);
      const base = baseOffsetOf(batches, at);
      extent = { base, end: base, position: this.bytes, bytes: 0, headsCrc: 0, maxTimestampMs: 0 };
      open.extent = extent;
    }
    extent.end = endOffsetOf(batches, at);
    extent.bytes += bytes;
    extent.headsCrc = headCrc(batches, at, extent.headsCrc);
    extent.maxTimestampMs = Math.max(extent.maxTimestampMs, maxTimestampOf(batches, at));
  }

  /** Something to wait for when it filled a piece. */
  #add(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#pieceBytes + bytes.length >= pieceBytesMax) return this.#addLarge(bytes);
    if (bytes.length > 0) this.#push(bytes);
    return undefined;
  }

  async #addLarge(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + pieceBytesMax - this.#pieceBytes);
      from += part.length;
      this.#push(part);
      if (this.#pieceBytes >= pieceBytesMax) await this.flush();
    }
  }

  /** What lies behind the last piece in the same memory is one with it: few buffers to a write. */
  #push(part: Uint8Array): void {
    const last = this.#piece.at(-1);
    this.#pieceBytes += part.length;
    if (last !== undefined && last.buffer === part.buffer && last.byteOffset + last.length === part.byteOffset) {
      this.#piece[this.#piece.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + part.length);
    } else this.#piece.push(part);
  }
}
