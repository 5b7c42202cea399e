/**
 * Whatever decodes what lies on the disk, each with valid samples of its format. A decoder may refuse, with a typed error
 * where it throws at all; it never crashes, never takes long, and never makes room for more than the bytes it was given
 * can mean.
 */
import { DiskError, isSluiceError, logIndex, nodeId, type Random, SeededRandom, term } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { checkpointFileId } from './checkpoint-name.ts';
import { DataDirectory } from './data-directory.ts';
import { extentBytesMin, ExtentList } from './extents.ts';
import { decodeFooter, decodeStored } from './footer.ts';
import { type FrameHeader, frameAlignment, FrameKind, frameBytes, frameHeaderBytes, readFrameHeader } from './frame.ts';
import { IdentityStore } from './identity.ts';
import { decodeJournalHeader, journalFileId, journalHeaderBytes } from './journal-file.ts';
import type { LogStore } from './log-store.ts';
import { readManifest } from './manifest.ts';
import { MemoryDisk } from './memory-disk.ts';
import { rotPath, writeDirectory } from './rot.testing.ts';
import { decodeRaftSnapshot, raftSnapshotFileId, raftSnapshotHeaderBytes } from './raft-snapshot-file.ts';
import { RowReader } from './rows.ts';
import { openTestNode } from './test-node-log.ts';

export interface FuzzTarget {
  readonly samples: readonly Uint8Array[];
  /** Throws, or says what is wrong, when the decoder did what it must not. */
  readonly decode: (input: Uint8Array, random: Random) => string | undefined | Promise<string | undefined>;
  /** What it may allocate: so many bytes for each of the input, beside so many. */
  readonly allocation: { readonly perByte: number; readonly beside: number; readonly atOnceMax?: number };
}

export const fuzzTargetNames = [
  'frames',
  'rows',
  'footers',
  'extents',
  'raft-entries',
  'raft-snapshots',
  'journal-headers',
  'manifests',
  'identities',
  'journals',
  'checkpoints',
] as const;
export type FuzzTargetName = (typeof fuzzTargetNames)[number];

/** A decoder of bytes: copies of parts of them, and no more. */
const small = { perByte: 4, beside: 4096 };
/** A whole node is opened: its buffers have their size whatever is in the files, and places are read a MiB at a time. */
const node = { perByte: 64 * 1024, beside: 16 * 1024 * 1024, atOnceMax: 2 * 1024 * 1024 };

export async function fuzzTarget(name: FuzzTargetName): Promise<FuzzTarget> {
  const files = await validFiles();
  return targets[name](files);
}

type Files = ReadonlyMap<string, Uint8Array>;

async function validFiles(): Promise<Files> {
  const disk = new MemoryDisk();
  await writeDirectory(disk);
  const files = new Map<string, Uint8Array>();
  for (const name of await disk.list(rotPath)) files.set(name, disk.durableBytes(`${rotPath}/${name}`));
  return files;
}

interface Frame {
  readonly header: FrameHeader;
  /** Header, table and payload. */
  readonly bytes: Uint8Array;
  readonly table: Uint8Array;
}

function framesOf(files: Files): Frame[] {
  const frames: Frame[] = [];
  for (const [name, bytes] of files) {
    const fileId = journalFileId(name) ?? checkpointFileId(name);
    if (fileId === undefined) continue;
    for (let position = journalHeaderBytes; position < bytes.length; ) {
      const header = readFrameHeader(bytes.subarray(position), { fileId, position })?.header;
      if (header !== undefined) {
        const frame = bytes.subarray(position, position + frameBytes(header));
        frames.push({
          header,
          bytes: frame,
          table: frame.subarray(frameHeaderBytes, frameHeaderBytes + header.tableBytes),
        });
      }
      position += header === undefined ? frameAlignment : frameBytes(header);
    }
  }
  return frames;
}

const tablesOf = (files: Files, kind: FrameKind): Uint8Array[] =>
  framesOf(files).flatMap(({ header, table }) => (header.kind === kind ? [table] : []));

/** Of footers: the extents of logs, or the Raft entries. */
function sectionsOf(files: Files, of: 'logs' | 'raft'): Uint8Array[] {
  return framesOf(files).flatMap(({ header, bytes, table }) => {
    const footer = header.kind === FrameKind.footer ? decodeFooter(header, table) : undefined;
    const found = of === 'logs' ? footer?.logs : footer?.raft && [footer.raft];
    return (found ?? []).map(({ section }) => {
      const from = section.position - header.position;
      return bytes.subarray(from, from + section.bytes);
    });
  });
}

