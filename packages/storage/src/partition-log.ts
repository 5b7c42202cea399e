/**
 * One log over the node log: the `LogStore` that a partition holds.
 *
 * Owns the live positions of the log and its tail; what is durable is in its `LogIndex`. Called by its partition, and by
 * `GroupCommit` when a group that it took part in is durable.
 *
 * Beside L1 to L3 of the port:
 * L4 The tail reaches from its base to the end of the log; only what lies below the base is read from the disk, and all
 *    of that is durable.
 * L5 A cut that is not durable yet bounds `durableOffset`: bytes that it removes do not count, although the index still
 *    holds them.
 */
import type { LogId, Offset } from '@sluice/base';
import { invariant, offset, SluiceError } from '@sluice/base';
import { type BatchHeader, baseOffsetOf, batchBytesAt, batchesIn, endOffsetOf, maxTimestampOf } from '@sluice/record';
import { type ColdReader, readFailed } from './cold-reader.ts';
import { DamagedRead } from './damaged-read.ts';
import type { Group, LogMember } from './group.ts';
import type { GroupCommit } from './group-commit.ts';
import { lossWithin } from './intact-end.ts';
import type { LogIndex } from './log-index.ts';
import type { LogStore, LossyReport, OffsetSpan, ReadResult, RetentionLimits, StateSnapshot } from './log-store.ts';
import type { Checked, CheckedLog } from './scrubber.ts';
import type { SnapshotPlace } from './snapshot-places.ts';
import { LogTail, type Tail } from './tail.ts';

/** How much `headers` reads at a time. */
const headersBytesMax = 512 * 1024;

/** Of one piece of a scrub. */
const checkBytesMax = 256 * 1024;
/** How much `offsetSince` looks at in one turn. */
const sinceBytesMax = 256 * 1024;

/** Of all logs together: there may be ten thousand. */
export interface LogSurroundings {
  /** Asked again once it is forgotten: a deletion ends one index, and the next life of the id has another. */
  readonly index: (id: LogId) => LogIndex;
  readonly commit: GroupCommit;
  readonly tail: Tail;
  readonly cold: ColdReader;
  readonly onDelete: (log: PartitionLog, group: number) => void;
  /** Damage was met in this file, which the log knew of or not; it is lossy. */
  readonly onDamage: (log: PartitionLog, fileId: number, isNews: boolean) => void;
  readonly onUnusableSnapshot: (log: PartitionLog, reason: string) => void;
}

/** A truncation, restart or deletion whose group is not durable. */
interface PendingCut {
  readonly group: number;
  readonly to: number;
  /** State snapshots past it are of what it takes away. */
  readonly snapshotsUpTo: number;
}

const noCuts: readonly PendingCut[] = [];

export class PartitionLog implements LogStore, LogMember, CheckedLog {
  readonly id: LogId;
  onDurable: ((durableOffset: Offset) => void) | undefined;
  onLossy: ((report: LossyReport) => void) | undefined;
  snapshot: (() => StateSnapshot | undefined) | undefined;
  memberOf = 0;
  openRow = -1;
  readonly #around: LogSurroundings;
  #known: LogIndex;
  /** Made when something is appended: most of thousands of logs are left alone. */
  #tail: LogTail | undefined;
  #start: Offset;
  #end: Offset;
  #durable: Offset;
  #durableStart: Offset;
  /** The last group with a row of this log, 0 when there is none. */
  #lastGroup: number;
  #cuts: readonly PendingCut[] = noCuts;
  /** Counts cuts: a disk read that overlapped one is done again. */
  #cutCount = 0;
  /** The group of the newest restart of an emptied log; 0 when there was none. */
  #restartGroup = 0;
  #lossy: LossyReport | undefined;
  #deleted = false;

  /** `deletedBy` is the group that deletes the earlier life of this id, when that is not durable yet. */
  constructor(around: LogSurroundings, id: LogId, deletedBy: number | undefined) {
    const fresh = deletedBy !== undefined;
    const index = around.index(id);
    this.#known = index;
    this.id = id;
    this.#around = around;
    this.#start = offset(fresh ? 0 : index.start);
    this.#end = offset(fresh ? 0 : index.end);
    this.#durable = this.#end;
    this.#durableStart = this.#start;
    this.#lastGroup = fresh ? 0 : index.lastGroup;
    this.#lossy = fresh ? undefined : index.lossy;
    if (fresh) this.#cuts = [{ group: deletedBy, to: 0, snapshotsUpTo: -1 }];
  }

