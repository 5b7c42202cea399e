/**
 * The rows of a group's table: everything that can happen to a log or to the Raft state, in the order it was asked for.
 * `apply` of `LogIndex` and `RaftIndex` replays them, live and on recovery.
 *
 * Each row carries the number of the group that touched its log (or the Raft state) before: a row that follows a hole
 * proves, by naming a group before the hole, that nothing of its log was lost in it.
 */
import type { LogId, LogIndex, Offset, Term } from '@sluice/base';
import {
  type ByteReader,
  type ByteWriter,
  isIdentity,
  logIndex,
  LogKind,
  offset,
  partitionIndex,
  putPosition,
  term,
  topicId,
} from '@sluice/base';

interface LogRow {
  readonly id: LogId;
  readonly previousGroup: number;
}

/** Contiguous whole batches of one log. A long run of one commit is several rows, so that the rows are a sparse index. */
export interface RunRow extends LogRow {
  readonly kind: 'run';
  readonly base: Offset;
  readonly end: Offset;
  /** In the frame's payload. */
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
} as const satisfies Record<Row['kind'], number>;

const logKinds = Object.values(LogKind);
const logIdBytes = 21;
const runRowBytes = 66;

export function writeLogId(writer: ByteWriter, id: LogId): void {
  const at = writer.skip(logIdBytes);
  putLogId(writer.view, at, id);
}

function putLogId(view: DataView, at: number, { topicId: text, partition, kind }: LogId): void {
  const topic = text === lastWritten.text ? lastWritten : topicWords(text);
  view.setUint32(at, topic.words[0]);
  view.setUint32(at + 4, topic.words[1]);
  view.setUint32(at + 8, topic.words[2]);
  view.setUint32(at + 12, topic.words[3]);
  view.setUint32(at + 16, partition);
  view.setUint8(at + 20, kind);
}

/** The id of a topic as it is written. */
interface TopicWords {
  readonly text: string;
  readonly words: readonly [number, number, number, number];
}

/** The last one: rows of a topic mostly follow each other. */
let lastWritten: TopicWords = { text: '', words: [0, 0, 0, 0] };
/** Of busy topics; emptied when it is full. */
const written = new Map<string, TopicWords>();
const writtenMax = 1024;

function topicWords(text: string): TopicWords {
  let topic = written.get(text);
  if (topic === undefined) {
    const word = (at: number): number => Number.parseInt(text.slice(at * 8, at * 8 + 8), 16);
    topic = { text, words: [word(0), word(1), word(2), word(3)] };
    if (written.size >= writtenMax) written.clear();
    written.set(text, topic);
  }
  lastWritten = topic;
  return topic;
}

/** The last one read: the logs of a topic follow each other, and share its id. */
let lastRead: TopicWords = { text: '0'.repeat(32), words: [0, 0, 0, 0] };

function readTopic(reader: ByteReader): string {
  const words = [reader.u32(), reader.u32(), reader.u32(), reader.u32()] as const;
  const last = lastRead.words;
  if (words[0] === last[0] && words[1] === last[1] && words[2] === last[2] && words[3] === last[3])
    return lastRead.text;
  // In one piece: a text that is put together from parts keeps them.
  const digits = words.map((word) => word.toString(16).padStart(8, '0'));
  lastRead = { text: Array.from(digits.join('')).join(''), words };
  return lastRead.text;
}

export function readLogId(reader: ByteReader): LogId {
  const topic = readTopic(reader);
  const partition = reader.u32();
  const kind = reader.u8();
  const known = logKinds.find((value) => value === kind);
  if (reader.failed || !isIdentity(topic) || partition > 0x7fff_ffff || known === undefined) {
    reader.fail();
    return { topicId: topicId('0'.repeat(32)), partition: partitionIndex(0), kind: LogKind.data };
  }
  return { topicId: topicId(topic), partition: partitionIndex(partition), kind: known };
}

