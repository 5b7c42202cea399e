/**
 * The chunks of the tail: whole batches each, in the order of the node log. Owned by `Tail`.
 *
 * Over thousands of logs each small batch is a chunk, and lives for long: as objects they cost the collector more than the
 * copy of their bytes. So they are columns of numbers, a ring of slots, and a chunk is known by its number, which counts on.
 * Whoever holds a number holds nothing in memory.
 */
import type { StoredBytes } from './group.ts';

/** The tail of a log. */
export interface ChunkOwner {
  /** The chunk goes, for want of room; it is the oldest of its log. */
  evictFirst(chunk: number): void;
}

/** A backing store that chunks lie in. */
export interface Store {
  readonly bytes: Uint8Array;
  chunks: number;
}

export interface Span {
  readonly baseOffset: number;
  readonly endOffset: number;
}

/** About what a chunk takes beside its bytes: its slot, and its number at its owner; as many again may be free. */
export const chunkOverheadBytes = 2 * (3 * 8 + 2 * 4 + 2 * 8 + 8);
const slotsMin = 1024;
const noBytes = new Uint8Array(0);

export class TailChunks {
  #mask = slotsMin - 1;
  /** Numbers from here on have a slot. */
  #first = 0;
  #next = 0;
  #base = new Float64Array(slotsMin);
  #end = new Float64Array(slotsMin);
  #group = new Float64Array(slotsMin);
  #from = new Uint32Array(slotsMin);
  #to = new Uint32Array(slotsMin);
  #held: (Store | undefined)[] = emptySlots(slotsMin);
  #owner: (ChunkOwner | undefined)[] = emptySlots(slotsMin);

  /** Number of the oldest. */
  get first(): number {
    return this.#first;
  }

  /** Number of the next one. */
  get next(): number {
    return this.#next;
  }

  /** That there is room for; few again once there are few chunks. */
  get slots(): number {
    return this.#mask + 1;
  }

  /** `group` makes it durable. Where it lies is for `place` to say, at once. */
  add({ baseOffset, endOffset }: Span, group: number, owner: ChunkOwner): number {
    const number = this.#next;
    if (number - this.#first >= this.slots) this.#resize(2 * this.slots);
    this.#next += 1;
    const slot = number & this.#mask;
    this.#base[slot] = baseOffset;
    this.#end[slot] = endOffset;
    this.#group[slot] = group;
    this.#owner[slot] = owner;
    return number;
  }

  /** Apart from `add`, so that no object is made for each chunk. */
  place(number: number, held: Store, from: number, bytes: number): void {
    const slot = number & this.#mask;
    this.#from[slot] = from;
    this.#to[slot] = from + bytes;
    this.#held[slot] = held;
  }

  base(number: number): number {
    return this.#base[number & this.#mask] ?? 0;
  }

  end(number: number): number {
    return this.#end[number & this.#mask] ?? 0;
  }

  group(number: number): number {
    return this.#group[number & this.#mask] ?? 0;
  }

  length(number: number): number {
    const slot = number & this.#mask;
    return (this.#to[slot] ?? 0) - (this.#from[slot] ?? 0);
  }

  /** Undefined of one that was dropped. */
  owner(number: number): ChunkOwner | undefined {
    return this.#owner[number & this.#mask];
  }

  /** Made when they are read: most never are. */
  bytes(number: number): Uint8Array {
    const slot = number & this.#mask;
    return this.#held[slot]?.bytes.subarray(this.#from[slot], this.#to[slot]) ?? noBytes;
  }

  /** Where they lie. */
  stored(number: number): StoredBytes {
    const slot = number & this.#mask;
    const store = this.#held[slot]?.bytes ?? noBytes;
    return { store, from: this.#from[slot] ?? 0, to: this.#to[slot] ?? 0 };
  }

  /** Keeps the first `bytes` of it, up to `end`. */
  cut(number: number, { end, bytes }: { readonly end: number; readonly bytes: number }): void {
    const slot = number & this.#mask;
    this.#end[slot] = end;
    this.#to[slot] = (this.#from[slot] ?? 0) + bytes;
  }

  /** Its store; undefined when it was dropped before. */
  drop(number: number): Store | undefined {
    const slot = number & this.#mask;
    const held = this.#held[slot];
    this.#held[slot] = undefined;
    this.#owner[slot] = undefined;
    return held;
  }

  /** The oldest has no slot any more; it was dropped. */
  forgetFirst(): void {
    this.#first += 1;
    const { slots } = this;
    if (slots > slotsMin && (this.#next - this.#first) * 4 < slots) this.#resize(slots / 2);
  }

  #resize(slots: number): void {
    const numbers = (from: Float64Array): Float64Array<ArrayBuffer> => this.#moved(from, new Float64Array(slots));
    const places = (from: Uint32Array): Uint32Array<ArrayBuffer> => this.#moved(from, new Uint32Array(slots));
    this.#base = numbers(this.#base);
    this.#end = numbers(this.#end);
    this.#group = numbers(this.#group);
    this.#from = places(this.#from);
    this.#to = places(this.#to);
    this.#held = this.#moved(this.#held, emptySlots<Store>(slots));
    this.#owner = this.#moved(this.#owner, emptySlots<ChunkOwner>(slots));
    this.#mask = slots - 1;
  }

  /** To as many slots as `to` has. */
  #moved<T, Column extends { [slot: number]: T; readonly length: number }>(
    from: { readonly [slot: number]: T },
    to: Column,
  ): Column {
    const mask = to.length - 1;
    for (let number = this.#first; number < this.#next; number += 1) {
      to[number & mask] = from[number & this.#mask] as T;
    }
    return to;
  }
}

function emptySlots<T>(count: number): (T | undefined)[] {
  const slots: (T | undefined)[] = [];
  while (slots.length < count) slots.push(undefined);
  return slots;
}
