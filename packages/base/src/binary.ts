/**
 * Fields one after another: big-endian, or as varints where most are small. Nothing here throws on bad bytes: a reader
 * remembers that it failed.
 */
import { utf8Decode, utf8Encode } from './utf8.ts';
import { VarintReader, writeVarlong } from './varint.ts';

const integerBytesMax = 10;

export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(bytes = 1024) {
    this.#bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get length(): number {
    return this.#at;
  }

  /** Begins anew, in the same memory. */
  clear(): void {
    this.#at = 0;
  }

  /** What was written so far; valid until the next write. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#view.setUint16(this.#at, value);
    this.#at += 2;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
  }

  /** A position: 0 to 2^53 − 1. */
  u64(value: number): void {
    this.#reserve(8);
    this.#view.setUint32(this.#at, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(this.#at + 4, value >>> 0);
    this.#at += 8;
  }

  /** Any whole number within ±(2^53 − 1), the shorter the smaller it is: 1 byte up to 63, 2 up to 8191. */
  integer(value: number): void {
    this.#reserve(integerBytesMax);
    this.#at = writeVarlong(this.#bytes, this.#at, value);
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** At most 2^16 − 2 bytes of UTF-8; null is told apart from empty. */
  text(value: string | null): void {
    if (value === null) {
      this.u16(0xffff);
      return;
    }
    const encoded = utf8Encode(value);
    this.u16(encoded.length);
    this.bytes(encoded);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + bytes));
    grown.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #varints: VarintReader;
  #at = 0;
  #failed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#varints = new VarintReader(bytes);
  }

  /** True once a read went past the end or met an impossible value; what it returned since means nothing. */
  get failed(): boolean {
    return this.#failed;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#has(1) ? this.#view.getUint8(this.#at - 1) : 0;
  }

  u16(): number {
    return this.#has(2) ? this.#view.getUint16(this.#at - 2) : 0;
  }

  u32(): number {
    return this.#has(4) ? this.#view.getUint32(this.#at - 4) : 0;
  }

  u64(): number {
    if (!this.#has(8)) return 0;
    const high = this.#view.getUint32(this.#at - 8);
    const low = this.#view.getUint32(this.#at - 4);
    // A sum of fractions is kept as one, also when it is small: 16 bytes more for each field that holds it.
    if (high === 0) return low;
    const value = high * 0x1_0000_0000 + low;
    if (Number.isSafeInteger(value)) return value;
    this.#failed = true;
    return 0;
  }

  /** As `ByteWriter.integer` writes it, and in no longer form: a number has one. */
  integer(): number {
    const varints = this.#varints;
    const from = this.#at;
    varints.at = from;
    const value = this.#failed ? undefined : varints.readVarlong();
    if (value === undefined || (varints.at > from + 1 && this.#bytes[varints.at - 1] === 0)) {
      this.#failed = true;
      return 0;
    }
    this.#at = varints.at;
    return value;
  }

  /** One that is not negative. */
  count(): number {
    const value = this.integer();
    if (value >= 0) return value;
    this.#failed = true;
    return 0;
  }

  bytes(length: number): Uint8Array {
    return this.#has(length) ? this.#bytes.subarray(this.#at - length, this.#at) : new Uint8Array(0);
  }

  text(): string | null {
    const length = this.u16();
    if (length === 0xffff) return null;
    const decoded = utf8Decode(this.bytes(length));
    if (decoded === undefined) this.#failed = true;
    return decoded ?? '';
  }

  fail(): void {
    this.#failed = true;
  }

  #has(bytes: number): boolean {
    if (this.#failed || this.left < bytes) {
      this.#failed = true;
      return false;
    }
    this.#at += bytes;
    return true;
  }
}
