/** Whether bytes on the disk are what was written there: by scan, scrub and rewrite, each over every byte, and by reads, over what they hand out. */
import { batchBytesAt, batchesIn, crc32cOf } from '@sluice/record';

/** Bytes of a batch before the part that its CRC covers: offset, length, leader epoch, magic and the CRC itself. */
export const batchHeadBytes = 21;

export const headCrc = (batches: Uint8Array, at: number, seed: number): number =>
  crc32cOf(batches, at, at + batchHeadBytes, seed);

/**
 * One past the last offset of batches that follow each other from `base` and fill `bytes`; undefined when any byte of
 * them is another than when `headsCrc` was made.
 */
export function wholeEnd(bytes: Uint8Array, { base, headsCrc }: WholeBatches): number | undefined {
  let heads = 0;
  let next = base;
  for (const found of batchesIn(bytes)) {
    if (!found.ok || found.header.baseOffset !== next) return undefined;
    heads = headCrc(bytes, found.position, heads);
    next = found.header.baseOffset + found.header.lastOffsetDelta + 1;
  }
  return heads === headsCrc ? next : undefined;
}

/**
 * Whether these are the batches that `headsCrc` was made of, whose own CRCs are looked at elsewhere: those of another log,
 * or of another time, have good ones too.
 */
export function areHeadsOf(bytes: Uint8Array, headsCrc: number): boolean {
  let heads = 0;
  for (let at = 0; at < bytes.length; ) {
    const batchBytes = batchBytesAt(bytes, at);
    if (batchBytes === 0) return false;
    heads = headCrc(bytes, at, heads);
    at += batchBytes;
  }
  return heads === headsCrc;
}

export interface WholeBatches {
  readonly base: number;
  readonly headsCrc: number;
}
