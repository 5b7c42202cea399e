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
import { invariant } from '@sluice/base';
import { readBatchHeader } from '@sluice/record';
import type { StoredBytes } from './group.ts';
import { type ChunkOwner, chunkOverheadBytes, type Span, type Store, TailChunks } from './tail-chunks.ts';

/** Smaller appends are copied: a 100-byte slice would pin the 64 KiB socket buffer that it came in. */
const keptBytesMin = 16 * 1024;
const arenaBytes = 64 * 1024;
export class Tail {
  readonly #bytesMax: number;
  /** Those that were not copied. */
  readonly #stores = new Map<ArrayBufferLike, Store>();
  #bytes = 0;
  readonly chunks = new TailChunks();
  #durableGroup = 0;
  /** Small batches are copied here, until it is full. */
  #arena: Store = { bytes: new Uint8Array(0), chunks: 0 };
  #arenaUsed = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps the buffer itself when it is large, else a copy in an arena; number of the chunk. */
  add(batches: Uint8Array, span: Span, group: number, owner: ChunkOwner): number {
    const isCopied = batches.length < keptBytesMin;
    const from = isCopied ? this.#copy(batches) : batches.byteOffset;
    const held = isCopied ? this.#arena : this.#storeOf(batches.buffer);
    held.chunks += 1;
    this.#bytes += chunkOverheadBytes;
    const chunk = this.chunks.add(span, group, owner);
    this.chunks.place(chunk, held, from, batches.length);
    return chunk;
  }

