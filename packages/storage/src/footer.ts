/**
 * The end of a finished journal file: a frame whose table is a directory of the logs that the file touched, and whose
 * payload holds the extents of each. It stands for the file's rows, so that opening a node reads footers, not files.
 * A sorted file ends with one too, which stands for the files that its set took the place of, and a checkpoint, for all
 * files that were dropped.
 */
import { ByteReader, ByteWriter, logIndex, offset, term } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { type ExtentList, extentBytesMin } from './extents.ts';
import { aligned, FrameKind, type FrameHeader, frameHeaderBytes, writeFrameHeader } from './frame.ts';
import type { GroupPlace } from './group.ts';
import { atOnce, logsInTurn } from './in-turns.ts';
import { LogIdReader, LogIdWriter } from './log-id-bytes.ts';
import type { LogSummary } from './log-index.ts';
import type { StateSnapshot } from './log-store.ts';
import type { RaftSummary, StoredEntry } from './raft-index.ts';
import { readRaftSnapshotRef, writeRaftSnapshotRef } from './raft-snapshot-file.ts';
import type { ExtentSection, Section } from './section.ts';

export interface FooterLog {
  readonly summary: LogSummary;
  readonly section: ExtentSection;
  /** Oldest first; one at most, but in a file that stands for others. */
  readonly snapshots: readonly FooterSnapshot[];
}

export interface FooterSnapshot {
  readonly offset: number;
  readonly section: Section;
}

export interface FooterRaft {
  readonly summary: RaftSummary;
  readonly section: Section;
}

export interface Footer {
  readonly logs: readonly FooterLog[];
  readonly raft: FooterRaft | undefined;
  /** In a checkpoint: whole groups were lost in what it stands for. */
  readonly damaged: boolean;
}

export interface FooterSourceLog {
  readonly summary: LogSummary;
  readonly extents: ExtentList;
  readonly snapshots: readonly StateSnapshot[];
}

export interface FooterSource {
  /** The last group of the file. */
  readonly group: number;
  readonly logs: Iterable<FooterSourceLog>;
  readonly raft: { readonly summary: RaftSummary; readonly stored: readonly StoredEntry[] } | undefined;
  readonly damaged: boolean;
}

const flag = { absolute: 1, deleted: 2, keepBelow: 4, base: 8, lossy: 16, knownEnd: 32, doubtful: 64, snapshot: 128 };
/** Shared: most footers of a node with many logs have none for most of them. */
const none: readonly FooterSnapshot[] = [];
const rowKind = { log: 0, raft: 1, damaged: 2 };

export interface EncodedFooter {
  readonly frame: Uint8Array;
  readonly footer: Footer;
}

/** The frame, and what it says with positions in the file; in slices: the source must stay as it is meanwhile. */
export function* encodingFooter(source: FooterSource, place: GroupPlace): Generator<void, EncodedFooter, undefined> {
  const sections = new ByteWriter(64 * 1024);
  const logs = yield* writeSections(sections, source.logs);
  const { raft: raftSource } = source;
  const raft = raftSource && {
    summary: raftSource.summary,
    section: addSection(sections, () => {
      for (const entry of raftSource.stored) writeStored(sections, entry);
    }),
  };
  const table = new ByteWriter(1024 + logs.length * 64);
  const ids = new LogIdWriter(table);
  for (const [at, log] of logs.entries()) {
    if (at % logsInTurn === logsInTurn - 1) yield;
    writeLog(table, ids, log);
  }
  if (raft !== undefined) writeRaft(table, raft);
  if (source.damaged) table.u8(rowKind.damaged);

  const frame = new Uint8Array(aligned(frameHeaderBytes + table.length + sections.length));
  frame.set(table.written(), frameHeaderBytes);
  frame.set(sections.written(), frameHeaderBytes + table.length);
  writeFrameHeader(frame, {
    kind: FrameKind.footer,
    fileId: place.fileId,
    number: source.group,
    position: place.position,
    tableBytes: table.length,
    payloadBytes: sections.length,
    rowCount: logs.length + (raft === undefined ? 0 : 1) + (source.damaged ? 1 : 0),
    previousChecksum: place.previousChecksum,
    tableCrc: crc32c(table.written()),
    appendedMs: place.appendedMs,
  });
  const payloadPosition = place.position + frameHeaderBytes + table.length;
  return { frame, footer: yield* placed({ logs, raft, damaged: source.damaged }, payloadPosition) };
}

/** The directory of a footer whose frame header was found; undefined when the table is damaged. */
export const decodeFooter = (header: FrameHeader, table: Uint8Array): Footer | undefined =>
  atOnce(decodingFooter(header, table));

