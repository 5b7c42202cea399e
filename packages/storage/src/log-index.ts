/**
 * What stable media hold of one log, and where. Rows and footers are applied to it in log order, live when their group
 * is durable and again on recovery: nothing else changes it.
 *
 * X1 The log is [start, end): `sealed` segments, then the extents of the `open` file, without gaps. The start may lie
 *    inside the first batch: then the first run of an empty log begins before it.
 * X2 A row applies only when it names the group that touched the log before it. One that does not follows lost rows: it
 *    and all after it are left out, and the log is lossy, until a row that needs no predecessor (`lossy`, `delete`).
 * X3 Truncated and dropped bytes never come back (P7): later rows and segments cut earlier ones, in log order.
 * X4 A file goes once it holds no segment of any log; what cut the last one away may lie behind it. So on recovery X1 holds
 *    at the end, not in between, and a gap that is left means that a row which cut the log was lost: the log is lossy.
 */
import type { LogId, Offset } from '@sluice/base';
import { offset } from '@sluice/base';
import { ExtentList } from './extents.ts';
import { FileUse, type SegmentUse } from './file-use.ts';
import type { LossyReport, RetentionLimits } from './log-store.ts';
import type { LogIdRow, RunRow } from './rows.ts';
import type { ExtentSection } from './section.ts';
import { movedPlaces, noPlaces, placesFrom, type SnapshotPlaces, placesUpTo, withNewer } from './snapshot-places.ts';

/** What one finished file holds of the log. */
export interface Segment {
  readonly fileId: number;
  readonly base: number;
  readonly end: number;
  /** On the disk, of everything that was live when the file was finished. */
  readonly bytes: number;
  /** When the newest of it was appended, in ms of the wall clock. */
  readonly appendedMs: number;
  /** The newest record, by its producer's clock. */
  readonly maxTimestampMs: number;
  /** The extents themselves only where damage left no footer. */
  readonly extents: ExtentSection | ExtentList;
}

/** As the index keeps it. */
interface HeldSegment extends Segment {
  /** Offsets that it had when its file was written. */
  readonly span: number;
  /** About what lives of its bytes: a log may be cut, or begin, in the middle. */
  readonly liveBytes: number;
}

/** What a finished file did to the log: as good as its rows. */
export interface LogSummary {
  readonly id: LogId;
  /** Group that touched the log before this file did. */
  readonly previousGroup: number;
  readonly lastGroup: number;
  /** The summary holds whatever was before (X2). */
  readonly absolute: boolean;
  readonly deleted: boolean;
  /** Of earlier files, only what lies below this survives; absent: all. */
  readonly keepBelow: number | undefined;
  readonly start: number;
  readonly end: number;
  /** First offset in this file, when it holds any. */
  readonly base: number | undefined;
  /** One past the last in this file: `end`, unless it was rewritten after later files had cut the log. */
  readonly segmentEnd: number;
  /** Of the segment, 0 when there is none. */
  readonly bytes: number;
  readonly appendedMs: number;
  readonly maxTimestampMs: number;
  readonly lossy: Omit<LossyReport, 'id'> | undefined;
}

/** In a summary whose file holds nothing of the log. */
export const noSegment = { base: undefined, segmentEnd: 0, bytes: 0, appendedMs: 0, maxTimestampMs: 0 } as const;

/** Where a row was found, or written. */
export interface AppliedAt {
  readonly group: number;
  /** Where the payload of the row's frame begins in the open file. */
  readonly payloadPosition: number;
  readonly appendedMs: number;
}

/** Shared by all logs that lie in no finished file; never written to. */
const noSegments: HeldSegment[] = [];

export class LogIndex {
  readonly id: LogId;
  start = 0;
  end = 0;
  lastGroup = 0;
  deleted = false;
  /** The node log no longer knows it: the next life of the id has another. */
  forgotten = false;
  lossy: LossyReport | undefined;
  open: ExtentList = new ExtentList();
  readonly #use: FileUse;
  #sealed: HeldSegment[] = noSegments;
  #sealedBytes = 0;
  #snapshots: SnapshotPlaces = noPlaces;
  /** Of the newest run in the open file. */
  #appendedMs = 0;

  /** Set while the open file has rows of the log: what its summary needs. */
  #touched: { readonly previousGroup: number; absolute: boolean; keepBelow: number | undefined } | undefined;
  /** Damage was met since the last row that was in order; `where` it was. */
  #suspect: string | undefined;
  #broken = false;

  constructor(id: LogId, use = new FileUse()) {
    this.id = id;
    this.#use = use;
  }

  get sealed(): readonly Segment[] {
    return this.#sealed;
  }

  /** State snapshots, oldest first; the last ones may lie past the end (K2). */
  get snapshots(): SnapshotPlaces {
    return this.#snapshots;
  }

