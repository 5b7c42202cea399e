/**
 * One file of the node log: a header of 4096 bytes, then frames.
 *
 * The header repeats what the groups before it add up to, so that damage there can be judged by this file alone: the
 * number and checksum of the last group, and the Raft hard state.
 */
import { ByteReader, ByteWriter, term } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { frameAlignment } from './frame.ts';
import type { RaftHardState } from './raft-store.ts';

export const journalHeaderBytes = frameAlignment;
const journalMagic = 0x534c4a46;
const journalVersion = 1;
/** The header is one page; what it holds must leave room. */
export const votedForBytesMax = 1024;

export interface JournalHeader {
  readonly fileId: number;
  /** Number of the first group of the file. */
  readonly firstGroup: number;
  readonly previousChecksum: number;
  readonly hardState: RaftHardState;
}

export const journalName = (fileId: number): string => `journal-${String(fileId).padStart(20, '0')}.log`;

/** Undefined when the name is not that of a journal file. */
export function journalFileId(name: string): number | undefined {
  const match = /^journal-(\d{20})\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

/** A sorted file has the same header, and a footer; what lies in between is in no frames. */
export const sortedName = (fileId: number): string => `sorted-${String(fileId).padStart(20, '0')}.log`;

/** Undefined when the name is not that of a sorted file. */
export function sortedFileId(name: string): number | undefined {
  const match = /^sorted-(\d{20})\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function encodeJournalHeader(header: JournalHeader): Uint8Array {
  const writer = new ByteWriter(journalHeaderBytes);
  writer.u32(journalMagic);
  writer.u16(journalVersion);
  writer.u64(header.fileId);
  writer.u64(header.firstGroup);
  writer.u32(header.previousChecksum);
  writer.u64(header.hardState.term);
  writer.text(header.hardState.votedFor);
  const page = new Uint8Array(journalHeaderBytes);
  page.set(writer.written());
  const checked = journalHeaderBytes - 4;
  new DataView(page.buffer).setUint32(checked, crc32c(page.subarray(0, checked)));
  return page;
}

/** Undefined when it is damaged or belongs to another file. */
export function decodeJournalHeader(page: Uint8Array, fileId: number): JournalHeader | undefined {
  if (page.length < journalHeaderBytes) return undefined;
  const checked = journalHeaderBytes - 4;
  const crc = new DataView(page.buffer, page.byteOffset).getUint32(checked);
  if (crc !== crc32c(page.subarray(0, checked))) return undefined;
  const reader = new ByteReader(page);
  if (reader.u32() !== journalMagic || reader.u16() !== journalVersion || reader.u64() !== fileId) return undefined;
  const firstGroup = reader.u64();
  const previousChecksum = reader.u32();
  const hardState = { term: term(reader.u64()), votedFor: reader.text() };
  return reader.failed ? undefined : { fileId, firstGroup, previousChecksum, hardState };
}