export function writeRow(writer: ByteWriter, row: Row): void {
  if (row.kind === 'run') {
    writeRun(writer, row);
    return;
  }
  writer.u8(codes[row.kind]);
  writer.u64(row.previousGroup);
  if ('id' in row) writeLogId(writer, row.id);
  switch (row.kind) {
    case 'truncate':
    case 'start':
      writer.u64(row.to);
      break;
    case 'lossy':
      writer.u64(row.intactEnd);
      writer.u8(row.knownEnd === undefined ? 0 : 1);
      writer.u64(row.knownEnd ?? 0);
      writer.text(row.where);
      break;
    case 'raft-hard-state':
      writer.u64(row.term);
      writer.text(row.votedFor);
      break;
    case 'raft-entry':
      writer.u64(row.index);
      writer.u64(row.term);
      writer.u8(row.entryKind);
      writer.u32(row.payloadAt);
      writer.u32(row.bytes);
      writer.u32(row.crc);
      break;
    case 'raft-truncate':
      writer.u64(row.from);
      break;
    case 'delete':
    case 'healed':
    case 'raft-doubtful':
    case 'raft-healed':
      break;
  }
}

/** In one piece: over thousands of logs every batch has one. */
function writeRun(writer: ByteWriter, row: RunRow): void {
  const at = writer.skip(runRowBytes);
  const { view } = writer;
  view.setUint8(at, codes.run);
  putPosition(view, at + 1, row.previousGroup);
  putLogId(view, at + 9, row.id);
  putPosition(view, at + 30, row.base);
  putPosition(view, at + 38, row.end);
  view.setUint32(at + 46, row.payloadAt);
  view.setUint32(at + 50, row.bytes);
  view.setUint32(at + 54, row.headsCrc);
  putPosition(view, at + 58, row.maxTimestampMs);
}

/** The next row, or undefined when the bytes are none; the reader has then failed. */
export function readRow(reader: ByteReader): Row | undefined {
  const code = reader.u8();
  const previousGroup = reader.u64();
  const row =
    code === codes.run || (code >= codes.truncate && code <= codes.healed)
      ? readLogRow(reader, code, previousGroup)
      : readRaftRow(reader, code, previousGroup);
  if (row === undefined) reader.fail();
  return reader.failed ? undefined : row;
}

function readLogRow(reader: ByteReader, code: number, previousGroup: number): Row | undefined {
  const id = readLogId(reader);
  switch (code) {
    case codes.run:
      return {
        kind: 'run',
        id,
        previousGroup,
        base: offset(reader.u64()),
        end: offset(reader.u64()),
        payloadAt: reader.u32(),
        bytes: reader.u32(),
        headsCrc: reader.u32(),
        maxTimestampMs: reader.u64(),
      };
    case codes.truncate:
      return { kind: 'truncate', id, previousGroup, to: offset(reader.u64()) };
    case codes.start:
      return { kind: 'start', id, previousGroup, to: offset(reader.u64()) };
    case codes.delete:
      return { kind: 'delete', id, previousGroup };
    case codes.healed:
      return { kind: 'healed', id, previousGroup };
    case codes.lossy: {
      const intactEnd = offset(reader.u64());
      const known = reader.u8() === 1;
      const end = reader.u64();
      const where = reader.text() ?? '';
      return { kind: 'lossy', id, previousGroup, intactEnd, knownEnd: known ? offset(end) : undefined, where };
    }
    default:
      return undefined;
  }
}

function readRaftRow(reader: ByteReader, code: number, previousGroup: number): Row | undefined {
  switch (code) {
    case codes['raft-hard-state']:
      return { kind: 'raft-hard-state', previousGroup, term: term(reader.u64()), votedFor: reader.text() };
    case codes['raft-entry']:
      return {
        kind: 'raft-entry',
        previousGroup,
        index: logIndex(reader.u64()),
        term: term(reader.u64()),
        entryKind: reader.u8(),
        payloadAt: reader.u32(),
        bytes: reader.u32(),
        crc: reader.u32(),
      };
    case codes['raft-truncate']:
      return { kind: 'raft-truncate', previousGroup, from: logIndex(reader.u64()) };
    case codes['raft-doubtful']:
      return { kind: 'raft-doubtful', previousGroup };
    case codes['raft-healed']:
      return { kind: 'raft-healed', previousGroup };
    default:
      return undefined;
  }
}