/** The same in slices. */
export function* decodingFooter(
  header: FrameHeader,
  table: Uint8Array,
): Generator<void, Footer | undefined, undefined> {
  if (crc32c(table) !== header.tableCrc) return undefined;
  const reader = new ByteReader(table);
  const ids = new LogIdReader(reader);
  const logs: FooterLog[] = [];
  let raft: FooterRaft | undefined;
  let isDamaged = false;
  for (let row = 0; row < header.rowCount && !reader.failed; row += 1) {
    if (row % logsInTurn === logsInTurn - 1) yield;
    const kind = reader.u8();
    if (kind === rowKind.log) logs.push(readLog(reader, ids));
    else if (kind === rowKind.raft) raft = readRaft(reader);
    else if (kind === rowKind.damaged) isDamaged = true;
    else reader.fail();
  }
  if (reader.failed) return undefined;
  return yield* placed({ logs, raft, damaged: isDamaged }, header.position + frameHeaderBytes + header.tableBytes);
}

function addSection(sections: ByteWriter, write: () => void): Section {
  const position = sections.length;
  write();
  const bytes = sections.length - position;
  return { position, bytes, crc: crc32c(sections.written().subarray(position)) };
}

function* writeSections(
  sections: ByteWriter,
  source: Iterable<FooterSourceLog>,
): Generator<void, readonly FooterLog[], undefined> {
  const located: { readonly log: FooterSourceLog; readonly section: ExtentSection }[] = [];
  for (const log of source) {
    if (located.length % logsInTurn === logsInTurn - 1) yield;
    const section = addSection(sections, () => log.extents.write(sections));
    located.push({ log, section: { ...section, extents: log.extents.length } });
  }
  // Side by side, so that a node that starts reads those of many logs at once.
  return located.map(({ log, section }) => ({
    summary: log.summary,
    section,
    snapshots: log.snapshots.map(({ offset, bytes }) => ({
      offset,
      section: addSection(sections, () => sections.bytes(bytes)),
    })),
  }));
}

export function decodeStored(section: Uint8Array): readonly StoredEntry[] {
  const reader = new ByteReader(section);
  const entries: StoredEntry[] = [];
  while (reader.left > 0 && !reader.failed) {
    entries.push({
      index: logIndex(reader.u64()),
      term: term(reader.u64()),
      kind: reader.u8(),
      position: reader.u64(),
      bytes: reader.u32(),
      crc: reader.u32(),
    });
  }
  return reader.failed ? [] : entries;
}

function writeStored(writer: ByteWriter, entry: StoredEntry): void {
  writer.u64(entry.index);
  writer.u64(entry.term);
  writer.u8(entry.kind);
  writer.u64(entry.position);
  writer.u32(entry.bytes);
  writer.u32(entry.crc);
}

/** Sections know their place in the payload; callers want it in the file. */
function* placed(footer: Footer, payloadPosition: number): Generator<void, Footer, undefined> {
  const move = <T extends { readonly section: Section }>(item: T): T => ({
    ...item,
    section: { ...item.section, position: item.section.position + payloadPosition },
  });
  const logs: FooterLog[] = [];
  for (const log of footer.logs) {
    if (logs.length % logsInTurn === logsInTurn - 1) yield;
    const snapshots = log.snapshots.length === 0 ? none : log.snapshots.map(move);
    logs.push({ ...move(log), snapshots });
  }
  return { ...footer, logs, raft: footer.raft && move(footer.raft) };
}

function writeLog(writer: ByteWriter, ids: LogIdWriter, { summary, section, snapshots }: FooterLog): void {
  const { lossy } = summary;
  writer.u8(rowKind.log);
  ids.write(summary.id);
  writer.u8(
    (summary.absolute ? flag.absolute : 0) |
      (summary.deleted ? flag.deleted : 0) |
      (summary.keepBelow === undefined ? 0 : flag.keepBelow) |
      (summary.base === undefined ? 0 : flag.base) |
      (lossy === undefined ? 0 : flag.lossy) |
      (lossy?.knownEnd === undefined ? 0 : flag.knownEnd),
  );
  writer.integer(summary.previousGroup);
  writer.integer(summary.lastGroup);
  writer.integer(summary.keepBelow ?? 0);
  writer.integer(summary.start);
  writer.integer(summary.end);
  writer.integer(summary.base ?? 0);
  writer.integer(summary.segmentEnd);
  writer.integer(summary.bytes);
  writer.integer(summary.appendedMs);
  writer.integer(summary.maxTimestampMs);
  writeSection(writer, section);
  writer.integer(section.extents);
  writer.u8(snapshots.length);
  for (const snapshot of snapshots) {
    writer.integer(snapshot.offset);
    writeSection(writer, snapshot.section);
  }
  if (lossy === undefined) return;
  writer.integer(lossy.intactEnd);
  writer.integer(lossy.knownEnd ?? 0);
  writer.text(lossy.where);
}

