/**
 * What a decompressor of the LZ77 family writes to: literals, and copies of what it wrote before. Grows with what is
 * written, so that a length that the input only claims allocates nothing.
 */
const firstBytes = 4096;

export class LzOutput {
  readonly #bytesMax: number;
  #bytes: Uint8Array;
  #end = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#bytes = new Uint8Array(Math.min(firstBytes, bytesMax));
  }

  get byteLength(): number {
    return this.#end;
  }

  /** Throws when it would be too long. */
  literal(bytes: Uint8Array): void {
    this.#reserve(bytes.byteLength);
    this.#bytes.set(bytes, this.#end);
    this.#end += bytes.byteLength;
  }

  /** `length` bytes from `distance` back; they may be bytes that this very copy writes. */
  copy(distance: number, length: number): void {
    if (distance < 1 || distance > this.#end) throw new Error(`a copy from ${distance} back at ${this.#end}`);
    this.#reserve(length);
    const bytes = this.#bytes;
    const from = this.#end - distance;
    if (distance >= length) bytes.copyWithin(this.#end, from, from + length);
    else for (let at = 0; at < length; at += 1) bytes[this.#end + at] = bytes[from + at] ?? 0;
    this.#end += length;
  }

  take(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  #reserve(more: number): void {
    const needed = this.#end + more;
    if (needed > this.#bytesMax) throw new Error(`more than ${this.#bytesMax} bytes`);
    if (needed <= this.#bytes.byteLength) return;
    const grown = new Uint8Array(Math.min(this.#bytesMax, Math.max(needed, this.#bytes.byteLength * 2)));
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
  }
}