  index(): LogIndex {
    if (this.#known.forgotten) this.#known = this.#around.index(this.id);
    return this.#known;
  }

  get startOffset(): Offset {
    return this.#start;
  }

  get endOffset(): Offset {
    return this.#end;
  }

  get durableOffset(): Offset {
    return this.#durable;
  }

  get durableStart(): Offset {
    return this.#durableStart;
  }

  get tailStart(): Offset {
    return offset(this.#tail?.base ?? this.#end);
  }

  get bytes(): number {
    return this.#deleted ? 0 : this.index().bytes;
  }

  get lossy(): LossyReport | undefined {
    return this.#lossy;
  }

  append(batches: Uint8Array, span: OffsetSpan): void {
    this.#assertAlive();
    this.#check(batches, span);
    const group = this.#around.commit.gathering(batches.length);
    this.#tail ??= new LogTail(this.#around.tail);
    const kept = this.#tail.add(batches, span, group.number);
    group.addBatches(this, kept, this.#lastGroup);
    this.#lastGroup = group.number;
    this.#end = span.endOffset;
  }

  read(from: Offset, upTo: Offset, bytesMax: number): ReadResult | Promise<ReadResult> {
    if (from < this.#start || from > this.#end || this.#deleted) {
      return { kind: 'out-of-range', startOffset: this.#start, endOffset: this.#end };
    }
    const limit = Math.min(upTo, this.#end);
    if (from >= limit) return { kind: 'batches', batches: [], bytes: 0, endOffset: from };
    const tail = this.#tail;
    if (from < this.tailStart || tail === undefined) return this.#readCold(from, offset(limit), bytesMax);
    const { batches, bytes, end } = tail.read(from, limit, bytesMax);
    return { kind: 'batches', batches, bytes, endOffset: offset(end) };
  }

  async offsetSince(sinceMs: number, upTo: Offset): Promise<Offset> {
    let from = this.#start;
    while (from < upTo) {
      const base = await this.#extentSince(from, sinceMs);
      const read = await this.read(offset(base), upTo, sinceBytesMax);
      // It was cut meanwhile, at either end: what is left is all that counts.
      if (read.kind === 'out-of-range') {
        if (base >= read.startOffset) return upTo;
        from = read.startOffset;
        continue;
      }
      const found = firstSince(read.batches, base, sinceMs);
      if (found !== undefined) return offset(Math.max(found, this.#start));
      if (read.endOffset === base) return upTo;
      from = read.endOffset;
    }
    return upTo;
  }

  truncate(to: Offset): void {
    this.#assertAlive();
    if (to < this.#end) this.#truncate(to, this.#around.commit.gathering(0));
  }

  #truncate(to: Offset, group: Group): void {
    group.addLogRow(this, { kind: 'truncate', id: this.id, previousGroup: this.#lastGroup, to });
    this.#lastGroup = group.number;
    this.#cutTo({ group: group.number, to, snapshotsUpTo: to });
    // The start may lie inside a batch.
    this.#tail?.cut(to <= this.#start ? 0 : to);
    this.#end = to;
    if (to < this.#start) this.#start = to;
    this.#moveLoss();
    this.#durable = offset(Math.min(this.#durable, to));
    this.#durableStart = offset(Math.min(this.#durableStart, to));
  }

  restartAt(to: Offset): void {
    this.#assertAlive();
    if (to !== this.#start) this.#restartAt(to, this.#around.commit.gathering(0));
  }

  beginAnew(to: Offset): void {
    this.#assertAlive();
    if (this.#start === this.#end && to === this.#start) return;
    const group = this.#around.commit.gathering(0);
    if (to <= this.#end && this.#start < this.#end) this.#truncate(this.#start, group);
    if (to !== this.#start) this.#restartAt(to, group);
  }

  #restartAt(to: Offset, group: Group): void {
    const empties = to >= this.#end || to < this.#start;
    invariant(!empties || to >= this.#end || this.#start === this.#end, 'L1: only an empty log restarts further back', {
      start: this.#start,
      end: this.#end,
      to,
    });
    group.addLogRow(this, { kind: 'start', id: this.id, previousGroup: this.#lastGroup, to });
    this.#lastGroup = group.number;
    this.#start = to;
    this.#cutCount += 1;
    if (!empties) {
      this.#moveLoss();
      this.#tail?.dropBelow(to);
      return;
    }
    // One that only empties the log takes nothing away that a snapshot tells of.
    const snapshotsUpTo = to === this.#end ? Number.POSITIVE_INFINITY : -1;
    this.#cutTo({ group: group.number, to, snapshotsUpTo });
    this.#restartGroup = group.number;
    this.#tail?.cut(0);
    this.#end = to;
    this.#moveLoss();
    // A crash before the new start is durable brings the old log back: until then nothing of the new one counts.
    this.#durable = offset(Math.min(this.#durable, to));
    this.#durableStart = offset(Math.min(this.#durableStart, to));
  }

  expiredEnd(limits: RetentionLimits): Offset {
    if (this.#deleted) return this.#start;
    // What waits to be durable bounds it: a cut takes bytes away that the index still holds (L5).
    const end = Math.min(this.index().expiredEnd(limits), this.#durable, this.#end);
    return offset(Math.max(end, this.#start));
  }

  finishedBytes(from: Offset, to: Offset): number {
    return this.#deleted ? 0 : this.index().finishedBytes(from, to);
  }

  async loadSnapshot(): Promise<StateSnapshot | undefined> {
    for (;;) {
      const cuts = this.#cutCount;
      const places = this.#deleted ? [] : this.index().snapshots;
      const unusable: string[] = [];
      let found: StateSnapshot | undefined;
      for (const place of places.toReversed()) {
        if (found !== undefined || !this.#holdsTrue(place)) continue;
        const read = await this.#readSnapshot(place);
        if (typeof read === 'string') unusable.push(read);
        else found = read;
      }
      // What was cut away under the read may have taken its truth, and its file.
      if (cuts !== this.#cutCount || (!this.#deleted && places !== this.index().snapshots)) continue;
      for (const reason of unusable) this.#around.onUnusableSnapshot(this, reason);
      return found;
    }
  }

  /** What the log's owner derived from it, for the footer of the file that is finished now. */
  takeSnapshot(): StateSnapshot | undefined {
    // A crash before a cut is durable brings back what it takes away: the snapshot would be of other bytes.
    const isCut = this.#cuts.some((cut) => cut.snapshotsUpTo < this.#end);
    if (this.#deleted || isCut) return undefined;
    const snapshot = this.snapshot?.();
    if (snapshot !== undefined && snapshot.offset !== this.#end) {
      invariant(false, 'a state snapshot is of the whole log', { end: this.#end, offset: snapshot.offset });
    }
    return snapshot;
  }

  #holdsTrue({ offset: at }: SnapshotPlace): boolean {
    return at >= this.#start && at <= this.#end && this.#cuts.every((cut) => at <= cut.snapshotsUpTo);
  }

  /**
   * Why not, when it cannot be used. Nothing is lost: the headers of the log tell the same, and a disk that fails fails those
   * reads too.
   */
  async #readSnapshot({ fileId, section, offset: at }: SnapshotPlace): Promise<StateSnapshot | string> {
    try {
      const bytes = await this.#around.cold.sectionBytes(fileId, section);
      return bytes === undefined ? `that at offset ${at} is damaged` : { offset: offset(at), bytes };
    } catch (error) {
      if (error instanceof SluiceError) throw error;
      return `that at offset ${at} cannot be read: ${String(error)}`;
    }
  }

  async *headers(from: Offset): AsyncGenerator<BatchHeader, void, undefined> {
    // A trim under it may overtake it; nobody asks for what is gone already.
    const { startOffset } = this;
    let next = from;
    while (next < this.#end) {
      const { headers, end } = await this.#headersFrom(next, startOffset);
      invariant(end > next, 'L8: a log has a batch at every offset', { at: next, logEnd: this.#end });
      yield* headers;
      next = end;
    }
  }

  /** Apart from the generator, which would keep the batches until it has the next ones. */
  async #headersFrom(
    from: Offset,
    startedAt: Offset,
  ): Promise<{ readonly headers: readonly BatchHeader[]; readonly end: Offset }> {
    const read = await this.read(from, this.#end, headersBytesMax);
    if (read.kind === 'out-of-range') {
      if (!this.#deleted && from >= startedAt && from < read.startOffset) return { headers: [], end: read.startOffset };
      throw new SluiceError('OFFSET_OUT_OF_RANGE', {
        message: `Offset ${from} is outside of the log, which holds ${read.startOffset} to ${read.endOffset}.`,
      });
    }
    const headers: BatchHeader[] = [];
    for (const part of read.batches) {
      for (const found of batchesIn(part, 'skip')) if (found.ok) headers.push(found.header);
    }
    return { headers, end: read.endOffset };
  }

  async check(from: number): Promise<Checked | undefined> {
    if (this.#deleted || this.#lossy !== undefined) return undefined;
    const cuts = this.#cutCount;
    const start = Math.max(from, this.#start);
    try {
      return await this.#around.cold.check(this.index(), start, checkBytesMax);
    } catch (error) {
      // What was cut away meanwhile may be gone from the disk: what is left is looked at again.
      if (cuts !== this.#cutCount) return { next: start, bytes: 0 };
      this.#onFailedRead(error);
      return undefined;
    }
  }

  /**
   * What lies below, which is in finished files, is about to change there: a batch may come to reach over where the tail
   * begins, and a read of the file could neither give it nor go on.
   */
  forgetTailBelow(to: number): void {
    this.#tail?.evictBelow(to);
    // A read that is under way stops where the tail began.
    this.#cutCount += 1;
  }

  healed(): void {
    this.#assertAlive();
    const group = this.#around.commit.gathering(0);
    group.addLogRow(this, { kind: 'healed', id: this.id, previousGroup: this.#lastGroup });
    this.#lastGroup = group.number;
    this.#lossy = undefined;
  }

  delete(): void {
    this.#assertAlive();
    const group = this.#around.commit.gathering(0);
    group.addLogRow(this, { kind: 'delete', id: this.id, previousGroup: this.#lastGroup });
    this.#cutCount += 1;
    this.#deleted = true;
    this.#tail?.cut(0);
    this.#lossy = undefined;
    this.#around.onDelete(this, group.number);
  }

  /** Recovery found the log damaged: what is left of it counts from now on in every recovery. */
  recordLoss(report: LossyReport): void {
    const { intactEnd, knownEnd, where } = report;
    const group = this.#around.commit.gathering(0);
    const row = { kind: 'lossy', id: this.id, previousGroup: this.#lastGroup, intactEnd, knownEnd, where } as const;
    group.addLogRow(this, row);
    this.#lastGroup = group.number;
  }

  /** After recovery: nothing past the end is part of the log any more, whatever a state snapshot knows of it. */
  recordEnd(): void {
    const group = this.#around.commit.gathering(0);
    group.addLogRow(this, { kind: 'truncate', id: this.id, previousGroup: this.#lastGroup, to: this.#end });
    this.#lastGroup = group.number;
  }

  /** Met by others than readers of this log. */
  async damageFound(damage: DamagedRead): Promise<void> {
    const cuts = this.#cutCount;
    // It was cut or deleted since, durably: the file has nothing of it any more.
    const isHeld = this.index().segmentsIn(new Set([damage.fileId])).length > 0;
    if (this.#deleted || !isHeld) return;
    const proven = await this.#around.cold.proven(this.index(), damage);
    // What was cut away meanwhile is no damage; what is left of it is met again.
    if (cuts === this.#cutCount && !this.#deleted) this.#onFailedRead(proven);
  }

  onGroupDurable(group: number): void {
    if (this.#deleted) return;
    if (group < this.#restartGroup) return;
    if (this.#cuts.length > 0) this.#cuts = this.#cuts.filter((cut) => cut.group > group);
    const index = this.index();
    let durable = index.end;
    for (const cut of this.#cuts) durable = Math.min(durable, cut.to);
    const bounded = offset(Math.min(durable, this.#end));
    const start = offset(Math.min(index.start, this.#start));
    if (bounded <= this.#durable && start <= this.#durableStart) return;
    if (bounded > this.#durable) this.#durable = bounded;
    if (start > this.#durableStart) this.#durableStart = start;
    this.onDurable?.(this.#durable);
  }

  /** While a cut is not durable the index is right of what lies below the tail alone (L4, L5). */
  async #extentSince(from: number, sinceMs: number): Promise<number> {
    const index = this.index();
    const indexedEnd = this.#cuts.length === 0 ? index.end : (this.#tail?.base ?? this.#end);
    if (from >= indexedEnd) return from;
    const cuts = this.#cutCount;
    try {
      const base = await this.#around.cold.extentSince(index, from, sinceMs);
      if (cuts === this.#cutCount) return Math.min(base, indexedEnd);
    } catch (error) {
      if (cuts === this.#cutCount) throw readFailed(error);
    }
    return this.#extentSince(from, sinceMs);
  }

  async #readCold(from: Offset, limit: Offset, bytesMax: number): Promise<ReadResult> {
    const cuts = this.#cutCount;
    const upTo = offset(Math.min(limit, this.#tail?.base ?? this.#end));
    try {
      const read = await this.#around.cold.read(this.index(), { from, upTo, bytesMax });
      return cuts === this.#cutCount ? read : await this.read(from, limit, bytesMax);
    } catch (error) {
      // What was cut away under the read is no damage, and its file may be gone by now.
      if (cuts !== this.#cutCount) return this.read(from, limit, bytesMax);
      this.#onFailedRead(error);
      throw readFailed(error);
    }
  }

  #onFailedRead(error: unknown): void {
    if (error instanceof DamagedRead) this.#damaged(error);
  }

  /** Damage was met, by whoever reads: the one way in which an open log becomes lossy. */
  #damaged({ fileId, intactEnd: found, message }: DamagedRead): void {
    const intactEnd = offset(Math.max(found, this.#start));
    // Of what a cut takes away that is not durable yet, the index still tells: that is no damage of this log (L5).
    if (intactEnd >= (this.#cuts.length === 0 ? this.#end : Math.min(this.#end, this.#tail?.base ?? this.#end))) return;
    const before = this.#lossy;
    const isNews = before === undefined || intactEnd < before.intactEnd;
    this.#around.onDamage(this, fileId, isNews);
    if (!isNews) return;
    const knownEnd = before?.knownEnd ?? this.#end;
    const isKnown = before !== undefined && before.whileOpen !== true;
    this.#lossy = { id: this.id, intactEnd, knownEnd, where: message, ...(isKnown ? {} : { whileOpen: true }) };
    this.onLossy?.(this.#lossy);
  }

  /** D1. */
  #moveLoss(): void {
    this.#lossy = lossWithin(this.#lossy, { start: this.#start, end: this.#end });
  }

  /** The batches are what the caller says they are. It has read their headers: this only looks at their bounds. */
  #check(batches: Uint8Array, span: OffsetSpan): void {
    // The details are made only when they are needed: this is on the way of every batch.
    const isFirst = this.#start === this.#end && span.baseOffset < this.#end && span.endOffset > this.#end;
    if (span.baseOffset !== this.#end && !isFirst) {
      invariant(false, 'L1: an append continues the log', { start: this.#start, end: this.#end, ...span });
    }
    let next: number = span.baseOffset;
    for (let at = 0; at < batches.length; ) {
      const bytes = batchBytesAt(batches, at);
      if (bytes === 0 || baseOffsetOf(batches, at) !== next || endOffsetOf(batches, at) <= next) {
        invariant(false, 'appended batches are whole and contiguous', { at, next, bytes });
      }
      next = endOffsetOf(batches, at);
      at += bytes;
    }
    if (next !== span.endOffset || next === span.baseOffset) {
      invariant(false, 'appended batches fill their span', { next, ...span });
    }
  }

  #cutTo(cut: PendingCut): void {
    this.#cuts = [...this.#cuts, cut];
    this.#cutCount += 1;
  }

  #assertAlive(): void {
    if (this.#deleted) invariant(false, 'a deleted log is not used', { id: this.id });
  }
}

/** Batches that end at or below `from` do not count. */
function firstSince(parts: readonly Uint8Array[], from: number, sinceMs: number): number | undefined {
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const bytes = batchBytesAt(part, at);
      if (bytes === 0) break;
      if (endOffsetOf(part, at) > from && maxTimestampOf(part, at) >= sinceMs) return baseOffsetOf(part, at);
      at += bytes;
    }
  }
  return undefined;
}