function readLog(reader: ByteReader, ids: LogIdReader): FooterLog {
  const id = ids.read();
  const flags = reader.u8();
  const has = (bit: number): boolean => (flags & bit) !== 0;
  const previousGroup = reader.count();
  const lastGroup = reader.count();
  const keepBelow = reader.count();
  const start = reader.count();
  const end = reader.count();
  const base = reader.count();
  const segmentEnd = reader.count();
  const bytes = reader.count();
  const appendedMs = reader.count();
  const maxTimestampMs = reader.count();
  const section = readExtentSection(reader);
  const snapshots: FooterSnapshot[] = [];
  for (let left = reader.u8(); left > 0 && !reader.failed; left -= 1) {
    snapshots.push({ offset: reader.count(), section: readSection(reader) });
  }
  const lossy = has(flag.lossy) ? readLossy(reader, has(flag.knownEnd)) : undefined;
  return {
    section,
    snapshots: snapshots.length === 0 ? none : snapshots,
    summary: {
      id,
      previousGroup,
      lastGroup,
      absolute: has(flag.absolute),
      deleted: has(flag.deleted),
      keepBelow: has(flag.keepBelow) ? keepBelow : undefined,
      start,
      end,
      base: has(flag.base) ? base : undefined,
      segmentEnd,
      bytes,
      appendedMs,
      maxTimestampMs,
      lossy,
    },
  };
}

function readLossy(reader: ByteReader, endKnown: boolean): NonNullable<LogSummary['lossy']> {
  const intactEnd = offset(reader.count());
  const knownEnd = offset(reader.count());
  return { intactEnd, knownEnd: endKnown ? knownEnd : undefined, where: reader.text() ?? '' };
}

function writeRaft(writer: ByteWriter, { summary, section }: FooterRaft): void {
  writer.u8(rowKind.raft);
  writer.u8(
    (summary.absolute ? flag.absolute : 0) |
      (summary.keepBelow === undefined ? 0 : flag.keepBelow) |
      (summary.doubtful ? flag.doubtful : 0) |
      (summary.snapshot === undefined ? 0 : flag.snapshot),
  );
  writer.u64(summary.previousGroup);
  writer.u64(summary.lastGroup);
  writer.u64(summary.keepBelow ?? 0);
  writer.u64(summary.hardState.term);
  writer.text(summary.hardState.votedFor);
  writer.u64(summary.keepFrom);
  if (summary.snapshot !== undefined) writeRaftSnapshotRef(writer, summary.snapshot);
  writeSection(writer, section);
}

function readRaft(reader: ByteReader): FooterRaft {
  const flags = reader.u8();
  const previousGroup = reader.u64();
  const lastGroup = reader.u64();
  const keepBelow = reader.u64();
  const hardState = { term: term(reader.u64()), votedFor: reader.text() };
  const keepFrom = reader.u64();
  const snapshot = (flags & flag.snapshot) === 0 ? undefined : readRaftSnapshotRef(reader);
  const section = readSection(reader);
  return {
    section,
    summary: {
      previousGroup,
      lastGroup,
      absolute: (flags & flag.absolute) !== 0,
      keepBelow: (flags & flag.keepBelow) === 0 ? undefined : keepBelow,
      keepFrom,
      snapshot,
      hardState,
      doubtful: (flags & flag.doubtful) !== 0,
    },
  };
}

function writeSection(writer: ByteWriter, section: Section): void {
  writer.integer(section.position);
  writer.integer(section.bytes);
  writer.u32(section.crc);
}

/** Both fit a frame. */
function readSection(reader: ByteReader): Section {
  const section = { position: reader.count(), bytes: reader.count(), crc: reader.u32() };
  if (section.position > 0xffff_ffff || section.bytes > 0xffff_ffff) reader.fail();
  return section;
}

/** What it takes in memory is reckoned by the number of extents: no more of them than its bytes can hold. */
function readExtentSection(reader: ByteReader): ExtentSection {
  const section = { ...readSection(reader), extents: reader.count() };
  if (section.extents * extentBytesMin > section.bytes) reader.fail();
  return section;
}
