/**
 * The space of the open journal file behind its last group, made before groups need it: a write that makes the file
 * longer, or takes blocks for it, waits for the file system's own journal; one into zeros that are there does not (ADR
 * 0013 has the figures).
 *
 * Owns how far the file reaches and how far it holds zeros. Called by `Journal`, which is asked for one write at a time.
 *
 * A1 The file is only ever made longer: a truncation goes beyond every write that was asked for, and a write that would
 *    reach beyond it waits until it is done.
 * A2 Zeros are written only behind every write that was asked for; a write that would reach into zeros on their way
 *    waits until they are there.
 * A3 Without space for it (`ENOSPC` and the like) there is none ahead, and nothing fails. After any other error the state
 *    of the file is unknown, and no group is written any more (S2).
 * A4 Behind the last group lie zeros, or holes that read as zeros, and nothing else: recovery tells by that.
 * A5 After A3, and while the disk is low, a group goes only into zeros: they are written at its place first, and when there
 *    is no room for them the group waits (R3). So a full disk is met before anything depends on it.
 */
import type { Clock, DiskFile } from '@sluice/base';
import { DiskError } from '@sluice/base';
import { type DiskReserve, isFull } from './disk-reserve.ts';
import { aligned } from './frame.ts';

export interface SpaceAheadLimits {
  /** The file is made longer by this much at a time, before half of it is used up; 0: never. */
  readonly spaceAheadBytes: number;
  /** Zeros are kept ready for this many bytes at low rates, and written again when half of them are used up; 0: never. */
  readonly zerosAheadBytes: number;
  readonly journalBytesMax: number;
}

export interface SpaceAheadOptions {
  /** Of the last group. */
  readonly end: number;
  /** Of the file. */
  readonly size: number;
  readonly clock: Clock;
  readonly limits: SpaceAheadLimits;
  readonly reserve: Pick<DiskReserve, 'isLow' | 'looks' | 'untilFits'>;
  /** Once. */
  readonly onFailure: (error: Error) => void;
}

/** Above this rate the disk's own bandwidth is the limit, and zeros would take half of it. */
const zeroedBytesPerSecondMax = 32_000_000;
const rateWindowMs = 100;
/** So many writes to fill the zeros: one of them is what a commit may have to wait for. */
const zeroPieces = 8;
/** Of the zeros of one group (A5). */
const securedPieceBytes = 1024 * 1024;

export const isNoSpace = (error: unknown): error is DiskError =>
  isFull(error) || (error instanceof DiskError && error.code === 'EFBIG');

export class SpaceAhead {
  readonly #file: DiskFile;
  readonly #limits: SpaceAheadLimits;
  readonly #clock: Clock;
  readonly #reserve: SpaceAheadOptions['reserve'];
  readonly #onFailure: (error: Error) => void;
  /** End of the last write that was asked for. */
  #end: number;
  /** End of the file, also when it is on its way there. */
  #size: number;
  /** End of the zeros that are there, or on their way. */
  #zeroed: number;
  #truncating: Promise<void> | undefined;
  #zeroing: { readonly from: number; readonly done: Promise<void> } | undefined;
  #filling = false;
  /** Looks at the disk when there was no space (A3); it is not tried again before another. */
  #noSpaceAt: number | undefined;
  #failed: Error | undefined;
  #stopped = false;
  #windowStartMs: number;
  #windowBytes = 0;
  #bytesPerSecond = 0;

  constructor(file: DiskFile, at: SpaceAheadOptions) {
    this.#file = file;
    this.#limits = at.limits;
    this.#clock = at.clock;
    this.#onFailure = at.onFailure;
    this.#reserve = at.reserve;
    this.#end = at.end;
    this.#size = at.size;
    this.#zeroed = at.end;
    this.#windowStartMs = at.clock.monotonicMs();
  }

