/**
 * The reserve of the disk: with less than it free the node takes no records, so that what frees space, and what keeps
 * the cluster together, can still be written (S8, ADR 0021).
 *
 * Owns what is known of free space, and who waits for more. Made by the node log, which tells it of each group; asked by
 * the broker before it takes batches, and by whatever makes a file or makes one longer.
 *
 * R1 The disk is asked every five seconds, and every second while it is low, one question at a time. Between two answers what was written counts as taken, and
 *    what is accepted and not written yet too.
 * R2 Low begins below the reserve, and ends an eighth of it above; meanwhile nothing but records is refused.
 * R3 Work that met a full disk is done again after each look, until there is room or the log closes; while any waits, the
 *    disk is low, whatever it says of itself. No sync is such work, and no write of a group (S2).
 * R4 A disk that does not say how much is free refuses nothing: it is the work that finds out.
 */
import type { Clock, Logger, Timer } from '@sluice/base';
import { DiskError } from '@sluice/base';
import type { DataDirectory } from './data-directory.ts';

/** `auto`: 2 GiB, or a twentieth of the file system where that is less. */
export type DiskReserveBytes = number | 'auto';

export interface DiskState {
  /** As the disk said last; undefined when it does not say. */
  readonly freeBytes: number | undefined;
  readonly reserveBytes: number;
  /** Records are refused. */
  readonly isLow: boolean;
}

/** Runs `work`, and again while the disk is full (R3). */
export type UntilFits = <T>(work: () => Promise<T>) => Promise<T>;

export interface DiskReserveOptions {
  readonly directory: DataDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly reserveBytes: DiskReserveBytes;
  /** Accepted and not written yet. */
  readonly pendingBytes: () => number;
}

const lookMs = 5000;
const lookMsWhenLow = 1000;
const autoBytesMax = 2 * 1024 ** 3;
const autoShare = 20;
const fullCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** More room makes it go on; a file that may not grow (`EFBIG`) is none of these. */
export const isFull = (error: unknown): error is DiskError => error instanceof DiskError && fullCodes.has(error.code);

export class DiskReserve {
  readonly #options: DiskReserveOptions;
  #freeBytes: number | undefined;
  #totalBytes = 0;
  #writtenBytes = 0;
  /** `#writtenBytes` when the disk was asked. */
  #writtenAtLook = 0;
  #looks = 0;
  #isLooking = false;
  #timer: Timer | undefined;
  #isLow = false;
  #state: DiskState | undefined;
  #isSilent = false;
  #stuckCount = 0;
  #closed = false;
  #waitingForLook: (() => void)[] = [];
  #waitingForRoom: (() => void)[] = [];

  constructor(options: DiskReserveOptions) {
    this.#options = options;
  }

  /** Asked for each batch: made anew only when something of it changes. */
  get state(): DiskState {
    this.#state ??= { freeBytes: this.#freeBytes, reserveBytes: this.#reserveBytes, isLow: this.#isLow };
    return this.#state;
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  /** Answers of the disk so far: what failed for want of room may be worth another try after one more. */
  get looks(): number {
    return this.#looks;
  }

  /** Resolves after the first look. */
  async start(): Promise<void> {
    await this.#look();
    this.#lookLater();
  }

  /** A group is on the disk. */
  wrote(bytes: number): void {
    this.#writtenBytes += bytes;
    this.#judge();
  }

  /** Calls `run` once: at once unless the disk is low, else when it is no more. */
  whenRoom(run: () => void): void {
    if (this.#isLow) this.#waitingForRoom.push(run);
    else run();
  }

  /** Calls `run` once, after the next look. */
  afterLook(run: () => void): void {
    this.#waitingForLook.push(run);
  }

  readonly untilFits: UntilFits = async (work) => {
    let isStuck = false;
    try {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if (!isFull(error) || this.#closed) throw error;
          if (!isStuck) this.#stuck(1);
          isStuck = true;
          await new Promise<void>((resolve) => this.#waitingForLook.push(resolve));
        }
      }
    } finally {
      if (isStuck) this.#stuck(-1);
    }
  };

  /** What waits for room tries once more, and fails if there is none. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#waitingForRoom = [];
    this.#tellLookers();
  }

  get #reserveBytes(): number {
    const { reserveBytes } = this.#options;
    return reserveBytes === 'auto' ? Math.min(autoBytesMax, Math.floor(this.#totalBytes / autoShare)) : reserveBytes;
  }

  #lookLater(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.setTimer(this.#isLow ? lookMsWhenLow : lookMs, () => {
      void this.#look();
      this.#lookLater();
    });
  }

  /** Never rejects (R4). One that hangs is not asked again, and what is known stays. */
  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const { directory, logger } = this.#options;
    const writtenBytes = this.#writtenBytes;
    try {
      const { freeBytes, totalBytes } = await directory.disk.space(directory.path);
      this.#freeBytes = freeBytes;
      this.#totalBytes = totalBytes;
      this.#isSilent = false;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      if (!this.#isSilent) logger.warn('free space of the disk cannot be told', { error: error.message });
      this.#isSilent = true;
      this.#freeBytes = undefined;
    }
    this.#isLooking = false;
    this.#state = undefined;
    this.#writtenAtLook = writtenBytes;
    this.#looks += 1;
    if (this.#closed) return;
    this.#judge();
    this.#tellLookers();
  }

  #tellLookers(): void {
    const waiting = this.#waitingForLook;
    this.#waitingForLook = [];
    for (const resolve of waiting) resolve();
  }

  #stuck(by: 1 | -1): void {
    this.#stuckCount += by;
    if (by === 1) this.#options.logger.warn('no room on the disk: the log waits', { freeBytes: this.#freeBytes });
    this.#judge();
  }

  #judge(): void {
    const reserveBytes = this.#reserveBytes;
    const wantedBytes = this.#isLow ? reserveBytes + reserveBytes / 8 : reserveBytes;
    const isLow = this.#stuckCount > 0 || this.#leftBytes() < wantedBytes;
    if (isLow === this.#isLow || this.#closed) return;
    this.#isLow = isLow;
    this.#state = undefined;
    this.#lookLater();
    const { logger } = this.#options;
    const fields = { freeBytes: this.#freeBytes, reserveBytes };
    if (isLow) return logger.warn('disk is below its reserve: records are refused', fields);
    logger.info('disk is above its reserve again: records are taken', fields);
    const waiting = this.#waitingForRoom;
    this.#waitingForRoom = [];
    for (const run of waiting) this.whenRoom(run);
  }

  #leftBytes(): number {
    if (this.#freeBytes === undefined) return Number.POSITIVE_INFINITY;
    return this.#freeBytes - (this.#writtenBytes - this.#writtenAtLook) - this.#options.pendingBytes();
  }
}
