/** A footer that lies under checksums that fit: what no checksum finds, and whoever reads by it has to. */
import { type Extent, ExtentList } from './extents.ts';
import { decodeFooter, decodeStored, encodingFooter, type FooterSourceLog } from './footer.ts';
import { FrameKind, frameAlignment, frameBytes, type FrameHeader, frameHeaderBytes, readFrameHeader } from './frame.ts';
import { atOnce } from './in-turns.ts';
import type { LogSummary } from './log-index.ts';
import { journalHeaderBytes } from './journal-file.ts';
import type { MemoryDisk } from './memory-disk.ts';
import { at, concat } from './test-batches.ts';

/** Of one log in one file. */
export interface Told {
  readonly summary: LogSummary;
  readonly extents: readonly Extent[];
}

/** Writes the footer of a finished file again, with what it tells of each log changed. */
export function forgeFooter(
  disk: MemoryDisk,
  { path, fileId }: { readonly path: string; readonly fileId: number },
  lie: (told: Told) => Told,
): void {
  const file = disk.durableBytes(path);
  const header = footerHeader(file, fileId);
  if (header === undefined) throw new Error(`${path} has no footer`);
  const table = file.subarray(header.position + frameHeaderBytes).subarray(0, header.tableBytes);
  const footer = decodeFooter(header, table);
  if (footer === undefined) throw new Error(`the footer of ${path} is damaged`);
  const part = ({ position, bytes }: { position: number; bytes: number }): Uint8Array =>
    file.slice(position, position + bytes);
  const logs = footer.logs.map(({ summary, section, snapshots }): FooterSourceLog => {
    const told = lie({ summary, extents: extentsOf(ExtentList.read(part(section), section.extents)) });
    const extents = new ExtentList();
    for (const extent of told.extents) extents.push(extent);
    const kept = snapshots.map(({ offset, section: of }) => ({ offset: at(offset), bytes: part(of) }));
    return { summary: told.summary, extents, snapshots: kept };
  });
  const raft = footer.raft && { summary: footer.raft.summary, stored: decodeStored(part(footer.raft.section)) };
  const source = { group: header.number, logs, raft, damaged: footer.damaged };
  const { frame } = atOnce(encodingFooter(source, header));
  disk.plant(path, concat([file.subarray(0, header.position), frame]));
}

function extentsOf(list: ExtentList | undefined): Extent[] {
  if (list === undefined) throw new Error('the extents are damaged');
  return Array.from({ length: list.length }, (_, number) => list.at(number)).filter((extent) => extent !== undefined);
}

function footerHeader(file: Uint8Array, fileId: number): FrameHeader | undefined {
  for (let position = journalHeaderBytes; position < file.length; ) {
    const header = readFrameHeader(file.subarray(position), { fileId, position })?.header;
    if (header?.kind === FrameKind.footer) return header;
    position += header === undefined ? frameAlignment : frameBytes(header);
  }
  return undefined;
}
