/**
 * One group commit while it is being gathered, and its bytes when it is written.
 *
 * Small pieces are copied into one staging buffer that is used again for the next group, large ones are written from
 * where they lie: few buffers to a write, and no copy of what is large.
 */
import type { LogId } from '@sluice/base';
import { offset } from '@sluice/base';
import { baseOffsetOf, batchBytesAt, crc32c, endOffsetOf, maxTimestampOf } from '@sluice/record';
import { ByteWriter } from './binary.ts';
import { aligned, FrameKind, frameHeaderBytes, writeFrameHeader } from './frame.ts';
import { type RaftEntryRow, type Row, type RunRow, writeRow } from './rows.ts';
import { headCrc } from './whole-batches.ts';

/** A run goes on in a new row from here on, so that rows are a sparse index. */
const runBytesMax = 256 * 1024;
/** From this size on a buffer is written from where it lies. */
const largeBytes = 16 * 1024;
/** About what a row takes in the table. */
const rowBytes = 80;

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type PendingRun = Mutable<RunRow>;

/** Bytes of one backing store, which grow while what is added follows on: a view is made when they are written. */
interface Piece {
  readonly store: ArrayBufferLike;
  readonly from: number;
  to: number;
}

/** Told about a group in the order in which they first took part. */
export interface GroupMember {
  onGroupDurable(group: number): void;
}

export class Group {
  readonly number: number;
  /** On the monotonic clock, of the first row. */
  readonly openedAtMs: number;
  readonly rows: Row[] = [];
  /** What each row adds to the payload. */
  readonly #pieces: Piece[][] = [];
  /** The row that takes the next batches of a log. */
  readonly #openRuns = new Map<GroupMember, { readonly row: PendingRun; readonly pieces: Piece[] }>();
  readonly #members = new Set<GroupMember>();
  #payloadBytes = 0;

  constructor(number: number, openedAtMs: number) {
    this.number = number;
    this.openedAtMs = openedAtMs;
  }

  get rowCount(): number {
    return this.rows.length;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  get bytes(): number {
    return this.#payloadBytes + this.rows.length * rowBytes;
  }

  get members(): Iterable<GroupMember> {
    return this.#members;
  }

  /** Tells the member when the group is durable, also when it has no row in it. */
  join(member: GroupMember): void {
    this.#members.add(member);
  }

  /** Whole batches that follow what the log holds. */
  addBatches(
    member: GroupMember,
    batches: Uint8Array,
    log: { readonly id: LogId; readonly previousGroup: number },
  ): void {
    let run = this.#openRuns.get(member);
    let { previousGroup } = log;
    for (let at = 0; at < batches.length; ) {
      const bytes = batchBytesAt(batches, at);
      if (run === undefined || run.row.bytes >= runBytesMax) {
        const base = offset(baseOffsetOf(batches, at));
        const row = {
          kind: 'run',
          id: log.id,
          previousGroup,
          base,
          end: base,
          payloadAt: 0,
          bytes: 0,
          headsCrc: 0,
          maxTimestampMs: 0,
        } as const;
        run = { row, pieces: [] };
        this.#push(run.row, run.pieces);
        this.#openRuns.set(member, run);
        this.#members.add(member);
        previousGroup = this.number;
      }
      run.row.end = offset(endOffsetOf(batches, at));
      run.row.bytes += bytes;
      run.row.headsCrc = headCrc(batches, at, run.row.headsCrc);
      run.row.maxTimestampMs = Math.max(run.row.maxTimestampMs, maxTimestampOf(batches, at));
      addPiece(run.pieces, batches, { from: at, bytes });
      at += bytes;
    }
    this.#payloadBytes += batches.length;
  }

  /** Anything but batches; what the log appends afterwards is a new run, so that the order of rows stays true. */
  addRow(member: GroupMember, row: Exclude<Row, RunRow | RaftEntryRow>): void {
    this.#openRuns.delete(member);
    this.#members.add(member);
    this.#push(row, []);
  }

  addRaftEntry(
    member: GroupMember,
    entry: Omit<RaftEntryRow, 'kind' | 'payloadAt' | 'bytes' | 'crc'>,
    payload: Uint8Array,
  ): void {
    this.#members.add(member);
    const row: RaftEntryRow = {
      kind: 'raft-entry',
      ...entry,
      payloadAt: 0,
      bytes: payload.length,
      crc: crc32c(payload),
    };
    const pieces: Piece[] = [];
    if (payload.length > 0) addPiece(pieces, payload, { from: 0, bytes: payload.length });
    this.#push(row, pieces);
    this.#payloadBytes += payload.length;
  }

  /** The frame for this place. The staging buffer must be left alone until it is written. */
  encode(place: GroupPlace, staging: Staging): EncodedGroup {
    const table = new ByteWriter(256 + this.rows.length * rowBytes);
    let payloadAt = 0;
    for (const [at, row] of this.rows.entries()) {
      if ('payloadAt' in row) (row as Mutable<RunRow | RaftEntryRow>).payloadAt = payloadAt;
      for (const { from, to } of this.#pieces[at] ?? []) payloadAt += to - from;
      writeRow(table, row);
    }
    const tableBytes = table.length;
    const total = aligned(frameHeaderBytes + tableBytes + payloadAt);
    const out = new Gather(staging, total);
    const header = out.reserve(frameHeaderBytes);
    out.add(table.written());
    for (const pieces of this.#pieces) {
      for (const { store, from, to } of pieces) out.add(new Uint8Array(store, from, to - from));
    }
    out.pad(total);
    const checksum = writeFrameHeader(header, {
      kind: FrameKind.group,
      fileId: place.fileId,
      number: this.number,
      position: place.position,
      tableBytes,
      payloadBytes: payloadAt,
      rowCount: this.rows.length,
      previousChecksum: place.previousChecksum,
      tableCrc: crc32c(table.written()),
      appendedMs: place.appendedMs,
    });
    const payloadPosition = place.position + frameHeaderBytes + tableBytes;
    return { buffers: out.buffers(), bytes: total, checksum, payloadPosition, appendedMs: place.appendedMs };
  }

  #push(row: Row, pieces: Piece[]): void {
    this.rows.push(row);
    this.#pieces.push(pieces);
  }
}

export interface GroupPlace {
  readonly fileId: number;
  readonly position: number;
  readonly previousChecksum: number;
  /** Of the wall clock; a position like the others, so neither negative nor a fraction. */
  readonly appendedMs: number;
}

export interface EncodedGroup {
  readonly buffers: readonly Uint8Array[];
  readonly bytes: number;
  readonly checksum: number;
  /** Where the payload begins in the file. */
  readonly payloadPosition: number;
  readonly appendedMs: number;
}

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

class Gather {
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

/** What lies behind the last piece in the same backing store is one piece with it. */
function addPiece(pieces: Piece[], of: Uint8Array, { from, bytes }: { from: number; bytes: number }): void {
  const last = pieces[pieces.length - 1];
  const start = of.byteOffset + from;
  if (last !== undefined && last.store === of.buffer && last.to === start) last.to += bytes;
  else pieces.push({ store: of.buffer, from: start, to: start + bytes });
}
