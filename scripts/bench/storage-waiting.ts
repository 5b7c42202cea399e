/**
 * The batches of a load that are not durable yet, partition by partition in their order. In columns of numbers: what it
 * takes to measure must be the same over one partition and over 10,000, and an object or a list of its own for each batch
 * costs more than the log does.
 */
const none = -1;

export class WaitingBatches {
  readonly #end: Float64Array;
  readonly #dueMs: Float64Array;
  readonly #buffers: (Uint8Array | undefined)[] = [];
  /** The slot of the next one of its partition, or the next free slot. */
  readonly #next: Int32Array;
  #free = 0;
  /** Of each partition. */
  readonly #first: Int32Array;
  readonly #last: Int32Array;

  /** At most `batchesMax` wait. */
  constructor(partitions: number, batchesMax: number) {
    this.#end = new Float64Array(batchesMax);
    this.#dueMs = new Float64Array(batchesMax);
    this.#next = Int32Array.from({ length: batchesMax }, (_, slot) => slot + 1);
    this.#first = new Int32Array(partitions).fill(none);
    this.#last = new Int32Array(partitions).fill(none);
  }

  add(
    partition: number,
    end: number,
    { dueMs, buffer }: { readonly dueMs: number; readonly buffer: Uint8Array },
  ): void {
    const slot = this.#free;
    this.#free = this.#next[slot] ?? none;
    this.#end[slot] = end;
    this.#dueMs[slot] = dueMs;
    this.#buffers[slot] = buffer;
    this.#next[slot] = none;
    const last = this.#last[partition] ?? none;
    if (last === none) this.#first[partition] = slot;
    else this.#next[last] = slot;
    this.#last[partition] = slot;
  }

  /** Hands over the oldest of the partition when it ends at or before `end`; false when there is none. */
  take(partition: number, end: number, taken: (dueMs: number, buffer: Uint8Array) => void): boolean {
    const slot = this.#first[partition] ?? none;
    if (slot === none || (this.#end[slot] ?? 0) > end) return false;
    const buffer = this.#buffers[slot];
    if (buffer === undefined) return false;
    const next = this.#next[slot] ?? none;
    this.#first[partition] = next;
    if (next === none) this.#last[partition] = none;
    this.#next[slot] = this.#free;
    this.#free = slot;
    taken(this.#dueMs[slot] ?? 0, buffer);
    return true;
  }
}
