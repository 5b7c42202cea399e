/**
 * One group commit while it is being gathered, and its bytes when it is written.
 *
 * The members keep their place in the group that gathers, in fields that are the group's: over thousands of logs each
 * batch is a row, and a map of them costs more than the row.
 */
import type { LogId, Offset } from '@sluice/base';
import { offset } from '@sluice/base';
import { baseOffsetOf, batchBytesAt, crc32c, endOffsetOf, maxTimestampOf } from '@sluice/record';
import { aligned, FrameKind, frameHeaderBytes, writeFrameHeader } from './frame.ts';
import { Gather, type Staging } from './gather.ts';
import type { AppliedAt, LogIndex } from './log-index.ts';
import { type RaftEntryRow, type Row, RowWriter, type RunRow } from './rows.ts';
import { headCrc } from './whole-batches.ts';

/** A run goes on in a new row from here on, so that rows are a sparse index. */
const runBytesMax = 256 * 1024;
/** About what a row takes in the table. */
export const rowBytes = 40;

/** Told about a group in the order in which they first took part. */
export interface GroupMember {
  /** The newest group that it took part in, 0 before the first. Set by the group. */
  memberOf: number;
  onGroupDurable(group: number): void;
}

/** A member that has batches. */
export interface LogMember extends GroupMember {
  readonly id: LogId;
  /** In that group, the row that takes its next batches; −1 when none does. Set by the group. */
  openRow: number;
  /** What is durable of it. */
  index(): LogIndex;
}

/** A part of a backing store. */
export interface StoredBytes {
  /** All of it. */
  readonly store: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Bytes of one backing store, which grow while what is added follows on: a view is made when they are written. */
type Piece = { -readonly [Key in keyof StoredBytes]: StoredBytes[Key] };

/** A run and its bytes, of which the first piece is mostly the only one: one object for a batch. */
class PendingRun implements RunRow {
  readonly kind = 'run';
  readonly log: LogMember;
  readonly previousGroup: number;
  readonly base: Offset;
  end: Offset;
  payloadAt = 0;
  bytes = 0;
  headsCrc = 0;
  maxTimestampMs = 0;
  readonly store: Uint8Array;
  readonly from: number;
  to: number;
  more: Piece[] | undefined;

  constructor(log: LogMember, previousGroup: number, base: Offset, { store, at }: { store: Uint8Array; at: number }) {
    this.log = log;
    this.previousGroup = previousGroup;
    this.base = base;
    this.end = base;
    this.store = store;
    this.from = at;
    this.to = at;
  }

  get id(): LogId {
    return this.log.id;
  }

  add(store: Uint8Array, at: number, bytes: number): void {
    this.end = offset(endOffsetOf(store, at));
    this.bytes += bytes;
    this.headsCrc = headCrc(store, at, this.headsCrc);
    this.maxTimestampMs = Math.max(this.maxTimestampMs, maxTimestampOf(store, at));
    const last = this.more?.at(-1) ?? this;
    if (last.store === store && last.to === at) last.to += bytes;
    else (this.more ??= []).push({ store, from: at, to: at + bytes });
  }
}

class PendingEntry implements RaftEntryRow {
  readonly kind = 'raft-entry';
  readonly previousGroup: number;
  readonly index: RaftEntryRow['index'];
  readonly term: RaftEntryRow['term'];
  readonly entryKind: number;
  payloadAt = 0;
  readonly bytes: number;
  readonly crc: number;
  readonly payload: Uint8Array;

  constructor(entry: NewRaftEntry, payload: Uint8Array) {
    this.previousGroup = entry.previousGroup;
    this.index = entry.index;
    this.term = entry.term;
    this.entryKind = entry.entryKind;
    this.bytes = payload.length;
    this.crc = crc32c(payload);
    this.payload = payload;
  }
}

type NewRaftEntry = Omit<RaftEntryRow, 'kind' | 'payloadAt' | 'bytes' | 'crc'>;
type PlainRow = Exclude<Row, RunRow | RaftEntryRow>;

export class Group {
  readonly number: number;
  /** On the monotonic clock, of the first row. */
  readonly openedAtMs: number;
  readonly #rows: (PendingRun | PendingEntry | PlainRow)[] = [];
  readonly #members: GroupMember[] = [];
  #payloadBytes = 0;

  constructor(number: number, openedAtMs: number) {
    this.number = number;
    this.openedAtMs = openedAtMs;
  }

  get rowCount(): number {
    return this.#rows.length;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  get bytes(): number {
    return this.#payloadBytes + this.#rows.length * rowBytes;
  }

