/**
 * LZ4 in its frame format: independent blocks of 64 KiB without checksums, which every reader of record batches takes.
 * Reading also takes dependent blocks, sizes and checksums; checksums are skipped, since the batch has one of its own.
 */
import { LzOutput } from './lz-output.ts';
import { findMatches } from './lz-matches.ts';

/** Version 1, independent blocks, at most 64 KiB each, and the checksum of these two bytes. */
const header = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82);
const magic = 0x184d_2204;
const blockBytes = 65_536;
const isStored = 0x8000_0000;
const minMatch = 4;
/** The format's rule for the end of a block: five literals at least, and no match that starts later than this. */
const literalsAtEnd = 5;
const lastMatchFromEnd = 12;

export function compressLz4(bytes: Uint8Array): Uint8Array {
  const blocks = Math.ceil(bytes.byteLength / blockBytes);
  const out = new Uint8Array(header.byteLength + bytes.byteLength + blocks * 4 + 4);
  const view = new DataView(out.buffer);
  out.set(header);
  let end = header.byteLength;
  for (let start = 0; start < bytes.byteLength; start += blockBytes) {
    const block = bytes.subarray(start, start + blockBytes);
    const packed = compressBlock(block);
    const written = packed ?? block;
    view.setUint32(end, packed === undefined ? (block.byteLength | isStored) >>> 0 : packed.byteLength, true);
    out.set(written, end + 4);
    end += 4 + written.byteLength;
  }
  return out.subarray(0, end + 4);
}

/** Throws on bytes that are not such a frame, and rather than return more than `outputBytesMax`. */
export function decompressLz4(bytes: Uint8Array, outputBytesMax: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint8(4);
  const has = (bit: number): boolean => (flags & (1 << bit)) !== 0;
  if (view.getUint32(0, true) !== magic || flags >>> 6 !== 1) throw new Error('no LZ4 frame of version 1');
  if (has(0)) throw new Error('a frame with a dictionary');
  const checksumBytes = has(4) ? 4 : 0;
  const isIndependent = has(5);
  const out = new LzOutput(outputBytesMax);
  for (let at = 7 + (has(3) ? 8 : 0); ; ) {
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) return out.take();
    const size = word % isStored;
    if (at + size > bytes.byteLength) throw new Error('it ends too early');
    const block = bytes.subarray(at, at + size);
    if (word >= isStored) out.literal(block);
    else readBlock(block, out, isIndependent ? out.byteLength : 0);
    at += size + checksumBytes;
  }
}

/** Undefined when it would not be shorter. */
function compressBlock(block: Uint8Array): Uint8Array | undefined {
  const size = block.byteLength;
  const out = new Uint8Array(size + Math.ceil(size / 255) + 16);
  let end = 0;
  const sequence = (from: number, to: number, length: number | undefined): void => {
    const extra = length === undefined ? 0 : length - minMatch;
    out[end] = (Math.min(to - from, 15) << 4) | Math.min(extra, 15);
    end = putLength(out, end + 1, to - from);
    out.set(block.subarray(from, to), end);
    end += to - from;
  };
  const match = (from: number, to: number, distance: number, length: number): void => {
    sequence(from, to, length);
    out[end] = distance & 0xff;
    out[end + 1] = distance >>> 8;
    end = putLength(out, end + 2, length - minMatch);
  };
  const range = { start: 0, lastStart: size - lastMatchFromEnd + 1, matchEnd: size - literalsAtEnd };
  sequence(findMatches(block, range, { match }), size, undefined);
  return end < size ? out.subarray(0, end) : undefined;
}

function readBlock(block: Uint8Array, out: LzOutput, oldest: number): void {
  let at = 0;
  const lengthOf = (nibble: number): number => {
    let length = nibble;
    for (let byte = nibble === 15 ? 255 : 0; byte === 255; length += byte) {
      byte = block[at] ?? fail();
      at += 1;
    }
    return length;
  };
  for (;;) {
    const token = block[at] ?? fail();
    at += 1;
    const literals = lengthOf(token >>> 4);
    if (at + literals > block.byteLength) fail();
    out.literal(block.subarray(at, at + literals));
    at += literals;
    if (at === block.byteLength) return;
    const distance = (block[at] ?? 0) | ((block[at + 1] ?? fail()) << 8);
    at += 2;
    if (distance > out.byteLength - oldest) throw new Error('a copy from before its block');
    out.copy(distance, lengthOf(token & 15) + minMatch);
  }
}

function fail(): never {
  throw new Error('a block ends too early');
}

/** What does not fit the four bits of a token follows in bytes, of which the last is below 255. */
function putLength(out: Uint8Array, at: number, length: number): number {
  if (length < 15) return at;
  let end = at;
  let rest = length - 15;
  for (; rest >= 255; rest -= 255) {
    out[end] = 255;
    end += 1;
  }
  out[end] = rest;
  return end + 1;
}