  /** Where it lies in the arena. */
  #copy(bytes: Uint8Array): number {
    if (this.#arenaUsed + bytes.length > this.#arena.bytes.length) {
      this.#arena = { bytes: new Uint8Array(arenaBytes), chunks: 0 };
      this.#arenaUsed = 0;
      this.#bytes += arenaBytes;
    }
    const from = this.#arenaUsed;
    this.#arena.bytes.set(bytes, from);
    this.#arenaUsed += bytes.length;
    return from;
  }

  /** After the chunk is its owner's. */
  added(): void {
    if (this.#bytes > this.#bytesMax) this.evict(this.#durableGroup);
  }

  #storeOf(buffer: ArrayBufferLike): Store {
    let store = this.#stores.get(buffer);
    if (store === undefined) {
      store = { bytes: new Uint8Array(buffer), chunks: 0 };
      this.#stores.set(buffer, store);
      this.#bytes += buffer.byteLength;
    }
    return store;
  }

  /** The log no longer holds it. */
  drop(chunk: number): void {
    const held = this.chunks.drop(chunk);
    if (held === undefined) return;
    this.#bytes -= chunkOverheadBytes;
    held.chunks -= 1;
    if (held.chunks > 0) return;
    this.#bytes -= held.bytes.length;
    // Nothing may still be written into an arena that is no longer counted.
    if (held === this.#arena) this.#arenaUsed = held.bytes.length;
    else if (this.#stores.get(held.bytes.buffer) === held) this.#stores.delete(held.bytes.buffer);
  }

  evict(durableGroup: number): void {
    this.#durableGroup = durableGroup;
    const { chunks } = this;
    while (chunks.first < chunks.next) {
      const chunk = chunks.first;
      const owner = chunks.owner(chunk);
      if (owner !== undefined) {
        if (this.#bytes <= this.#bytesMax || chunks.group(chunk) > durableGroup) break;
        owner.evictFirst(chunk);
        this.drop(chunk);
      }
      chunks.forgetFirst();
    }
  }
}

/** The tail of one log. */
export class LogTail implements ChunkOwner {
  readonly #tail: Tail;
  readonly #chunks: TailChunks;
  /** Numbers of its chunks; those before `#first` are gone. */
  #numbers: number[] = [];
  #first = 0;

  constructor(tail: Tail) {
    this.#tail = tail;
    this.#chunks = tail.chunks;
  }

  /** First offset in memory; undefined when there is none. */
  get base(): number | undefined {
    const oldest = this.#oldest;
    return oldest === undefined ? undefined : this.#chunks.base(oldest);
  }

  /** What is kept of the batches; `group` makes them durable. */
  add(batches: Uint8Array, span: Span, group: number): StoredBytes {
    const chunk = this.#tail.add(batches, span, group, this);
    this.#numbers.push(chunk);
    const kept = this.#chunks.stored(chunk);
    this.#tail.added();
    return kept;
  }

  /** Whole batches from the one that contains `from`; `from` must be at or after `base` and before `upTo`. */
  read(from: number, upTo: number, bytesMax: number): { batches: Uint8Array[]; bytes: number; end: number } {
    const chunks = this.#chunks;
    const batches: Uint8Array[] = [];
    let bytes = 0;
    let end = from;
    for (let at = this.#find(from); at < this.#numbers.length; at += 1) {
      const chunk = this.#numbers[at] ?? 0;
      const all = { bytes: chunks.bytes(chunk), end: chunks.end(chunk) };
      const isWhole = chunks.base(chunk) >= from && all.end <= upTo && bytes + all.bytes.length <= bytesMax;
      const part = isWhole
        ? all
        : slice(all.bytes, { from, upTo, bytesMax: bytesMax - bytes, atLeastOne: batches.length === 0 });
      if (part.bytes.length > 0) {
        batches.push(part.bytes);
        bytes += part.bytes.length;
        end = part.end;
      }
      if (part.end < all.end || part.bytes.length === 0) break;
    }
    return { batches, bytes, end };
  }

  /** Keeps what lies below `to`, a batch boundary. */
  cut(to: number): void {
    const chunks = this.#chunks;
    while (this.#numbers.length > this.#first) {
      const chunk = this.#numbers.at(-1) ?? 0;
      const from = chunks.base(chunk);
      if (chunks.end(chunk) <= to) return;
      if (from < to) {
        const all = chunks.bytes(chunk);
        const part = slice(all, { from, upTo: to, bytesMax: all.length, atLeastOne: false });
        invariant(part.end === to, 'a log is cut between batches', { to, end: part.end });
        chunks.cut(chunk, { end: part.end, bytes: part.bytes.length });
        return;
      }
      this.#numbers.pop();
      this.#tail.drop(chunk);
    }
  }

  /** Forgets chunks that lie wholly below `start`. */
  dropBelow(start: number): void {
    this.#dropWhile((chunk) => this.#chunks.end(chunk) <= start);
  }

  /** What begins below `to` is read from its file from now on: all of it is durable. */
  evictBelow(to: number): void {
    this.#dropWhile((chunk) => this.#chunks.base(chunk) < to);
  }

  evictFirst(chunk: number): void {
    if (this.#oldest !== chunk) return;
    this.#first += 1;
    if (this.#first > 64 && this.#first * 2 > this.#numbers.length) {
      this.#numbers = this.#numbers.slice(this.#first);
      this.#first = 0;
    }
  }

  get #oldest(): number | undefined {
    return this.#first < this.#numbers.length ? this.#numbers[this.#first] : undefined;
  }

  #dropWhile(isGone: (chunk: number) => boolean): void {
    for (let chunk = this.#oldest; chunk !== undefined && isGone(chunk); chunk = this.#oldest) {
      this.evictFirst(chunk);
      this.#tail.drop(chunk);
    }
  }

  #find(offset: number): number {
    let low = this.#first;
    let high = this.#numbers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#chunks.base(this.#numbers[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return Math.max(this.#first, low - 1);
  }
}

interface SliceLimits {
  readonly from: number;
  readonly upTo: number;
  readonly bytesMax: number;
  readonly atLeastOne: boolean;
}

/** The batches from the one that contains `from`, without copying. */
function slice(all: Uint8Array, limits: SliceLimits): { bytes: Uint8Array; end: number } {
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
