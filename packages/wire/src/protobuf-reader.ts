/**
 * Reads one message of the protobuf wire format from a list of chunks, without joining them. It owns the position; the
 * codecs of the hot messages call it, field by field, in the order of the bytes.
 *
 * Z1. A `bytes` field that lies in one chunk is a view into it. One that straddles chunks is gathered once, into a
 *     buffer of its own of exactly its size: a batch is contiguous from here on, patched in place, one piece for the
 *     disk and one for each follower.
 * Z2. A length is compared with what is there before anything is allocated or skipped by it.
 * Z3. Whatever the bytes are, nothing but `INVALID_REQUEST` is thrown, and no recursion follows them.
 *
 * A tag is passed as it stands in the bytes: the field number, then three bits of wire type. In octal it reads so:
 * `0o42` is field 4, length-delimited.
 */
import type { Message } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { messageBytes } from './message-bytes.ts';

const empty = Buffer.alloc(0);

/** Groups are not part of the contract; a stranger's may be nested this deep, as deep as proto-loader takes them. */
const groupDepthMax = 100;

const varintBytesMax = 10;
const tagMax = 0xffff_ffff;

export class ProtobufReader {
  readonly #what: string;
  readonly #chunks: Message;
  #next = 0;
  #chunk: Buffer = empty;
  /** In `#chunk`. */
  #at = 0;
  /** Bytes in the chunks before `#chunk`. */
  #before = 0;
  /** Where the message or sub-message that is being read ends, from the start of the whole. */
  #end: number;
  // The last varint, in pieces of 28, 28 and 8 bits.
  #low = 0;
  #middle = 0;
  #high = 0;

  constructor(message: Message, what: string) {
    this.#chunks = message;
    this.#what = what;
    this.#end = messageBytes(message);
  }