  /** On the disk. */
  get bytes(): number {
    return this.#sealedBytes + this.open.bytes;
  }

  get touched(): boolean {
    return this.#touched !== undefined;
  }

  apply(row: LogIdRow, at: AppliedAt): void {
    const absolute = row.kind === 'lossy' || row.kind === 'delete';
    if (!this.#follows(row.previousGroup, absolute, row.kind === 'run' ? row.end : undefined)) return;
    if (row.kind === 'run' && !this.#continues(row)) {
      this.#break(row.end);
      return;
    }
    this.#touched ??= { previousGroup: row.previousGroup, absolute: false, keepBelow: undefined };
    if (absolute) this.#touched.absolute = true;
    this.lastGroup = at.group;
    switch (row.kind) {
      case 'run':
        this.#run(row, at);
        break;
      case 'truncate':
        this.#cut(row.to);
        break;
      case 'start':
        this.#moveStart(row.to);
        break;
      case 'lossy':
        this.lossy = { id: this.id, intactEnd: row.intactEnd, knownEnd: row.knownEnd, where: row.where };
        this.#cut(row.intactEnd);
        this.#keepBelow(row.intactEnd);
        break;
      case 'healed':
        this.lossy = undefined;
        this.#use.changes += 1;
        break;
      case 'delete':
        this.#clear();
        break;
    }
  }

  applySummary(summary: LogSummary, fileId: number, section: ExtentSection, snapshots: SnapshotPlaces): void {
    if (!this.#follows(summary.previousGroup, summary.absolute, summary.end)) return;
    if (summary.keepBelow !== undefined) {
      this.#cutSealed(summary.keepBelow);
      this.#snapshots = placesUpTo(this.#snapshots, summary.keepBelow);
    }
    this.start = summary.start;
    this.end = summary.end;
    this.lastGroup = summary.lastGroup;
    this.deleted = summary.deleted;
    this.lossy = summary.lossy === undefined ? undefined : { id: this.id, ...summary.lossy };
    const { base, segmentEnd: end, bytes, appendedMs, maxTimestampMs } = summary;
    if (base !== undefined) this.#seal({ fileId, base, end, bytes, appendedMs, maxTimestampMs, extents: section });
    this.#dropSealedBelow(this.start);
    this.#addSnapshots(snapshots);
  }

  /** What the open file did to the log so far; undefined when nothing. */
  summary(): LogSummary | undefined {
    if (this.#touched === undefined) return undefined;
    return {
      id: this.id,
      ...this.#touched,
      lastGroup: this.lastGroup,
      deleted: this.deleted,
      start: this.start,
      end: this.end,
      base: this.open.base,
      segmentEnd: this.end,
      bytes: this.open.bytes,
      appendedMs: this.#appendedMs,
      maxTimestampMs: this.open.maxTimestampMs,
      lossy: this.#summarizedLoss(),
    };
  }

  /** The open file is finished: what it holds becomes a segment. */
  finishFile(fileId: number, extents: ExtentSection | ExtentList, snapshots: SnapshotPlaces): void {
    const { base, bytes, maxTimestampMs } = this.open;
    const appendedMs = this.#appendedMs;
    if (base !== undefined) this.#seal({ fileId, base, end: this.end, bytes, appendedMs, maxTimestampMs, extents });
    this.open = new ExtentList();
    this.#appendedMs = 0;
    this.#touched = undefined;
    this.#addSnapshots(snapshots);
  }

  /** The snapshots in files that are gone were taken over by another, `taken` of them. */
  moveSnapshots(gone: ReadonlySet<number>, taken: SnapshotPlaces): void {
    this.#snapshots = movedPlaces(this.#snapshots, gone, taken);
  }

  /** In their order. */
  segmentsIn(files: ReadonlySet<number>): readonly Segment[] {
    return this.#sealed.filter(({ fileId }) => files.has(fileId));
  }

  /**
   * The segments in these files lie in others now. What was cut, dropped or deleted while they were copied stays away
   * (X3): of what is new, only what the old ones still reach is taken.
   */
  moveSegments(from: ReadonlySet<number>, to: readonly Segment[]): void {
    const first = this.#sealed.findIndex(({ fileId }) => from.has(fileId));
    const old = this.#sealed.filter(({ fileId }) => from.has(fileId));
    const end = old.at(-1)?.end ?? 0;
    const kept = to
      .filter((segment) => segment.base < end && segment.end > this.start)
      .map((segment) => {
        // A batch that the log begins in is not less for that: it would be copied again and again.
        const span = segment.end - Math.min(Math.max(segment.base, this.start), segment.end);
        return this.#held({ ...segment, end: Math.min(segment.end, end) }, span);
      });
    for (const segment of kept) this.#count(segment);
    for (const segment of old) this.#unseal(segment);
    if (first >= 0) {
      const others = this.#sealed.filter(({ fileId }) => !from.has(fileId));
      this.#sealed = others.toSpliced(first, 0, ...kept);
    }
  }

  /**
   * What a checkpoint says of the log when everything so far was dropped; no bytes are left. Damage on the way needs no
   * word: the rows behind it name a group that is not `lastGroup` (X2).
   */
  droppedSummary(): LogSummary {
    const { id, lastGroup, start, end } = this;
    const kept = { start, end, lossy: this.#summarizedLoss(), deleted: false };
    return { id, previousGroup: 0, lastGroup, absolute: true, keepBelow: undefined, ...kept, ...noSegment };
  }

  /** End of the newest segment that retention may remove with all before it; the start when there is none. */
  expiredEnd({ bytesMax, appendedBeforeMs }: RetentionLimits): number {
    let end = this.start;
    let left = this.bytes;
    let isOld = appendedBeforeMs !== undefined;
    for (const segment of this.#sealed) {
      left -= segment.bytes;
      isOld &&= segment.appendedMs < (appendedBeforeMs ?? 0);
      if (!isOld && (bytesMax === undefined || left < bytesMax)) break;
      end = segment.end;
    }
    return end;
  }

  finishedBytes(from: number, to: number): number {
    let bytes = 0;
    for (const segment of this.#sealed) {
      const offsets = Math.min(to, segment.end) - Math.max(from, segment.base);
      if (offsets > 0) bytes += (segment.bytes * offsets) / (segment.end - segment.base);
    }
    return bytes;
  }

  /** Damage that may hide rows of this log: only a row that follows in order clears it of that. */
  suspect(where: string): void {
    this.#suspect ??= where;
  }

  /** The next rows of this log are known to be damaged. */
  damagedRow(where: string, knownEnd: Offset | undefined): void {
    this.suspect(where);
    this.#break(knownEnd);
  }

  /** After recovery and `settle`: true when there was a snapshot past the end, which must not be found again (K2). */
  forgetSnapshotsAhead(): boolean {
    const before = this.#snapshots;
    this.#snapshots = placesUpTo(before, this.end);
    return this.#snapshots !== before;
  }

  /** After `settle`: what was read says up to where it is whole (D1). Of a new report the rest goes, as in `settle`. */
  settleIntactEnd(intactEnd: number, isNew: boolean): void {
    if (this.lossy === undefined) return;
    const knownEnd = this.lossy.knownEnd ?? (intactEnd < this.end && isNew ? offset(this.end) : undefined);
    this.lossy = { ...this.lossy, intactEnd: offset(intactEnd), knownEnd };
    if (isNew) this.#cut(intactEnd);
  }

  /** After recovery: what cannot be shown to be whole is lossy. Returns the report when it is a new one. */
  settle(): LossyReport | undefined {
    if (this.#suspect !== undefined && !this.#broken) this.#break(undefined);
    const intactEnd = this.#contiguousEnd();
    if (intactEnd < this.end) this.#breakAt(intactEnd);
    this.#suspect = undefined;
    if (!this.#broken) return undefined;
    this.#broken = false;
    return this.lossy;
  }

  #continues({ base, end }: RunRow): boolean {
    return base === this.end || (this.start === this.end && base < this.end && end > this.end);
  }

  #summarizedLoss(): LogSummary['lossy'] {
    const { lossy } = this;
    return lossy && { intactEnd: lossy.intactEnd, knownEnd: lossy.knownEnd, where: lossy.where };
  }

  /** What X4 leaves. */
  #breakAt(intactEnd: number): void {
    this.#break(undefined);
    const { lossy } = this;
    const knownEnd = lossy?.knownEnd ?? offset(this.end);
    if (lossy !== undefined) this.lossy = { ...lossy, intactEnd: offset(intactEnd), knownEnd };
    this.#cut(intactEnd);
  }

  /** As far as the bytes that are there reach without a gap. */
  #contiguousEnd(): number {
    let end = this.start;
    for (const segment of this.#sealed) {
      if (segment.base > end) return end;
      end = Math.max(end, segment.end);
    }
    return this.open.base === undefined || this.open.base > end ? end : this.end;
  }

  #follows(previousGroup: number, absolute: boolean, knownEnd: number | undefined): boolean {
    if (absolute || (!this.#broken && previousGroup === this.lastGroup)) {
      this.#suspect = undefined;
      this.#broken = false;
      return true;
    }
    this.#break(knownEnd);
    return false;
  }

  #break(knownEnd: number | undefined): void {
    const before = this.#broken ? this.lossy?.knownEnd : undefined;
    const known = Math.max(knownEnd ?? 0, before ?? 0);
    this.#broken = true;
    this.lossy = {
      id: this.id,
      intactEnd: offset(this.end),
      knownEnd: known > this.end ? offset(known) : undefined,
      where: this.#suspect ?? this.lossy?.where ?? 'rows of this log are missing',
    };
  }

  #run(row: RunRow, { payloadPosition, appendedMs }: AppliedAt): void {
    this.deleted = false;
    const { base, end, bytes, headsCrc, maxTimestampMs } = row;
    this.open.push({ base, end, position: payloadPosition + row.payloadAt, bytes, headsCrc, maxTimestampMs });
    this.#appendedMs = Math.max(this.#appendedMs, appendedMs);
    this.end = row.end;
  }

