/**
 * The newest batches of all logs of the node, in memory: what followers and consumers at the head of a log read.
 *
 * Owns which buffers stay. Called by `PartitionLog` for its own log and by the node log after each group.
 *
 * T1 The tail of a log is its last part without gaps: [tail.base, end of the log).
 * T2 Bytes that are not durable are never evicted; the rest goes oldest first, in the order of the node log, as soon as
 *    there is more than `bytesMax`: `bytes` is more only when what is not durable is.
 * T3 `bytes` counts backing stores, each once, however many batches lie in them, and what a chunk itself takes: with
 *    batches of 100 bytes that is most of it.
 */
import { readBatchHeader } from '@sluice/record';
import type { StoredBytes } from './group.ts';

/** Smaller appends are copied: a 100-byte slice would pin the 64 KiB socket buffer that it came in. */
const keptBytesMin = 16 * 1024;
const arenaBytes = 64 * 1024;
/** About what a chunk takes beside its bytes. */
const chunkOverheadBytes = 144;

/** A backing store that chunks lie in. */
interface Store {
  readonly bytes: Uint8Array;
  chunks: number;
}

/** Whole batches, in one store. A view of them is made when they are read: most never are. */
class Chunk {
  readonly base: number;
  end: number;
  readonly held: Store;
  readonly from: number;
  to: number;
  /** The group that makes it durable. */
  readonly group: number;
  readonly owner: LogTail;
  dropped = false;

  constructor(span: Span, place: Place, group: number, owner: LogTail) {
    this.base = span.baseOffset;
    this.end = span.endOffset;
    this.held = place.held;
    this.from = place.from;
    this.to = place.from + place.bytes;
    this.group = group;
    this.owner = owner;
  }

  get store(): Uint8Array {
    return this.held.bytes;
  }

  get length(): number {
    return this.to - this.from;
  }

  get bytes(): Uint8Array {
    return this.held.bytes.subarray(this.from, this.to);
  }
}

interface Span {
  readonly baseOffset: number;
  readonly endOffset: number;
}

interface Place {
  readonly held: Store;
  readonly from: number;
  readonly bytes: number;
}

export class Tail {
  readonly #bytesMax: number;
  readonly #stores = new Map<ArrayBufferLike, Store>();
  /** Of the newest chunk: the next one mostly lies in the same. */
  #store: Store | undefined;
  #bytes = 0;
  /** In the order of the node log; everything before `#first` is gone, and no longer referred to. */
  #chunks: (Chunk | undefined)[] = [];
  #first = 0;
  #durableGroup = 0;
  #arena = new Uint8Array(0);
  #arenaUsed = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps the buffer itself when it is large, else a copy in an arena. */
  add(batches: Uint8Array, span: Span, group: number, owner: LogTail): Chunk {
    const isCopied = batches.length < keptBytesMin;
    const from = isCopied ? this.#copy(batches) : batches.byteOffset;
    const held = this.#storeOf(isCopied ? this.#arena.buffer : batches.buffer);
    held.chunks += 1;
    this.#bytes += chunkOverheadBytes;
    const chunk = new Chunk(span, { held, from, bytes: batches.length }, group, owner);
    this.#chunks.push(chunk);
    return chunk;
  }