  /** The tag of the next field, 0 at the end of the message. */
  tag(): number {
    const position = this.#before + this.#at;
    if (position >= this.#end) return this.#atEnd(position);
    const byte = this.#chunk[this.#at] ?? 0x80;
    if (byte < 0x80) {
      this.#at += 1;
      if (byte < 8) throw this.#malformed('a field has the number 0');
      return byte;
    }
    this.#varint();
    const tag = this.#middle * 2 ** 28 + this.#low;
    if (this.#high !== 0 || tag > tagMax) throw this.#malformed('a field has a number beyond 2^29 − 1');
    if (tag < 8) throw this.#malformed('a field has the number 0');
    return tag;
  }

  uint32(): number {
    const byte = this.#chunk[this.#at] ?? 0x80;
    if (byte < 0x80) {
      this.#at += 1;
      return byte;
    }
    this.#varint();
    // As protobuf says: what does not fit is cut off.
    return (this.#low | (this.#middle << 28)) >>> 0;
  }

  int32(): number {
    return this.uint32() | 0;
  }

  sint32(): number {
    const zigzag = this.uint32();
    return (zigzag >>> 1) ^ -(zigzag & 1);
  }

  uint64(): number {
    const byte = this.#chunk[this.#at] ?? 0x80;
    if (byte < 0x80) {
      this.#at += 1;
      return byte;
    }
    this.#varint();
    if (this.#high === 0 && this.#middle < 2 ** 25) return this.#middle * 2 ** 28 + this.#low;
    throw new SluiceError('INVALID_REQUEST', {
      message: `The ${this.#what} holds an integer that is too large; the largest allowed is 2^53 − 1.`,
    });
  }

  bool(): boolean {
    this.#varint();
    return (this.#low | this.#middle | this.#high) !== 0;
  }

  text(): string {
    const length = this.#length();
    if (length <= this.#chunk.length - this.#at) {
      this.#at += length;
      return this.#chunk.toString('utf8', this.#at - length, this.#at);
    }
    return this.#gathered(length).toString('utf8');
  }

  /** Z1. */
  bytes(): Uint8Array {
    const length = this.#length();
    if (length === 0) return empty;
    if (this.#at === this.#chunk.length) this.#advance();
    if (length > this.#chunk.length - this.#at) return this.#gathered(length);
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  /** A sub-message. `before` is what the field already held: the two are merged, as protobuf says. */
  message<T>(read: (reader: ProtobufReader, before: T | null) => T, before: T | null = null): T {
    const outer = this.#enter();
    const value = read(this, before);
    this.#end = outer;
    return value;
  }

  /** Appends the integers of a packed field. */
  packed(integers: number[]): void {
    const outer = this.#enter();
    while (this.#before + this.#at < this.#end) integers.push(this.uint32());
    if (this.#before + this.#at > this.#end) throw this.#malformed('a packed list ends within a number');
    this.#end = outer;
  }

  /** Passes over a field of a later version. One up to `fieldMax` is known, so its wire type is wrong. */
  skip(tag: number, fieldMax: number): void {
    if (tag >>> 3 <= fieldMax) throw this.#malformed(`field ${tag >>> 3} has the wire type ${tag & 7}`);
    const open: number[] = [];
    for (let current = tag; ; current = this.#tagInGroup()) {
      this.#skipOne(current, open);
      if (open.length === 0) return;
    }
  }

  #skipOne(tag: number, open: number[]): void {
    switch (tag & 7) {
      case 0:
        return this.#varint();
      case 1:
        return this.#pass(8);
      case 2:
        return this.#pass(this.#length());
      case 3:
        if (open.push(tag >>> 3) > groupDepthMax) throw this.#malformed(`more than ${groupDepthMax} groups are nested`);
        return;
      case 4:
        if (open.pop() !== tag >>> 3) throw this.#malformed('a group ends that did not begin');
        return;
      case 5:
        return this.#pass(4);
      default:
        throw this.#malformed(`the wire type ${tag & 7} is none`);
    }
  }

  #tagInGroup(): number {
    const tag = this.tag();
    if (tag === 0) throw this.#malformed('a group does not end');
    return tag;
  }

  #enter(): number {
    const length = this.#length();
    const outer = this.#end;
    this.#end = this.#before + this.#at + length;
    return outer;
  }

  #atEnd(position: number): number {
    if (position > this.#end) throw this.#malformed('a field reaches beyond the message that it is in');
    return 0;
  }

  /** A length prefix (Z2). */
  #length(): number {
    const byte = this.#chunk[this.#at] ?? 0x80;
    let length = byte;
    if (byte < 0x80) {
      this.#at += 1;
    } else {
      this.#varint();
      // Beyond 2^53 it is no longer exact, but still beyond the end.
      length = this.#high * 2 ** 56 + this.#middle * 2 ** 28 + this.#low;
    }
    if (length > this.#end - this.#before - this.#at) throw this.#malformed('a length reaches beyond the end');
    return length;
  }

  #varint(): void {
    let low = 0;
    let middle = 0;
    let high = 0;
    for (let at = 0; at < varintBytesMax; at += 1) {
      if (this.#at === this.#chunk.length) this.#advance();
      const byte = this.#chunk[this.#at] ?? 0;
      this.#at += 1;
      const bits = byte & 0x7f;
      if (at < 4) low |= bits << (7 * at);
      else if (at < 8) middle |= bits << (7 * (at - 4));
      else high |= bits << (7 * (at - 8));
      if (byte < 0x80) {
        this.#low = low;
        this.#middle = middle;
        this.#high = high;
        if (high > 0xff) break;
        return;
      }
    }
    throw this.#malformed('an integer is longer than 64 bits');
  }

  /** Moves to the next chunk that holds anything. */
  #advance(): void {
    do {
      const next = this.#chunks[this.#next];
      if (next === undefined) throw this.#malformed('it is cut off');
      this.#before += this.#chunk.length;
      this.#chunk = asBuffer(next);
      this.#next += 1;
      this.#at = 0;
    } while (this.#chunk.length === 0);
  }

  #pass(length: number): void {
    let left = length;
    while (left > this.#chunk.length - this.#at) {
      left -= this.#chunk.length - this.#at;
      this.#at = this.#chunk.length;
      this.#advance();
    }
    this.#at += left;
  }

  #gathered(length: number): Buffer {
    // Not from the pool, which would outlive it or be kept by it; every byte is written below.
    const whole = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      if (this.#at === this.#chunk.length) this.#advance();
      const end = Math.min(this.#at + length - filled, this.#chunk.length);
      whole.set(this.#chunk.subarray(this.#at, end), filled);
      filled += end - this.#at;
      this.#at = end;
    }
    return whole;
  }

  #malformed(why: string): SluiceError {
    return new SluiceError('INVALID_REQUEST', {
      message: `The ${this.#what} is not what its .proto file says: ${why}.`,
    });
  }
}

const asBuffer = (chunk: Uint8Array): Buffer =>
  Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