  /** At the end of the log it takes nothing but the snapshots that lie past it (K2). */
  #cut(to: number): void {
    this.#snapshots = placesUpTo(this.#snapshots, to);
    if (to > this.end) return;
    this.#keepBelow(to);
    if (to === this.end) return;
    this.open.cut(to);
    this.#cutSealed(to);
    this.end = to;
    this.start = Math.min(this.start, to);
    // What is left may be the dead part of a segment, or of the open file, alone.
    this.open.dropBelow(this.start);
    this.#dropSealedBelow(this.start);
  }

  #moveStart(to: number): void {
    this.deleted = false;
    // To the end it empties the log, and what was derived from it stays true.
    const forward = to >= this.start && to <= this.end;
    this.start = to;
    if (forward) {
      this.open.dropBelow(to);
      this.#dropSealedBelow(to);
      this.#snapshots = placesFrom(this.#snapshots, to);
      return;
    }
    this.end = to;
    this.open = new ExtentList();
    this.#unsealAll();
    this.#snapshots = noPlaces;
    this.#keepBelow(0);
  }

  #clear(): void {
    this.start = 0;
    this.end = 0;
    this.open = new ExtentList();
    this.#unsealAll();
    this.#snapshots = noPlaces;
    this.#keepBelow(0);
    this.lossy = undefined;
    this.#use.changes += 1;
    this.deleted = true;
    // The next life of the same id starts like a new log.
    this.lastGroup = 0;
  }

  #keepBelow(to: number): void {
    if (this.#touched !== undefined) this.#touched.keepBelow = Math.min(this.#touched.keepBelow ?? to, to);
  }

  #cutSealed(to: number): void {
    let last = this.#sealed.at(-1);
    for (; last !== undefined && last.base >= to; last = this.#sealed.at(-1)) {
      this.#sealed.pop();
      this.#unseal(last);
    }
    if (last !== undefined && last.end > to) this.#replace(this.#sealed.length - 1, { ...last, end: to });
  }

  #dropSealedBelow(start: number): void {
    const dead = this.#sealed.filter((segment) => segment.end <= start);
    for (const segment of dead) this.#unseal(segment);
    if (dead.length > 0) this.#sealed = this.#sealed.filter((segment) => segment.end > start);
    const [first] = this.#sealed;
    if (first !== undefined && first.base < start) this.#replace(0, first);
  }

  #addSnapshots(newer: SnapshotPlaces): void {
    this.#snapshots = placesFrom(withNewer(this.#snapshots, newer, this.end), this.start);
  }

  #seal(segment: Segment): void {
    const held = this.#held(segment, segment.end - segment.base);
    if (this.#sealed === noSegments) this.#sealed = [held];
    else this.#sealed.push(held);
    this.#count(held);
  }

  #held(segment: Segment, span: number): HeldSegment {
    const offsets = segment.end - Math.max(segment.base, Math.min(this.start, segment.end));
    const liveBytes = Math.min(segment.bytes, Math.ceil((segment.bytes * offsets) / Math.max(1, span)));
    return { ...segment, span, liveBytes };
  }

  /** Cut at either end. */
  #replace(at: number, segment: HeldSegment): void {
    const held = this.#held(segment, segment.span);
    this.#count(held);
    this.#unseal(segment);
    this.#sealed[at] = held;
  }

  #count(segment: HeldSegment): void {
    this.#sealedBytes += segment.bytes;
    this.#use.add(segment.fileId, useOf(segment));
  }

  #unseal(segment: HeldSegment): void {
    this.#sealedBytes -= segment.bytes;
    this.#use.remove(segment.fileId, useOf(segment));
  }

  #unsealAll(): void {
    for (const segment of this.#sealed) this.#unseal(segment);
    this.#sealed = noSegments;
  }
}

const useOf = ({ liveBytes: bytes, extents }: HeldSegment): SegmentUse =>
  extents instanceof ExtentList
    ? { bytes, extents: extents.length, memoryBytes: extents.memoryBytes }
    : { bytes, extents: extents.extents, memoryBytes: 0 };
