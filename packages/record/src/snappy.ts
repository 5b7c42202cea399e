/**
 * Snappy: the raw block format, as librdkafka sends it, and for reading also the chunks of the xerial dialect.
 * Format: a varint with the length, then literals and copies, told apart by the low two bits of a tag.
 */
import { LzOutput } from './lz-output.ts';
import { findMatches } from './lz-matches.ts';

const blockBytes = 65_536;
const copyBytesMax = 64;
const xerialMagic = [0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00] as const;
const xerialHeaderBytes = 16;

/** A literal of 64 KiB has three bytes in front, and a copy is never longer than what it replaces. */
const compressedBytesMax = (bytes: number): number => 5 + bytes + Math.ceil(bytes / 32) + 8;

export function compressSnappy(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(compressedBytesMax(bytes.byteLength));
  let end = putVarint(out, bytes.byteLength);
  const literal = (from: number, to: number): void => {
    if (from === to) return;
    end = putLiteralTag(out, end, to - from);
    out.set(bytes.subarray(from, to), end);
    end += to - from;
  };
  const match = (from: number, to: number, distance: number, length: number): void => {
    literal(from, to);
    for (let left = length; left > 0; left -= copyBytesMax) {
      out[end] = ((Math.min(left, copyBytesMax) - 1) << 2) | 2;
      out[end + 1] = distance & 0xff;
      out[end + 2] = distance >>> 8;
      end += 3;
    }
  };
  for (let start = 0; start < bytes.byteLength; start += blockBytes) {
    const blockEnd = Math.min(start + blockBytes, bytes.byteLength);
    literal(findMatches(bytes, { start, lastStart: blockEnd - 3, matchEnd: blockEnd }, { match }), blockEnd);
  }
  return out.subarray(0, end);
}

/** Throws on bytes that are not Snappy, and rather than return more than `outputBytesMax`. */
export function decompressSnappy(bytes: Uint8Array, outputBytesMax: number): Uint8Array {
  const out = new LzOutput(outputBytesMax);
  if (!xerialMagic.every((byte, at) => bytes[at] === byte)) {
    readBlock(bytes, out);
    return out.take();
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = xerialHeaderBytes; at < bytes.byteLength; ) {
    const length = view.getUint32(at);
    readBlock(slice(bytes, at + 4, length), out);
    at += 4 + length;
  }
  return out.take();
}

function readBlock(bytes: Uint8Array, out: LzOutput): void {
  const [length, first] = getVarint(bytes);
  const wantedEnd = out.byteLength + length;
  const start = out.byteLength;
  for (let at = first; at < bytes.byteLength; ) {
    const tag = bytes[at] ?? 0;
    at += 1;
    if ((tag & 3) === 0) {
      const lengthBytes = Math.max(0, (tag >>> 2) - 59);
      const size = (lengthBytes === 0 ? tag >>> 2 : littleEndian(bytes, at, lengthBytes)) + 1;
      at += lengthBytes;
      out.literal(slice(bytes, at, size));
      at += size;
      continue;
    }
    const offsetBytes = [0, 1, 2, 4][tag & 3] ?? 0;
    const low = littleEndian(bytes, at, offsetBytes);
    at += offsetBytes;
    const isShort = offsetBytes === 1;
    const distance = isShort ? ((tag >>> 5) << 8) | low : low;
    if (distance > out.byteLength - start) throw new Error('a copy from before its block');
    out.copy(distance, isShort ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2));
  }
  if (out.byteLength !== wantedEnd) throw new Error(`a block of ${out.byteLength - start} bytes instead of ${length}`);
}

function putLiteralTag(out: Uint8Array, at: number, length: number): number {
  const rest = length - 1;
  if (rest < 60) {
    out[at] = rest << 2;
    return at + 1;
  }
  const isOneByte = rest < 256;
  out[at] = (isOneByte ? 60 : 61) << 2;
  out[at + 1] = rest & 0xff;
  if (isOneByte) return at + 2;
  out[at + 2] = rest >>> 8;
  return at + 3;
}

function putVarint(out: Uint8Array, value: number): number {
  let at = 0;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) {
    out[at] = (rest & 0x7f) | 0x80;
    at += 1;
  }
  out[at] = rest;
  return at + 1;
}

function getVarint(bytes: Uint8Array): readonly [value: number, end: number] {
  let value = 0;
  for (let at = 0; at < 5; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return [value, at + 1];
  }
  throw new Error('no length in front');
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  slice(bytes, at, count).forEach((byte, place) => {
    value += byte * 2 ** (8 * place);
  });
  return value;
}

function slice(bytes: Uint8Array, from: number, length: number): Uint8Array {
  if (from + length > bytes.byteLength) throw new Error('it ends too early');
  return bytes.subarray(from, from + length);
}
