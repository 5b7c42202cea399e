/**
 * Writes one message in the protobuf wire format as a list of chunks. The codecs of the hot messages first add up its
 * size with the functions here, then write it.
 *
 * Y1. A `bytes` field of `borrowedBytesMin` or more is a chunk of the message as it is, never copied.
 * Y2. All the rest of a message is pieces of one allocation of exactly its size.
 * Y3. Fields with their zero value are left out, as proto3 says. An integer that its field cannot carry is never
 *     written: the functions that add up refuse it with `InvariantError`.
 *
 * Tags are octal, as in `protobuf-reader.ts`; all have one byte, since no field number is above 15.
 */
import type { Message } from '@sluice/base';
import { invariant } from '@sluice/base';

/** Below this, copying costs less than one more chunk for the socket. */
export const borrowedBytesMin = 1_024;

const uint32Max = 0xffff_ffff;
const sint32Max = 0x7fff_ffff;
/** Up to here a loop over the characters is faster than a call into the platform. */
const shortTextMax = 48;

export const uint32Bytes = (value: number | undefined): number => integerBytes(value, uint32Max);

export const uint64Bytes = (value: number | undefined): number => integerBytes(value, Number.MAX_SAFE_INTEGER);

export const sint32Bytes = (value: number | undefined): number => {
  if (value === undefined || value === 0) return 0;
  const fits = Number.isInteger(value) && value >= -sint32Max - 1 && value <= sint32Max;
  invariant(fits, 'a message holds a number that its field cannot carry', { value: String(value) });
  return 1 + varintBytes(zigzag(value));
};

export const boolBytes = (value: boolean | undefined): number => (value === true ? 2 : 0);

export const textBytes = (value: string | undefined): number =>
  value === undefined || value === '' ? 0 : delimitedBytes(Buffer.byteLength(value));

/** Of an item of a repeated field, which is there even if it is empty. */
export const delimitedBytes = (length: number): number => 1 + varintBytes(length) + length;

export const bytesBytes = (value: Uint8Array | undefined): number =>
  value === undefined || value.byteLength === 0 ? 0 : delimitedBytes(value.byteLength);

export const messageFieldBytes = <T extends object>(
  value: T | null | undefined,
  bytesOf: (value: T) => number,
): number => (value === undefined || value === null ? 0 : delimitedBytes(bytesOf(value)));

export function listBytes<T>(list: readonly T[] | undefined, bytesOf: (value: T) => number): number {
  if (list === undefined) return 0;
  let bytes = 0;
  for (const value of list) bytes += delimitedBytes(bytesOf(value));
  return bytes;
}

export function packedBytes(list: readonly number[] | undefined): number {
  return list === undefined || list.length === 0 ? 0 : delimitedBytes(packedContentBytes(list));
}

/** What of this field is no part of the allocation (Y1). */
export const borrowedBytes = (value: Uint8Array | undefined): number =>
  value === undefined || value.byteLength < borrowedBytesMin ? 0 : value.byteLength;

export class ProtobufWriter {
  readonly #chunks: Uint8Array[] = [];
  readonly #own: Buffer;
  #at = 0;
  /** Where the piece begins that is not among the chunks yet. */
  #from = 0;

  /** `ownBytes`: the size of the message without what is borrowed. */
  constructor(ownBytes: number) {
    this.#own = Buffer.allocUnsafe(ownBytes);
  }

  integer(tag: number, value: number | undefined): void {
    if (value === undefined || value === 0) return;
    this.#byte(tag);
    this.#varint(value);
  }

  sint32(tag: number, value: number | undefined): void {
    if (value !== undefined) this.integer(tag, zigzag(value));
  }

  bool(tag: number, value: boolean | undefined): void {
    if (value === true) this.integer(tag, 1);
  }

  text(tag: number, value: string | undefined): void {
    if (value === undefined || value === '') return;
    const length = Buffer.byteLength(value);
    this.#byte(tag);
    this.#varint(length);
    if (length === value.length && length <= shortTextMax) {
      for (let at = 0; at < length; at += 1) this.#byte(value.charCodeAt(at));
      return;
    }
    this.#at += this.#own.write(value, this.#at, length, 'utf8');
  }

  bytes(tag: number, value: Uint8Array | undefined): void {
    if (value !== undefined && value.byteLength > 0) this.bytesItem(tag, value);
  }

  /** An item of a repeated field: written even if it is empty. */
  bytesItem(tag: number, value: Uint8Array): void {
    this.#byte(tag);
    this.#varint(value.byteLength);
    if (value.byteLength >= borrowedBytesMin) {
      this.#endPiece();
      this.#chunks.push(value);
      return;
    }
    this.#own.set(value, this.#at);
    this.#at += value.byteLength;
  }

  /** A sub-message of `length` bytes follows. */
  begin(tag: number, length: number): void {
    this.#byte(tag);
    this.#varint(length);
  }

  packed(tag: number, list: readonly number[] | undefined): void {
    if (list === undefined || list.length === 0) return;
    this.begin(tag, packedContentBytes(list));
    for (const value of list) this.#varint(value);
  }

  finish(): Message {
    invariant(this.#at === this.#own.length, 'a message has not the size that was added up', { at: this.#at });
    this.#endPiece();
    return this.#chunks;
  }

  #endPiece(): void {
    if (this.#at === this.#from) return;
    this.#chunks.push(this.#own.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }

  #byte(value: number): void {
    this.#own[this.#at] = value;
    this.#at += 1;
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > sint32Max; rest = Math.floor(rest / 128)) this.#byte((rest & 0x7f) | 0x80);
    for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
  }
}

function integerBytes(value: number | undefined, max: number): number {
  if (value === undefined || value === 0) return 0;
  requireInteger(value, max);
  return 1 + varintBytes(value);
}

function packedContentBytes(list: readonly number[]): number {
  let bytes = 0;
  for (const value of list) {
    requireInteger(value, uint32Max);
    bytes += varintBytes(value);
  }
  return bytes;
}

function requireInteger(value: number, max: number): void {
  // Y3. Spelled out here, so that the sentence is made only when it is needed.
  if (value >= 0 && value <= max && Number.isInteger(value)) return;
  invariant(false, 'a message holds a number that its field cannot carry', { value: String(value) });
}

function varintBytes(value: number): number {
  if (value < 2 ** 7) return 1;
  if (value < 2 ** 14) return 2;
  if (value < 2 ** 21) return 3;
  if (value < 2 ** 28) return 4;
  if (value < 2 ** 35) return 5;
  if (value < 2 ** 42) return 6;
  return value < 2 ** 49 ? 7 : 8;
}

const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0;