/** Half of the inputs get a checksum that fits: what lies behind it is reached. */
const isSealed = (random: Random): boolean => random.below(2) === 0;

function withCrc(bytes: Uint8Array, at: number): void {
  if (at >= 0 && bytes.length >= at + 4) {
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, crc32c(bytes.subarray(0, at)));
  }
}

const tooMany = (items: number, bytes: number, itemBytesMin: number): string | undefined =>
  items * itemBytesMin > bytes ? `${items} items of at least ${itemBytesMin} bytes from ${bytes} bytes` : undefined;

/** Without a log, and the group before it. */
const rowBytesMin = 2;
/** Of a log in a footer; without an extent. */
const footerLogBytesMin = 24;

/** Mostly with a number of them that fits the bytes. */
function readExtents(input: Uint8Array, random: Random): ExtentList | undefined {
  const count =
    random.below(8) === 0 ? random.nextUint32() : random.below(Math.floor(input.length / extentBytesMin) + 2);
  return ExtentList.read(input, count);
}

const targets: Readonly<Record<FuzzTargetName, (files: Files) => FuzzTarget>> = {
  frames: (files) => ({
    samples: framesOf(files).map(({ bytes }) => bytes.slice(0, frameHeaderBytes)),
    allocation: small,
    decode: (input, random) => {
      if (isSealed(random)) withCrc(input, 60);
      const found = readFrameHeader(input, { fileId: 1 + random.below(4), position: 4096 * (1 + random.below(8)) });
      return found === undefined || frameBytes(found.header) % frameAlignment === 0
        ? undefined
        : 'a frame off its boundary';
    },
  }),
  rows: (files) => ({
    samples: tablesOf(files, FrameKind.group),
    allocation: { perByte: 8, beside: 4096 },
    decode: (input, random) => {
      const reader = new RowReader(input, { group: random.below(64), appendedMs: random.nextUint32() });
      let rows = 0;
      while (reader.left > 0 && reader.next() !== undefined) rows += 1;
      return tooMany(rows, input.length, rowBytesMin);
    },
  }),
  footers: (files) => ({
    samples: tablesOf(files, FrameKind.footer),
    allocation: { perByte: 8, beside: 4096 },
    decode: (input, random) => {
      const rowCount = random.below(4) === 0 ? random.nextUint32() : random.below(8);
      const header = {
        kind: FrameKind.footer,
        fileId: 1,
        number: 1,
        position: 4096,
        tableBytes: input.length,
        payloadBytes: 0,
      };
      const tableCrc = isSealed(random) || random.below(4) > 0 ? crc32c(input) : 0;
      const footer = decodeFooter({ ...header, rowCount, previousChecksum: 0, tableCrc, appendedMs: 0 }, input);
      for (const { section } of footer?.logs ?? []) {
        const problem = tooMany(section.extents, section.bytes, extentBytesMin);
        if (problem !== undefined) return problem;
      }
      return tooMany(footer?.logs.length ?? 0, input.length, footerLogBytesMin);
    },
  }),
  extents: (files) => ({
    samples: sectionsOf(files, 'logs'),
    allocation: small,
    decode: (input, random) => {
      const extents = readExtents(input, random);
      extents?.at(extents.find(random.nextUint32()));
      return tooMany(extents?.length ?? 0, input.length, extentBytesMin);
    },
  }),
  'raft-entries': (files) => ({
    samples: sectionsOf(files, 'raft'),
    allocation: small,
    decode: (input) => tooMany(decodeStored(input).length, input.length, 33),
  }),
  'raft-snapshots': (files) => ({
    samples: [...files].flatMap(([name, bytes]) => (raftSnapshotFileId(name) === undefined ? [] : [bytes.slice()])),
    allocation: small,
    decode: (input, random) => {
      if (isSealed(random)) {
        const header = input.subarray(0, raftSnapshotHeaderBytes);
        withCrc(header, raftSnapshotHeaderBytes - 4);
      }
      const view = new DataView(input.buffer, input.byteOffset, input.length);
      const at = (position: number): number => (input.length < position + 4 ? 0 : view.getUint32(position));
      // As the log would name it.
      const ref = { index: logIndex(at(20)), term: term(at(28)), fileId: at(12), bytes: input.length, crc: at(48) };
      try {
        const found = decodeRaftSnapshot(input, ref);
        return 'wrong' in found ? undefined : tooMany(found.meta.length + found.bytes.length, input.length, 1);
      } catch (error) {
        return refusesTyped(error);
      }
    },
  }),
  'journal-headers': (files) => ({
    samples: [...files].flatMap(([name, bytes]) => (journalFileId(name) === undefined ? [] : [bytes.slice(0, 4096)])),
    allocation: small,
    decode: (input, random) => {
      if (isSealed(random)) withCrc(input, journalHeaderBytes - 4);
      decodeJournalHeader(input, 1 + random.below(6));
      return undefined;
    },
  }),
  manifests: (files) => checkedFile(files, 'manifest', (directory) => readManifest(directory)),
  identities: (files) => checkedFile(files, 'identity', (directory) => new IdentityStore(directory).load(nodeId(1))),
  journals: (files) => wholeFile(files, (name) => journalFileId(name) !== undefined),
  checkpoints: (files) => wholeFile(files, (name) => checkpointFileId(name) !== undefined),
};

