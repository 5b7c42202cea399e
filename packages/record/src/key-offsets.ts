/**
 * Offset of the newest record of each key, in memory that is fixed from the start: 24 bytes for each place of a table of
 * which three quarters are used. Keys are known by 16 bytes of a hash that nobody can find two keys for. Owned by one
 * pass of compaction.
 *
 * K1. A key is at the first free or equal place from the one that its hash names, around the end of the table.
 */
import { invariant } from '@sluice/base';

/** The first 16 bytes of what it gives count. */
export type KeyHash = (key: Uint8Array) => Uint8Array;

const placeBytes = 24;
const wordsPerHash = 4;
/** Fuller than this the way to a free place becomes long. */
const fillMax = 0.75;

export class KeyOffsets {
  readonly #hash: KeyHash;
  readonly #hashes: Uint32Array;
  /** One more than the offset; 0 is free. */
  readonly #offsets: Float64Array;
  readonly #countMax: number;
  #count = 0;

  /** `keysMax`: no more are expected; `bytesMax`: no more memory is taken, whatever is expected. */
  constructor(hash: KeyHash, { keysMax, bytesMax }: { readonly keysMax: number; readonly bytesMax: number }) {
    const wanted = Math.max(8, 2 ** Math.ceil(Math.log2(Math.max(1, keysMax) / fillMax)));
    const places = Math.min(wanted, 2 ** Math.floor(Math.log2(bytesMax / placeBytes)));
    invariant(places >= 8, 'a table of keys has room for some', { bytesMax });
    this.#hash = hash;
    this.#hashes = new Uint32Array(places * wordsPerHash);
    this.#offsets = new Float64Array(places);
    this.#countMax = Math.floor(places * fillMax);
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#hashes.byteLength + this.#offsets.byteLength;
  }

  /** Offsets of one key come in rising order. False, and nothing is kept, when the key is new and there is no room. */
  put(key: Uint8Array, offset: number): boolean {
    const words = this.#words(key);
    const place = this.#placeOf(words);
    if (this.#offsets[place] === 0) {
      if (this.#count === this.#countMax) return false;
      this.#count += 1;
      this.#hashes.set(words, place * wordsPerHash);
    }
    this.#offsets[place] = offset + 1;
    return true;
  }

  /** −1 for a key that was not put. */
  newestOf(key: Uint8Array): number {
    return (this.#offsets[this.#placeOf(this.#words(key))] ?? 0) - 1;
  }

  #words(key: Uint8Array): Uint32Array {
    const hash = this.#hash(key);
    const view = new DataView(hash.buffer, hash.byteOffset, hash.byteLength);
    return Uint32Array.of(view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12));
  }

  /** K1 */
  #placeOf(words: Uint32Array): number {
    const mask = this.#offsets.length - 1;
    let place = (words[0] ?? 0) & mask;
    while (this.#offsets[place] !== 0 && !this.#isAt(place, words)) place = (place + 1) & mask;
    return place;
  }

  #isAt(place: number, words: Uint32Array): boolean {
    const at = place * wordsPerHash;
    const hashes = this.#hashes;
    return (
      hashes[at] === words[0] &&
      hashes[at + 1] === words[1] &&
      hashes[at + 2] === words[2] &&
      hashes[at + 3] === words[3]
    );
  }
}
