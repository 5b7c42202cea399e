/**
 * Zigzag varints, as records and the files of the node log use them (the RPC layer's compact strings are unsigned: nothing
 * is shared with them). `varint` is 32 bits in at most 5 bytes, `varlong` 64 bits in at most 10, of which values within ±(2^53 − 1) are
 * supported. Writers return the position after what they wrote and need room for it.
 */

const twoTo32 = 0x1_0000_0000;

/** Bytes that `value`, a 32-bit integer, takes. */
export function varintBytes(value: number): number {
  return unsignedBytes(((value << 1) ^ (value >> 31)) >>> 0);
}

/** Bytes that `value`, a safe integer, takes. */
export function varlongBytes(value: number): number {
  if (value === (value | 0)) return varintBytes(value);
  // Zigzag doubles: 7 bits a byte hold magnitudes below 2^(7 n − 1).
  const magnitude = value < 0 ? -(value + 1) : value;
  let count = 5;
  for (let limit = 2 ** 34; magnitude >= limit; limit *= 128) count += 1;
  return count;
}

export function writeVarint(target: Uint8Array, at: number, value: number): number {
  return writeUnsigned(target, at, ((value << 1) ^ (value >> 31)) >>> 0);
}

export function writeVarlong(target: Uint8Array, at: number, value: number): number {
  if (value === (value | 0)) return writeVarint(target, at, value);
  const low = (value % twoTo32) | 0;
  const high = Math.floor(value / twoTo32) | 0;
  const sign = high >> 31;
  let zigzagLow = ((low << 1) ^ sign) >>> 0;
  let zigzagHigh = ((high << 1) | (low >>> 31)) ^ sign;
  let position = at;
  while (zigzagHigh !== 0) {
    target[position] = (zigzagLow & 0x7f) | 0x80;
    position += 1;
    zigzagLow = ((zigzagLow >>> 7) | (zigzagHigh << 25)) >>> 0;
    zigzagHigh >>>= 7;
  }
  return writeUnsigned(target, position, zigzagLow);
}

/** Reads one varint after another; every read is undefined when the bytes end inside it or it holds too large a value. */
export class VarintReader {
  readonly bytes: Uint8Array;
  /** Position of the next byte; meaningless after a read gave undefined. */
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  readVarint(): number | undefined {
    const first = this.bytes[this.at];
    if (first === undefined) return undefined;
    this.at += 1;
    if (first < 0x80) return (first >>> 1) ^ -(first & 1);
    let zigzag = first & 0x7f;
    for (let shift = 7; shift <= 28; shift += 7) {
      const byte = this.bytes[this.at];
      if (byte === undefined) return undefined;
      this.at += 1;
      zigzag |= (byte & 0x7f) << shift;
      if (byte < 0x80) return shift === 28 && byte > 0x0f ? undefined : (zigzag >>> 1) ^ -(zigzag & 1);
    }
    return undefined;
  }

  readVarlong(): number | undefined {
    const first = this.bytes[this.at];
    if (first === undefined) return undefined;
    if (first < 0x80) {
      this.at += 1;
      return (first >>> 1) ^ -(first & 1);
    }
    return this.#readLongForm();
  }

  /** Gathers 28 + 28 + 8 bits, because numbers above 2^53 must be refused and not rounded. */
  #readLongForm(): number | undefined {
    let low = 0;
    let middle = 0;
    let top = 0;
    for (let index = 0; index < 10; index += 1) {
      const byte = this.bytes[this.at];
      if (byte === undefined) return undefined;
      this.at += 1;
      const bits = byte & 0x7f;
      if (index < 4) low |= bits << (7 * index);
      else if (index < 8) middle |= bits << (7 * (index - 4));
      else if (index === 8) top = bits;
      else top |= bits << 7;
      if (byte < 0x80) return unzigzag(low, middle, top);
    }
    return undefined;
  }
}

/** The number whose zigzag form is `top · 2^56 + middle · 2^28 + low`, or undefined beyond ±(2^53 − 1). */
function unzigzag(low: number, middle: number, top: number): number | undefined {
  const negative = (low & 1) === 1;
  // Halved first: the magnitude then fits a double exactly whenever it is safe.
  const magnitude = top * 2 ** 55 + middle * 2 ** 27 + (low >>> 1);
  const value = negative ? -magnitude - 1 : magnitude;
  return Number.isSafeInteger(value) ? value : undefined;
}

function unsignedBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

function writeUnsigned(target: Uint8Array, at: number, value: number): number {
  let rest = value;
  let position = at;
  while (rest >= 0x80) {
    target[position] = (rest & 0x7f) | 0x80;
    position += 1;
    rest >>>= 7;
  }
  target[position] = rest;
  return position + 1;
}
