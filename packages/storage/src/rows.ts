/**
 * The rows of a group's table: everything that can happen to a log or to the Raft state, in the order it was asked for.
 * `apply` of `LogIndex` and `RaftIndex` replays them, live and on recovery.
 *
 * Each row carries the number of the group that touched its log (or the Raft state) before: a row that follows a hole
 * proves, by naming a group before the hole, that nothing of its log was lost in it.
 *
 * Over thousands of logs each batch has a row, so that most fields are varints, of what is small: the groups since that
 * one, the offsets of a run, its newest time before or behind that of the group. Where a payload begins follows from the
 * rows before. A run takes about 16 bytes.
 */
import type { LogId, LogIndex, Offset, Term } from '@sluice/base';
import { ByteReader, ByteWriter, isPosition, logIndex, offset, term } from '@sluice/base';
import { LogIdReader, LogIdWriter } from './log-id-bytes.ts';
import { type RaftSnapshotRef, readRaftSnapshotRef, writeRaftSnapshotRef } from './raft-snapshot-file.ts';

interface LogRow {
  readonly id: LogId;
  readonly previousGroup: number;
}

/** Contiguous whole batches of one log. A long run of one commit is several rows, so that the rows are a sparse index. */
export interface RunRow extends LogRow {
  readonly kind: 'run';
  readonly base: Offset;
  readonly end: Offset;
  /** In the frame's payload, which the rows fill in their order. */
  readonly payloadAt: number;
  readonly bytes: number;
  /** Over the parts of the batches that their own CRC leaves out and the CRC itself: with it, over every byte. */
  readonly headsCrc: number;
  /** The newest of its records, as their producers say; see `maxTimestampOf`. */
  readonly maxTimestampMs: number;
}

export interface RaftHardStateRow {
  readonly kind: 'raft-hard-state';
  readonly previousGroup: number;
  readonly term: Term;
  readonly votedFor: string | null;
}

export interface RaftEntryRow {
  readonly kind: 'raft-entry';
  readonly previousGroup: number;
  readonly index: LogIndex;
  readonly term: Term;
  readonly entryKind: number;
  readonly payloadAt: number;
  readonly bytes: number;
  readonly crc: number;
}

export type Row =
  | RunRow
  | (LogRow & { readonly kind: 'truncate'; readonly to: Offset })
  | (LogRow & { readonly kind: 'start'; readonly to: Offset })
  | (LogRow & { readonly kind: 'delete' })
  | (LogRow & { readonly kind: 'healed' })
  | (LogRow & {
      readonly kind: 'lossy';
      readonly intactEnd: Offset;
      readonly knownEnd: Offset | undefined;
      readonly where: string;
    })
  | RaftHardStateRow
  | RaftEntryRow
  | {
      readonly kind: 'raft-snapshot';
      readonly previousGroup: number;
      readonly snapshot: RaftSnapshotRef;
      readonly keepFrom: LogIndex;
      readonly replacesLog: boolean;
    }
  /** The log is lost: it is empty, and starts with no snapshot. */
  | { readonly kind: 'raft-reset'; readonly previousGroup: number }
  | { readonly kind: 'raft-truncate'; readonly previousGroup: number; readonly from: LogIndex }
  | { readonly kind: 'raft-doubtful'; readonly previousGroup: number }
  | { readonly kind: 'raft-healed'; readonly previousGroup: number };

export type LogIdRow = Extract<Row, { readonly id: LogId }>;
export type RaftRow = Exclude<Row, LogIdRow>;

const codes = {
  run: 1,
  'raft-hard-state': 2,
  'raft-entry': 3,
  'raft-truncate': 4,
  truncate: 5,
  delete: 6,
  start: 7,
  lossy: 8,
  healed: 9,
  'raft-doubtful': 10,
  'raft-healed': 11,
  'raft-snapshot': 12,
  'raft-reset': 13,
} as const satisfies Record<Row['kind'], number>;

/** The frame that a table belongs to. */
export interface TableOf {
  readonly group: number;
  readonly appendedMs: number;
}

/** Makes a table. */
export class RowWriter {
  readonly #of: TableOf;
  readonly #writer: ByteWriter;
  readonly #ids: LogIdWriter;

  constructor(of: TableOf, bytes: number) {
    this.#of = of;
    this.#writer = new ByteWriter(bytes);
    this.#ids = new LogIdWriter(this.#writer);
  }

  get length(): number {
    return this.#writer.length;
  }

  written(): Uint8Array {
    return this.#writer.written();
  }

  write(row: Row): void {
    const writer = this.#writer;
    writer.u8(codes[row.kind]);
    writer.integer(this.#of.group - row.previousGroup);
    if (row.kind === 'run') this.#run(row);
    else if ('id' in row) this.#logRow(row);
    else this.#raftRow(row);
  }

  #run(row: RunRow): void {
    const writer = this.#writer;
    this.#ids.write(row.id);
    writer.integer(row.base);
    writer.integer(row.end - row.base);
    writer.integer(row.bytes);
    writer.u32(row.headsCrc);
    writer.integer(this.#of.appendedMs - row.maxTimestampMs);
  }

  #logRow(row: Exclude<LogIdRow, RunRow>): void {
    const writer = this.#writer;
    this.#ids.write(row.id);
    switch (row.kind) {
      case 'truncate':
      case 'start':
        writer.integer(row.to);
        break;
      case 'lossy':
        writer.integer(row.intactEnd);
        writer.u8(row.knownEnd === undefined ? 0 : 1);
        writer.integer(row.knownEnd ?? 0);
        writer.text(row.where);
        break;
      case 'delete':
      case 'healed':
        break;
    }
  }

