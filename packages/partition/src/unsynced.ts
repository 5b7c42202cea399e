/**
 * What one log holds beyond its durable end, and how far it may be acked from memory all the same (durability
 * `replicated`). Owned by a replica, told by `ack-end.ts`; of a topic with `fsync` it is told nothing.
 *
 * U1 Acked and not durable are never more than `unsyncedBytesMax` of a partition here, whatever the disk does.
 * U2 While anything waits for the disk longer than `unsyncedMsMax`, nothing more is acked from memory.
 * U3 What was acked stays so; bytes that left the log are forgotten.
 * U4 One entry for each acked batch, hence at most 4,300, and one for each `entryBytesMin` of what waits behind them.
 */
import type { Offset } from '@sluice/base';

/** The most that a power cut can take of one partition at one replica: what is acked and not synced. */
export const unsyncedBytesMax = 256 * 1024;
/** A disk that takes longer to sync is waited for, as with `fsync`. */
export const unsyncedMsMax = 100;

/** Batches that cannot be acked yet are told apart only so far. */
const entryBytesMin = 4 * 1024;

export interface Appended {
  readonly start: Offset;
  readonly end: Offset;
  readonly bytes: number;
}

interface Entry {
  readonly start: Offset;
  end: Offset;
  bytes: number;
  /** Of all entries up to this one, from an origin of their own. */
  bytesEnd: number;
  /** When the first byte of it was appended. */
  readonly atMs: number;
}

export class Unsynced {
  #entries: Entry[] = [];
  /** Entries before it are durable. */
  #head = 0;
  /** Entries before it are acked. */
  #next = 0;
  #durableBytes = 0;
  #bytesEnd = 0;

  appended({ start, end, bytes }: Appended, nowMs: number): void {
    this.#bytesEnd += bytes;
    const last = this.#entries.at(-1);
    if (last !== undefined && this.#entries.length > this.#next && last.bytes < entryBytesMin) {
      last.end = end;
      last.bytes += bytes;
      last.bytesEnd = this.#bytesEnd;
    } else {
      this.#entries.push({ start, end, bytes, bytesEnd: this.#bytesEnd, atMs: nowMs });
    }
  }

  /**
   * The log is empty and begins at `to`. Until that is durable a crash brings the old one back, whatever was appended
   * since, so it counts as more than may be lost.
   */
  restarted(to: Offset, nowMs: number): void {
    this.#clear();
    this.appended({ start: to, end: to, bytes: unsyncedBytesMax + 1 }, nowMs);
  }

  truncated(to: Offset): void {
    while (this.#entries.length > this.#head) {
      const last = this.#entries.at(-1);
      // One that ends there too is the restart that the log began with: it is still to become durable.
      if (last === undefined || last.start < to || last.end <= to) break;
      this.#entries.pop();
    }
    if (this.#entries.length === this.#head) return this.#clear();
    const last = this.#entries.at(-1);
    if (last === undefined) return;
    // Of one that is cut in the middle all bytes go on counting: that acks too little rather than too much.
    if (last.end > to) last.end = to;
    this.#bytesEnd = last.bytesEnd;
    this.#next = Math.min(this.#next, this.#entries.length);
  }

  durable(end: Offset): void {
    for (let first = this.#entries[this.#head]; first !== undefined && first.end <= end; ) {
      this.#durableBytes = first.bytesEnd;
      this.#head += 1;
      first = this.#entries[this.#head];
    }
    if (this.#head === this.#entries.length) return this.#clear();
    this.#next = Math.max(this.#next, this.#head);
    // Moving the rest down only when it is the smaller half keeps the cost of each entry constant.
    if (this.#head * 2 <= this.#entries.length) return;
    this.#entries.splice(0, this.#head);
    this.#next -= this.#head;
    this.#head = 0;
  }

  /** How far the log may be acked from memory now, when that is further than before. */
  newlyAcked(nowMs: number): Offset | undefined {
    const oldest = this.#entries[this.#head];
    if (oldest === undefined || nowMs - oldest.atMs > unsyncedMsMax) return undefined;
    let end: Offset | undefined;
    for (let entry = this.#entries[this.#next]; entry !== undefined; entry = this.#entries[this.#next]) {
      if (entry.bytesEnd - this.#durableBytes > unsyncedBytesMax) break;
      end = entry.end;
      this.#next += 1;
    }
    return end;
  }

  #clear(): void {
    this.#entries.length = 0;
    this.#head = 0;
    this.#next = 0;
    this.#durableBytes = this.#bytesEnd;
  }
}
