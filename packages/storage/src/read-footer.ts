/** Footers of finished files, read back from the disk. */
import type { Clock, DiskFile } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { decodeStored, decodingFooter, type Footer } from './footer.ts';
import { frameBytes, FrameKind, frameHeaderBytes, readFrameHeader } from './frame.ts';
import { atOnce, inTurns } from './in-turns.ts';
import type { RaftEntry } from './raft-store.ts';
import { readSpans, roomFor } from './spans.ts';

export interface FoundFooter {
  readonly footer: Footer;
  /** The last one that it stands for. */
  readonly group: number;
  readonly previousChecksum: number;
  readonly appendedMs: number;
  /** Where it ends. */
  readonly end: number;
}

/** Undefined when it is not there, or its table is damaged. With a clock it is decoded in slices. */
export async function readFooter(
  file: DiskFile,
  fileId: number,
  position: number,
  clock?: Clock,
): Promise<FoundFooter | undefined> {
  const head = new Uint8Array(frameHeaderBytes);
  await file.read(head, position);
  const found = readFrameHeader(head, { fileId, position });
  if (found === undefined || found.header.kind !== FrameKind.footer) return undefined;
  if (position + frameHeaderBytes + found.header.tableBytes > (await file.size())) return undefined;
  const table = new Uint8Array(found.header.tableBytes);
  const read = await file.read(table, position + frameHeaderBytes);
  if (read < table.length) return undefined;
  const decoding = decodingFooter(found.header, table);
  const footer = clock === undefined ? atOnce(decoding) : await inTurns(clock, decoding);
  if (footer === undefined) return undefined;
  const { number: group, previousChecksum, appendedMs } = found.header;
  return { footer, group, previousChecksum, appendedMs, end: position + frameBytes(found.header) };
}

/** The Raft entries that a footer speaks of; undefined when any of them is damaged. */
export async function readRaftEntries(file: DiskFile, footer: Footer): Promise<readonly RaftEntry[] | undefined> {
  if (footer.raft === undefined) return [];
  const { section } = footer.raft;
  const bytes = await roomFor(file, section);
  const read = await file.read(bytes, section.position);
  if (read < section.bytes || crc32c(bytes) !== section.crc) return undefined;
  const stored = decodeStored(bytes);
  const payloads = await readSpans(file, stored);
  const entries: RaftEntry[] = [];
  for (const [at, { index, term, kind, crc }] of stored.entries()) {
    const payload = payloads[at];
    if (payload === undefined || crc32c(payload) !== crc) return undefined;
    entries.push({ index, term, kind, payload: payload.slice() });
  }
  return entries;
}
