/**
 * The frame that a journal file is made of: one group commit, or the footer.
 *
 *   header, 64 bytes: magic u32, version u16, kind u16, file id u64, number u64, position u64, table bytes u32,
 *                     payload bytes u32, row count u32, previous checksum u32, table CRC u32, append time u64, header CRC u32
 *   table:   rows that say what the payload holds (`rows.ts`), under the table CRC
 *   payload: bytes of the rows in their order; each row carries the checksum of its own
 *   zeros up to the next multiple of 4096
 *
 * F1 The header CRC covers every field before it, so it stands for the whole frame; the next frame repeats it as its
 *    previous checksum.
 * F2 A frame names its file and its position: a block that landed elsewhere, or was left over from another file, is no
 *    frame.
 * F3 A frame starts on a 4096-byte boundary: writing it never rewrites a sector of the one before, so tearing it cannot
 *    damage what was durable.
 */
import { crc32c } from '@sluice/record';

export const frameAlignment = 4096;
export const frameHeaderBytes = 64;
const headerCrcAt = 60;
const frameMagic = 0x534c4652;
export const frameVersion = 7;

export const FrameKind = { group: 0, footer: 1 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export interface FrameHeader {
  readonly kind: FrameKind;
  readonly fileId: number;
  /** Of the group; a footer repeats that of the last group before it. */
  readonly number: number;
  /** In the file. */
  readonly position: number;
  readonly tableBytes: number;
  readonly payloadBytes: number;
  readonly rowCount: number;
  readonly previousChecksum: number;
  readonly tableCrc: number;
  /** When the group was written, in ms of the wall clock; a footer repeats that of the last group before it. */
  readonly appendedMs: number;
}

export const frameBytes = (header: Pick<FrameHeader, 'tableBytes' | 'payloadBytes'>): number =>
  aligned(frameHeaderBytes + header.tableBytes + header.payloadBytes);

export const aligned = (bytes: number): number => Math.ceil(bytes / frameAlignment) * frameAlignment;

/** Writes the header to the start of `target` and returns the frame's checksum. */
export function writeFrameHeader(target: Uint8Array, header: FrameHeader): number {
  const view = new DataView(target.buffer, target.byteOffset, frameHeaderBytes);
  view.setUint32(0, frameMagic);
  view.setUint16(4, frameVersion);
  view.setUint16(6, header.kind);
  writePosition(view, 8, header.fileId);
  writePosition(view, 16, header.number);
  writePosition(view, 24, header.position);
  view.setUint32(32, header.tableBytes);
  view.setUint32(36, header.payloadBytes);
  view.setUint32(40, header.rowCount);
  view.setUint32(44, header.previousChecksum);
  view.setUint32(48, header.tableCrc);
  writePosition(view, 52, header.appendedMs);
  const checksum = crc32c(target.subarray(0, headerCrcAt));
  view.setUint32(headerCrcAt, checksum);
  return checksum;
}

export interface FrameFound {
  readonly header: FrameHeader;
  readonly checksum: number;
}

/** The header at the start of `bytes`, or undefined when there is none that belongs to this file and position (F2). */
export function readFrameHeader(
  bytes: Uint8Array,
  expected: { readonly fileId: number; readonly position: number },
): FrameFound | undefined {
  if (bytes.length < frameHeaderBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, frameHeaderBytes);
  if (view.getUint32(0) !== frameMagic || view.getUint16(4) !== frameVersion) return undefined;
  const checksum = view.getUint32(headerCrcAt);
  if (checksum !== crc32c(bytes.subarray(0, headerCrcAt))) return undefined;
  const kind = view.getUint16(6);
  if (kind !== FrameKind.group && kind !== FrameKind.footer) return undefined;
  const header: FrameHeader = {
    kind,
    fileId: readPosition(view, 8),
    number: readPosition(view, 16),
    position: readPosition(view, 24),
    tableBytes: view.getUint32(32),
    payloadBytes: view.getUint32(36),
    rowCount: view.getUint32(40),
    previousChecksum: view.getUint32(44),
    tableCrc: view.getUint32(48),
    appendedMs: readPosition(view, 52),
  };
  if (header.fileId !== expected.fileId || header.position !== expected.position) return undefined;
  return { header, checksum };
}

function writePosition(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value >>> 0);
}

const readPosition = (view: DataView, at: number): number =>
  view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