function checkedFile(files: Files, name: string, read: (directory: DataDirectory) => Promise<unknown>): FuzzTarget {
  return {
    samples: [files.get(name) ?? new Uint8Array(0)],
    // Text, its parts and its fields; and the block that the simulated disk keeps a file in.
    allocation: { perByte: 16, beside: (64 + 16) * 1024 },
    decode: async (input, random) => {
      const disk = new MemoryDisk();
      const directory = await DataDirectory.open(disk, rotPath);
      disk.plant(`${rotPath}/${name}`, isSealed(random) ? withTextCrc(input) : input);
      await read(directory);
      return undefined;
    },
  };
}

/** The first line says the checksum of what follows, in its last eight characters. */
function withTextCrc(input: Uint8Array): Uint8Array {
  const lineEnd = input.indexOf(0x0a);
  if (lineEnd < 8) return input;
  const text = crc32c(input.subarray(lineEnd + 1))
    .toString(16)
    .padStart(8, '0');
  for (let at = 0; at < 8; at += 1) input[lineEnd - 8 + at] = text.charCodeAt(at);
  return input;
}

/** Among files that are whole: the node is opened, and everything in it read. */
function wholeFile(files: Files, isChanged: (name: string) => boolean): FuzzTarget {
  const names = [...files.keys()].filter(isChanged);
  return {
    samples: names.map((name) => files.get(name) ?? new Uint8Array(0)),
    allocation: node,
    decode: async (input, random) => {
      const disk = new MemoryDisk();
      await disk.makeDirectory(rotPath);
      for (const [name, bytes] of files) disk.plant(`${rotPath}/${name}`, bytes);
      if (isSealed(random)) sealFrames(input);
      disk.plant(`${rotPath}/${names[random.below(names.length)] ?? ''}`, input);
      const opened = await openTestNode({ disk, limits: { spaceAheadBytes: 0 } });
      for (const id of opened.log.logIds()) await readAll(opened.log.log(id)).catch(refusesTyped);
      await opened.close();
      return undefined;
    },
  };
}

async function readAll(log: LogStore): Promise<void> {
  for (let from = log.startOffset; from < log.endOffset; ) {
    const read = await log.read(from, log.endOffset, 100_000);
    if (read.kind === 'out-of-range') return;
    if (read.endOffset <= from) throw new Error(`a read at ${from} of ${log.endOffset} gets nowhere`);
    from = read.endOffset;
  }
}

/** What has the shape of a frame header gets the checksums of one. */
function sealFrames(bytes: Uint8Array): void {
  for (let position = journalHeaderBytes; position + frameHeaderBytes <= bytes.length; position += frameAlignment) {
    const frame = bytes.subarray(position);
    const view = new DataView(frame.buffer, frame.byteOffset);
    const table = frame.subarray(frameHeaderBytes, frameHeaderBytes + view.getUint32(32));
    view.setUint32(48, crc32c(table));
    withCrc(frame, 60);
  }
}

/** Rethrows what is no refusal. */
export function refusesTyped(error: unknown): undefined {
  if (isSluiceError(error) || error instanceof DiskError) return undefined;
  throw error;
}

export const fuzzSeed = (seed: number, number: number): SeededRandom =>
  new SeededRandom(Math.imul(seed, 0x9e37_79b1) + number);