  /** Where it lies in the arena. */
  #copy(bytes: Uint8Array): number {
    if (this.#arenaUsed + bytes.length > this.#arena.length) {
      this.#arena = new Uint8Array(arenaBytes);
      this.#arenaUsed = 0;
    }
    const from = this.#arenaUsed;
    this.#arena.set(bytes, from);
    this.#arenaUsed += bytes.length;
    return from;
  }

  /** After the chunk is its owner's. */
  added(): void {
    if (this.#bytes > this.#bytesMax) this.evict(this.#durableGroup);
  }

  #storeOf(buffer: ArrayBufferLike): Store {
    if (this.#store?.bytes.buffer === buffer && this.#store.chunks > 0) return this.#store;
    let store = this.#stores.get(buffer);
    if (store === undefined) {
      store = { bytes: new Uint8Array(buffer), chunks: 0 };
      this.#stores.set(buffer, store);
      this.#bytes += buffer.byteLength;
    }
    this.#store = store;
    return store;
  }

  /** The log no longer holds it. */
  drop(chunk: Chunk): void {
    if (chunk.dropped) return;
    chunk.dropped = true;
    this.#bytes -= chunkOverheadBytes;
    const { held } = chunk;
    held.chunks -= 1;
    if (held.chunks > 0) return;
    const { buffer } = held.bytes;
    this.#stores.delete(buffer);
    this.#bytes -= buffer.byteLength;
    // Nothing may still be written into an arena that is no longer counted.
    if (buffer === this.#arena.buffer) this.#arenaUsed = this.#arena.length;
  }

  evict(durableGroup: number): void {
    this.#durableGroup = durableGroup;
    while (this.#first < this.#chunks.length) {
      const chunk = this.#chunks[this.#first];
      if (chunk === undefined) break;
      if (!chunk.dropped) {
        if (this.#bytes <= this.#bytesMax || chunk.group > durableGroup) break;
        chunk.owner.evictFirst(chunk);
        this.drop(chunk);
      }
      this.#chunks[this.#first] = undefined;
      this.#first += 1;
    }
    if (this.#first > 1024 && this.#first * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }
}

/** The tail of one log. */
export class LogTail {
  readonly #tail: Tail;
  /** Slots before `#first` are empty: what was evicted must not be referred to from here. */
  #chunks: (Chunk | undefined)[] = [];
  #first = 0;

  constructor(tail: Tail) {
    this.#tail = tail;
  }

  /** First offset in memory; undefined when there is none. */
  get base(): number | undefined {
    return this.#chunks[this.#first]?.base;
  }

  /** What is kept of the batches; `group` makes them durable. */
  add(batches: Uint8Array, span: Span, group: number): StoredBytes {
    const chunk = this.#tail.add(batches, span, group, this);
    this.#chunks.push(chunk);
    this.#tail.added();
    return chunk;
  }

  /** Whole batches from the one that contains `from`; `from` must be at or after `base` and before `upTo`. */
  read(from: number, upTo: number, bytesMax: number): { batches: Uint8Array[]; bytes: number; end: number } {
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let end = from;
    for (let at = this.#find(from); at < this.#chunks.length; at += 1) {
      const chunk = this.#chunks[at];
      if (chunk === undefined) break;
      const whole = chunk.base >= from && chunk.end <= upTo && bytes + chunk.length <= bytesMax;
      const part = whole
        ? { bytes: chunk.bytes, end: chunk.end }
        : slice(chunk, { from, upTo, bytesMax: bytesMax - bytes, atLeastOne: batches.length === 0 });
      if (part.bytes.length > 0) {
        batches.push(part.bytes);
        bytes += part.bytes.length;
        end = part.end;
      }
      if (part.end < chunk.end || part.bytes.length === 0) break;
    }
    return { batches, bytes, end };
  }

  /** Keeps what lies below `to`, a batch boundary. */
  cut(to: number): void {
    while (this.#chunks.length > this.#first) {
      const chunk = this.#chunks.at(-1);
      if (chunk === undefined || chunk.end <= to) return;
      if (chunk.base < to) {
        const part = slice(chunk, { from: chunk.base, upTo: to, bytesMax: chunk.length, atLeastOne: false });
        chunk.to = chunk.from + part.bytes.length;
        chunk.end = part.end;
        return;
      }
      this.#chunks.pop();
      this.#tail.drop(chunk);
    }
  }

  /** Forgets chunks that lie wholly below `start`. */
  dropBelow(start: number): void {
    for (
      let chunk = this.#chunks[this.#first];
      chunk !== undefined && chunk.end <= start;
      chunk = this.#chunks[this.#first]
    ) {
      this.evictFirst(chunk);
      this.#tail.drop(chunk);
    }
  }

  /** What begins below `to` is read from its file from now on: all of it is durable. */
  evictBelow(to: number): void {
    for (
      let chunk = this.#chunks[this.#first];
      chunk !== undefined && chunk.base < to;
      chunk = this.#chunks[this.#first]
    ) {
      this.evictFirst(chunk);
      this.#tail.drop(chunk);
    }
  }

  evictFirst(chunk: Chunk): void {
    if (this.#chunks[this.#first] !== chunk) return;
    this.#chunks[this.#first] = undefined;
    this.#first += 1;
    if (this.#first > 64 && this.#first * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
  }

  #find(offset: number): number {
    let low = this.#first;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#chunks[middle]?.base ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(this.#first, low - 1);
  }
}

export interface SliceLimits {
  readonly from: number;
  readonly upTo: number;
  readonly bytesMax: number;
  readonly atLeastOne: boolean;
}

/** The batches of `chunk` from the one that contains `from`, without copying. */
export function slice(
  { bytes: all }: { readonly base: number; readonly bytes: Uint8Array },
  limits: SliceLimits,
): { bytes: Uint8Array; end: number } {
  let first = -1;
  let at = 0;
  let end = limits.from;
  while (at < all.length) {
    const read = readBatchHeader(all, at);
    if (!read.ok) break;
    const batchEnd = read.value.baseOffset + read.value.lastOffsetDelta + 1;
    if (batchEnd > limits.from) {
      if (batchEnd > limits.upTo) break;
      const taken = at + read.value.batchBytes - (first < 0 ? at : first);
      if (taken > limits.bytesMax && !(limits.atLeastOne && first < 0)) break;
      if (first < 0) first = at;
      end = batchEnd;
    }
    at += read.value.batchBytes;
  }
  return first < 0 ? { bytes: all.subarray(0, 0), end: limits.from } : { bytes: all.subarray(first, at), end };
}