  /** Tells the member when the group is durable, also when it has no row in it. */
  join(member: GroupMember): void {
    if (member.memberOf === this.number) return;
    member.memberOf = this.number;
    this.#members.push(member);
  }

  /** Whole batches that follow what the log holds. */
  addBatches(log: LogMember, { store, from, to }: StoredBytes, previousGroup: number): void {
    if (log.memberOf !== this.number) log.openRow = -1;
    // To V8 an index below 0 is the name of a property, for which it looks a tenth of the time that an append takes.
    let open = log.openRow < 0 ? undefined : this.#rows[log.openRow];
    let previous = previousGroup;
    for (let at = from; at < to; ) {
      const bytes = batchBytesAt(store, at);
      let run = open instanceof PendingRun && open.bytes < runBytesMax ? open : undefined;
      if (run === undefined) {
        run = new PendingRun(log, previous, offset(baseOffsetOf(store, at)), { store, at });
        log.openRow = this.#rows.push(run) - 1;
        previous = this.number;
        open = run;
      }
      run.add(store, at, bytes);
      at += bytes;
    }
    this.join(log);
    this.#payloadBytes += to - from;
  }

  /** Anything but batches of a log; what it appends afterwards is a new run, so that the order of rows stays true. */
  addLogRow(log: LogMember, row: PlainRow): void {
    log.openRow = -1;
    this.addRow(log, row);
  }

  addRow(member: GroupMember, row: PlainRow): void {
    this.join(member);
    this.#rows.push(row);
  }

  addRaftEntry(member: GroupMember, entry: NewRaftEntry, payload: Uint8Array): void {
    this.join(member);
    this.#rows.push(new PendingEntry(entry, payload));
    this.#payloadBytes += payload.length;
  }

  /** The frame for this place. The staging buffer must be left alone until it is written. */
  encode(place: GroupPlace, staging: Staging): EncodedGroup {
    const of = { group: this.number, appendedMs: place.appendedMs };
    const table = new RowWriter(of, 256 + this.#rows.length * rowBytes);
    let payloadAt = 0;
    for (const row of this.#rows) {
      if (row.kind === 'run' || row.kind === 'raft-entry') {
        row.payloadAt = payloadAt;
        payloadAt += row.bytes;
      }
      table.write(row);
    }
    const tableBytes = table.length;
    const total = aligned(frameHeaderBytes + tableBytes + payloadAt);
    const out = new Gather(staging, total);
    const header = out.reserve(frameHeaderBytes);
    out.add(table.written());
    this.#gather(out);
    out.pad(total);
    const checksum = writeFrameHeader(header, {
      kind: FrameKind.group,
      fileId: place.fileId,
      number: this.number,
      position: place.position,
      tableBytes,
      payloadBytes: payloadAt,
      rowCount: this.#rows.length,
      previousChecksum: place.previousChecksum,
      tableCrc: crc32c(table.written()),
      appendedMs: place.appendedMs,
    });
    const payloadPosition = place.position + frameHeaderBytes + tableBytes;
    return { buffers: out.buffers(), bytes: total, checksum, payloadPosition, appendedMs: place.appendedMs };
  }

  /** It is durable: tells its rows to who keeps what is, then its members. */
  durable(at: AppliedAt, others: { apply(row: Row, at: AppliedAt): void }): void {
    for (const row of this.#rows) {
      if (row instanceof PendingRun) row.log.index().apply(row, at);
      else others.apply(row, at);
    }
    for (const member of this.#members) member.onGroupDurable(this.number);
  }

  /** What lies side by side in one store is one piece, of whichever rows: small batches are copied there in their order. */
  #gather(out: Gather): void {
    const side = new SideBySide(out);
    for (const row of this.#rows) {
      if (row.kind === 'run') {
        side.add(row.store, row.from, row.to);
        if (row.more === undefined) continue;
        for (const { store, from, to } of row.more) side.add(store, from, to);
      } else if (row.kind === 'raft-entry') {
        side.end();
        out.add(row.payload);
      }
    }
    side.end();
  }
}

class SideBySide {
  readonly #out: Gather;
  #store: Uint8Array | undefined;
  #from = 0;
  #to = 0;

  constructor(out: Gather) {
    this.#out = out;
  }

  add(store: Uint8Array, from: number, to: number): void {
    if (store === this.#store && from === this.#to) {
      this.#to = to;
      return;
    }
    this.end();
    this.#store = store;
    this.#from = from;
    this.#to = to;
  }

  end(): void {
    if (this.#store !== undefined) this.#out.add(this.#store.subarray(this.#from, this.#to));
    this.#store = undefined;
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