  #raftRow(row: RaftRow): void {
    const writer = this.#writer;
    switch (row.kind) {
      case 'raft-hard-state':
        writer.integer(row.term);
        writer.text(row.votedFor);
        break;
      case 'raft-entry':
        writer.integer(row.index);
        writer.integer(row.term);
        writer.u8(row.entryKind);
        writer.integer(row.bytes);
        writer.u32(row.crc);
        break;
      case 'raft-snapshot':
        writeRaftSnapshotRef(writer, row.snapshot);
        writer.integer(row.keepFrom);
        writer.u8(row.replacesLog ? 1 : 0);
        break;
      case 'raft-truncate':
        writer.integer(row.from);
        break;
      case 'raft-doubtful':
      case 'raft-healed':
      case 'raft-reset':
        break;
    }
  }
}

/** Of the rows of a table, or undefined when it is none, or speaks of another payload. */
export function readRows(
  table: Uint8Array,
  of: TableOf & { readonly rowCount: number; readonly payloadBytes: number },
): readonly Row[] | undefined {
  const reader = new RowReader(table, of);
  const rows: Row[] = [];
  for (let at = 0; at < of.rowCount; at += 1) {
    const row = reader.next();
    if (row === undefined) return undefined;
    rows.push(row);
  }
  return reader.left === 0 && reader.payloadBytes === of.payloadBytes ? rows : undefined;
}

/** As many bytes as a frame can have; with it sums stay exact. */
const payloadBytesMax = 0xffff_ffff;

export class RowReader {
  readonly #of: TableOf;
  readonly #reader: ByteReader;
  readonly #ids: LogIdReader;
  #payloadBytes = 0;

  constructor(table: Uint8Array, of: TableOf) {
    this.#of = of;
    this.#reader = new ByteReader(table);
    this.#ids = new LogIdReader(this.#reader);
  }

  get left(): number {
    return this.#reader.left;
  }

  /** Of the rows so far. */
  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  /** Undefined when the bytes are no row. */
  next(): Row | undefined {
    const reader = this.#reader;
    const code = reader.u8();
    const previousGroup = this.#of.group - reader.count();
    const isOfLog = code === codes.run || (code >= codes.truncate && code <= codes.healed);
    if (previousGroup < 0) return undefined;
    const row = isOfLog ? this.#logRow(code, previousGroup) : this.#raftRow(code, previousGroup);
    return reader.failed ? undefined : row;
  }

  #logRow(code: number, previousGroup: number): Row | undefined {
    const reader = this.#reader;
    const id = this.#ids.read();
    switch (code) {
      case codes.run:
        return this.#run(id, previousGroup);
      case codes.truncate:
        return { kind: 'truncate', id, previousGroup, to: offset(reader.count()) };
      case codes.start:
        return { kind: 'start', id, previousGroup, to: offset(reader.count()) };
      case codes.delete:
        return { kind: 'delete', id, previousGroup };
      case codes.healed:
        return { kind: 'healed', id, previousGroup };
      case codes.lossy: {
        const intactEnd = offset(reader.count());
        const known = reader.u8() === 1;
        const end = reader.count();
        const where = reader.text() ?? '';
        return { kind: 'lossy', id, previousGroup, intactEnd, knownEnd: known ? offset(end) : undefined, where };
      }
      default:
        return undefined;
    }
  }

  #run(id: LogId, previousGroup: number): Row | undefined {
    const reader = this.#reader;
    const base = reader.count();
    const end = base + reader.count();
    const { payloadAt, bytes } = this.#payload();
    const headsCrc = reader.u32();
    const maxTimestampMs = this.#of.appendedMs - reader.integer();
    if (!isPosition(end) || !isPosition(maxTimestampMs)) return undefined;
    const at = { payloadAt, bytes, headsCrc, maxTimestampMs };
    return { kind: 'run', id, previousGroup, base: offset(base), end: offset(end), ...at };
  }

  #raftRow(code: number, previousGroup: number): Row | undefined {
    const reader = this.#reader;
    switch (code) {
      case codes['raft-hard-state']:
        return { kind: 'raft-hard-state', previousGroup, term: term(reader.count()), votedFor: reader.text() };
      case codes['raft-entry']: {
        const [index, entryTerm, entryKind] = [logIndex(reader.count()), term(reader.count()), reader.u8()];
        const { payloadAt, bytes } = this.#payload();
        const crc = reader.u32();
        return { kind: 'raft-entry', previousGroup, index, term: entryTerm, entryKind, payloadAt, bytes, crc };
      }
      case codes['raft-snapshot']: {
        const snapshot = readRaftSnapshotRef(reader);
        const keepFrom = logIndex(reader.count());
        return { kind: 'raft-snapshot', previousGroup, snapshot, keepFrom, replacesLog: reader.u8() === 1 };
      }
      case codes['raft-reset']:
        return { kind: 'raft-reset', previousGroup };
      case codes['raft-truncate']:
        return { kind: 'raft-truncate', previousGroup, from: logIndex(reader.count()) };
      case codes['raft-doubtful']:
        return { kind: 'raft-doubtful', previousGroup };
      case codes['raft-healed']:
        return { kind: 'raft-healed', previousGroup };
      default:
        return undefined;
    }
  }

  /** Behind that of the rows before. */
  #payload(): { readonly payloadAt: number; readonly bytes: number } {
    const bytes = this.#reader.count();
    const payloadAt = this.#payloadBytes;
    if (bytes > payloadBytesMax - payloadAt) this.#reader.fail();
    else this.#payloadBytes += bytes;
    return { payloadAt, bytes };
  }
}