  /** Before a write that ends at `end`: something to wait for, when it must (A1, A2, A5). */
  claim(end: number): Promise<void> | undefined {
    const from = this.#end;
    this.#count(end - this.#end);
    this.#end = end;
    this.assertWhole();
    const zeros = this.#zeroing !== undefined && end > this.#zeroing.from ? this.#zeroing.done : undefined;
    const space = end > this.#size ? this.#truncating : undefined;
    this.#size = Math.max(this.#size, end);
    if (zeros === undefined && space === undefined && !this.#mustSecure(end)) return undefined;
    return Promise.all([zeros, space]).then(() => this.#secure(from, end));
  }

  /** Makes what is missing, unless it is on its way; returns at once. Called while a write is on its way, or none is. */
  replenish(): void {
    if (this.#stopped || this.#failed !== undefined) return;
    if (this.#noSpaceAt !== undefined) {
      if (this.#reserve.isLow || this.#reserve.looks === this.#noSpaceAt) return;
      this.#noSpaceAt = undefined;
    }
    this.#extend();
    this.#zero();
  }

  /** Resolves when nothing is on its way; nothing is made any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#zeroing?.done;
    await this.#truncating;
  }

  /** What A3 means by any other error; throws it. */
  assertWhole(): void {
    if (this.#failed !== undefined) throw this.#failed;
  }

  #mustSecure(end: number): boolean {
    return (this.#noSpaceAt !== undefined || this.#reserve.isLow) && end > this.#zeroed;
  }

  /** What was on its way may have found no room: only now it is known how far the zeros reach. */
  async #secure(from: number, end: number): Promise<void> {
    this.assertWhole();
    if (!this.#mustSecure(end)) return;
    for (let at = Math.max(this.#zeroed, from); at < end; ) {
      const position = at;
      const piece = zerosOf(Math.min(end - at, securedPieceBytes));
      await this.#reserve.untilFits(() => this.#file.writeDurable([piece], position));
      at += piece.length;
      this.#zeroed = Math.max(this.#zeroed, at);
    }
    this.assertWhole();
  }

  #extend(): void {
    const { spaceAheadBytes, journalBytesMax } = this.#limits;
    if (this.#truncating !== undefined || this.#size - this.#end >= spaceAheadBytes / 2) return;
    const size = aligned(Math.min(this.#end + spaceAheadBytes, journalBytesMax));
    if (size <= Math.max(this.#size, this.#end)) return;
    this.#size = size;
    this.#truncating = this.#tolerating(this.#file.truncate(size)).then(() => {
      this.#truncating = undefined;
    });
  }

  #zero(): void {
    const { zerosAheadBytes, journalBytesMax } = this.#limits;
    const from = Math.max(this.#zeroed, this.#end);
    const ready = from - this.#end;
    if (ready >= zerosAheadBytes) this.#filling = false;
    else if (ready < zerosAheadBytes / 2) this.#filling = true;
    if (!this.#filling || this.#zeroing !== undefined || this.#isBusy()) return;
    const piece = zerosOf(aligned(zerosAheadBytes / zeroPieces));
    const to = Math.min(from + piece.length, aligned(journalBytesMax));
    // A truncation on its way must not cut them off.
    if (to <= from || (this.#truncating !== undefined && to > this.#size)) return;
    this.#zeroed = to;
    this.#size = Math.max(this.#size, to);
    const work = this.#file.writeDurable([piece.subarray(0, to - from)], from);
    const done = this.#tolerating(work).then((isThere) => {
      if (!isThere) this.#zeroed = Math.min(this.#zeroed, from);
      this.#zeroing = undefined;
      this.replenish();
    });
    this.#zeroing = { from, done };
  }

  /** Whether it was done; never rejects (A3). */
  async #tolerating(work: Promise<void>): Promise<boolean> {
    try {
      await work;
      return true;
    } catch (error) {
      if (isNoSpace(error)) this.#noSpaceAt = this.#reserve.looks;
      else {
        this.#failed ??= error instanceof Error ? error : new Error(String(error));
        this.#onFailure(this.#failed);
      }
      return false;
    }
  }

  #count(bytes: number): void {
    this.#windowBytes += bytes;
    const passedMs = this.#clock.monotonicMs() - this.#windowStartMs;
    if (passedMs < rateWindowMs) return;
    this.#bytesPerSecond = (this.#windowBytes / passedMs) * 1000;
    this.#windowBytes = 0;
    this.#windowStartMs += passedMs;
  }

  #isBusy(): boolean {
    this.#count(0);
    const sinceWindow = (this.#windowBytes / rateWindowMs) * 1000;
    return Math.max(this.#bytesPerSecond, sinceWindow) > zeroedBytesPerSecondMax;
  }
}

let zeros = new Uint8Array(0);
/** Shared by all files: nobody writes into it. */
function zerosOf(bytes: number): Uint8Array {
  if (zeros.length < bytes) zeros = new Uint8Array(bytes);
  return zeros.subarray(0, bytes);
}
