/**
 * Port: one replicated log on this node. A log is the runs that the node log holds of it, in offset order.
 *
 * Called by one partition (broker) from one thread. Positions move at once when a method returns; durability comes
 * later, by `onDurable`.
 *
 * L1 startOffset ≤ endOffset and durableOffset ≤ endOffset; after a restart `durableOffset` stays below `startOffset`
 *    until the new start is durable, which `onDurable` then tells, and a trim past it does not move it. The start may lie
 *    inside the first batch, which is then kept and read whole.
 * L2 `onDurable` tells only of bytes that are still part of the log: what was truncated meanwhile is never reported,
 *    even when other bytes took its offsets (ABA, reliability §1.3).
 * L3 After a failed write or sync every method that changes something throws `STORAGE_FAILED` (S2).
 */
import type { LogId, Offset } from '@sluice/base';
import type { BatchHeader } from '@sluice/record';

export interface OffsetSpan {
  readonly baseOffset: Offset;
  /** One past the last offset. */
  readonly endOffset: Offset;
}

export interface ReadBatches {
  readonly kind: 'batches';
  /** Whole batches in offset order; one buffer may hold several. Shared with the tail: never written to. */
  readonly batches: readonly Uint8Array[];
  readonly bytes: number;
  /** One past the last offset in `batches`; equals `from` when there are none. */
  readonly endOffset: Offset;
}

export interface ReadOutOfRange {
  readonly kind: 'out-of-range';
  readonly startOffset: Offset;
  readonly endOffset: Offset;
}

export type ReadResult = ReadBatches | ReadOutOfRange;

/** What recovery or a read found missing below the durable point of one log (S5 as amended, design §3). */
export interface LossyReport {
  readonly id: LogId;
  /** Everything below this offset is intact. The start of the log, or where a batch of it ends, also after it was cut (D1). */
  readonly intactEnd: Offset;
  /** The log held records up to here at least; absent when damage hides how far. */
  readonly knownEnd: Offset | undefined;
  /** File and byte position of the damage, for people. */
  readonly where: string;
  /** Found by a read or the scrubber, not by recovery: the controller has not heard of it by the registration. */
  readonly whileOpen?: true;
}

/** What the owner of a log derived from all its batches that end at or below `offset`, in a form of its own. */
export interface StateSnapshot {
  readonly offset: Offset;
  readonly bytes: Uint8Array;
}

export interface RetentionLimits {
  /** What is left when the oldest goes is this much at least. */
  readonly bytesMax?: number;
  /** In ms of the wall clock. */
  readonly appendedBeforeMs?: number;
}

export interface LogStore {
  readonly id: LogId;
  readonly startOffset: Offset;
  /** End of what was appended, durable or not. */
  readonly endOffset: Offset;
  /** End of what is on stable media. */
  readonly durableOffset: Offset;
  /** Where it starts on stable media: nothing below comes back by a crash. At most `startOffset`. */
  readonly durableStart: Offset;
  /** From here on `read` answers at once, from memory; below it from the disk. */
  readonly tailStart: Offset;
  /** What it holds on the disk; what is not durable yet does not count. */
  readonly bytes: number;
  /** Present from the moment damage was found until `healed`: the replica must leave ISR and ELR, then refetch. */
  readonly lossy: LossyReport | undefined;
  /** Called once for each group commit that made bytes of this log, or where it starts, durable. */
  onDurable: ((durableOffset: Offset) => void) | undefined;
  /** Called when damage is found while the log is open, once, and again for damage further back; `lossy` says the same. */
  onLossy: ((report: LossyReport) => void) | undefined;

  /**
   * Asked when a journal file that tells of this log is finished: what is derived from all that was appended so far, to be
   * kept with the file; `offset` is `endOffset`. Undefined when there is nothing to be kept now.
   */
  snapshot: (() => StateSnapshot | undefined) | undefined;

  /**
   * Appends whole batches whose CRC the caller has checked, already patched with offset and epoch. `batches` may hold
   * several that follow each other without a gap, and belongs to the log from now on. `span.baseOffset` must equal
   * `endOffset`; only the first batch of an empty log may begin before it, when it contains the start.
   */
  append(batches: Uint8Array, span: OffsetSpan): void;
  /**
   * Whole batches from the one that contains `from`, about `bytesMax` at most but at least one, never past `upTo`. None
   * where `from` is at the end or at `upTo`, or that batch ends behind `upTo`: nothing else is answered without a batch.
   * Synchronous when served from the tail. Rejects with `STORAGE_FAILED` when the disk fails or the bytes are damaged;
   * in the latter case `lossy` is set. What the disk cannot read counts as that.
   * With `SHUTTING_DOWN` once the node log is closed.
   */
  read(from: Offset, upTo: Offset, bytesMax: number): ReadResult | Promise<ReadResult>;
  /**
   * Base of the first batch below `upTo` that can hold a record of `sinceMs` or later, by what its header says of it and by
   * its producer's clock; the start when that lies inside it, `upTo` when there is none. Earlier batches hold none. Rejects
   * as `read` does.
   */
  offsetSince(sinceMs: number, upTo: Offset): Promise<Offset>;
  /** Cuts the log back to `to`, a batch boundary (D8): at once in memory, durable with the next group. */
  truncate(to: Offset): void;
  /**
   * How far `restartAt` may drop the log by age and size: the end of the newest finished journal file up to which all of
   * it was appended before `appendedBeforeMs` (wall clock), or without which `bytesMax` are left at least; whichever is
   * further. `startOffset` when there is none. Never past `durableOffset`; the granule is what the log has in one file.
   */
  expiredEnd(limits: RetentionLimits): Offset;
  /** Bytes that finished files hold of the range, as far as it is known without a read: a part of a file counts by its offsets. */
  finishedBytes(from: Offset, to: Offset): number;
  /** Drops what is below `to`, a batch that contains it excepted. `to` past the end leaves the log empty, to go on from it. */
  restartAt(to: Offset): void;
  /**
   * Drops everything, and what was derived of it, to go on from `to`, which is not below the start. After a crash the log is
   * as it was before or empty there, and nothing between.
   */
  beginAnew(to: Offset): void;
  /**
   * The newest state snapshot that is true of this log, at an offset between its start and its end: `headers` from there
   * tell the rest. Undefined when there is none, or none that is whole; then all headers do. Rejects with
   * `SHUTTING_DOWN` once the node log is closed.
   */
  loadSnapshot(): Promise<StateSnapshot | undefined>;
  /**
   * Batch headers from the batch that contains `from`, in order: how epoch cache and producer state are rebuilt. When a trim
   * overtakes them they go on from the new start.
   */
  headers(from: Offset): AsyncIterable<BatchHeader>;
  /** The refetched replica is whole again; durable with the next group. */
  healed(): void;
  /** Forgets the log; durable with the next group. The object is dead afterwards. */
  delete(): void;
}
