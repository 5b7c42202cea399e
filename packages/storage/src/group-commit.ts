/**
 * Gathers what arrives while the last group is being written, writes it as one group, and tells everyone in it. How long
 * it gathers beyond that, and how much, is `CommitPace`'s to say.
 *
 * G1 Groups are durable in the order of their numbers, rows in the order in which they were asked for.
 * G2 A group is written only after the sync of the one before returned; torn and corrupt are told apart by that.
 * G3 After a failed write or sync nothing that waits is ever completed, nothing more is taken, and nothing more is
 *    written or synced (S2).
 */
import type { Clock, Halt, Timer } from '@sluice/base';
import { DiskError, SluiceError } from '@sluice/base';
import { CommitPace } from './commit-pace.ts';
import { Group } from './group.ts';
import type { Journal } from './journal.ts';
import type { GroupStats } from './node-log.ts';
import type { Replay } from './replay.ts';

export interface GroupCommitOptions {
  readonly journal: Journal;
  readonly replay: Replay;
  readonly clock: Clock;
  readonly halt: Halt;
  readonly nextGroup: number;
  /** The last group of the log has no rows, so nothing can be lost with it. */
  readonly lastIsEmpty: boolean;
  readonly groupBytesMax: number;
  readonly sealAfterIdleMs: number;
  /** After every member was told. */
  readonly onGroup: (group: number, stats: GroupStats) => void;
}

/** A table must fit its length field, and decode in one piece. */
const groupRowsMax = 65_536;

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** In order; the last one takes more. */
  #waiting: Group[] = [];
  #inFlight: Group | undefined;
  #nextGroup: number;
  #running = false;
  readonly #pace: CommitPace;
  /** The only group that waits may grow before it is written. */
  #lingering: { readonly bytes: number; readonly end: (wasWorthIt: boolean) => void } | undefined;
  #pendingBytes = 0;
  #lastIsEmpty: boolean;
  #failed: Error | undefined;
  #closing = false;
  #sealTimer: Timer | undefined;
  /** Until the open file may be finished by age while nothing is written. */
  #ageTimer: Timer | undefined;
  #onIdle: (() => void)[] = [];
  #groups = 0;
  #bytesWritten = 0;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
    options.journal.onFailure = (error) => this.#fail(error);
    this.#pace = new CommitPace(options.groupBytesMax, options.clock.monotonicMs());
    this.#nextGroup = options.nextGroup;
    this.#lastIsEmpty = options.lastIsEmpty;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  get failed(): Error | undefined {
    return this.#failed;
  }

  get groups(): number {
    return this.#groups;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  oldestUnsyncedMs(nowMs: number): number {
    const oldest = [this.#inFlight, ...this.#waiting].find((group) => group !== undefined && group.rowCount > 0);
    return oldest === undefined ? 0 : Math.max(0, nowMs - oldest.openedAtMs);
  }

  /** The group that takes what is written now; throws `STORAGE_FAILED` or `SHUTTING_DOWN`. */
  gathering(payloadBytes: number): Group {
    if (this.#failed !== undefined) {
      throw new SluiceError('STORAGE_FAILED', { message: this.#failed.message, definite: true });
    }
    if (this.#closing) throw new SluiceError('SHUTTING_DOWN', { message: 'The node log is closed.' });
    this.#pendingBytes += payloadBytes;
    this.#pace.arrived(payloadBytes);
    const last = this.#waiting.at(-1);
    const full =
      last === undefined ||
      last.rowCount >= groupRowsMax ||
      (last.rowCount > 0 && last.bytes + payloadBytes > this.#pace.groupBytesMax);
    const lingering = this.#lingering;
    if (lingering !== undefined && (full || last.bytes + payloadBytes >= lingering.bytes)) lingering.end(true);
    return full ? this.#open() : last;
  }

  /** Resolves when nothing waits; takes no more. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#lingering?.end(true);
    this.#sealTimer?.cancel();
    this.#ageTimer?.cancel();
    await this.idle();
    if (!this.#lastIsEmpty && this.#failed === undefined) {
      this.#open();
      await this.idle();
    }
    this.#sealTimer?.cancel();
  }

  /** Resolves when nothing is on its way, or the log failed. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  #open(): Group {
    const group = new Group(this.#nextGroup, this.#options.clock.monotonicMs());
    this.#nextGroup += 1;
    this.#waiting.push(group);
    if (!this.#running) {
      this.#running = true;
      this.#sealTimer?.cancel();
      // What arrives in the same turn joins the group.
      this.#options.clock.defer(() => void this.#run());
    }
    return group;
  }

  /** Never rejects: every failure ends in `#fail`. */
  async #run(): Promise<void> {
    try {
      for (let group = this.#waiting.shift(); group !== undefined; group = this.#waiting.shift()) {
        this.#inFlight = group;
        await this.#commit(group);
        this.#inFlight = undefined;
        const lingering = this.#linger();
        if (lingering !== undefined) await lingering;
      }
      this.#running = false;
      if (!this.#closing) this.whenIdle();
    } catch (error) {
      this.#fail(error);
    }
    const idle = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of idle) resolve();
  }

  /** Something to wait for, when the next group should grow first (H1, H2). */
  #linger(): Promise<void> | undefined {
    const next = this.#waiting[0];
    if (next === undefined || this.#waiting.length > 1 || this.#closing) return undefined;
    const wait = this.#pace.wait(next.bytes);
    if (wait === undefined) return undefined;
    return new Promise((resolve) => {
      const end = (wasWorthIt: boolean): void => {
        this.#lingering = undefined;
        timer.cancel();
        this.#pace.waited(wasWorthIt);
        // What arrives in the same turn joins the group.
        this.#options.clock.defer(resolve);
      };
      const timer = this.#options.clock.setTimer(wait.ms, () => end(false));
      this.#lingering = { bytes: wait.bytes, end };
    });
  }

  async #commit(group: Group): Promise<void> {
    const { journal, replay, clock, onGroup } = this.#options;
    const startMs = clock.monotonicMs();
    let writeMs = startMs;
    const encoded = await journal.commit(group, () => {
      writeMs = clock.monotonicMs();
    });
    // Something beside the group failed in the moment in which it was done (G3).
    if (this.#failed !== undefined) throw this.#failed;
    const durableMs = clock.monotonicMs();
    this.#pace.committed({ bytes: encoded.bytes, ms: durableMs - writeMs, nowMs: durableMs });
    this.#groups += 1;
    this.#bytesWritten += encoded.bytes;
    this.#pendingBytes -= group.payloadBytes;
    this.#lastIsEmpty = group.rowCount === 0;
    const { payloadPosition, appendedMs } = encoded;
    const at = { group: group.number, payloadPosition, appendedMs };
    group.durable(at, replay);
    onGroup(group.number, {
      bytes: encoded.bytes,
      queueMs: startMs - group.openedAtMs,
      prepareMs: writeMs - startMs,
      writeMs: durableMs - writeMs,
    });
  }

  /** What is left to do while nobody writes. */
  whenIdle(): void {
    this.#sealWhenIdle();
    this.#finishFileByAge();
  }

  /** An empty group proves that the last one was durable: damage to it is then corruption and not torn. */
  #sealWhenIdle(): void {
    if (this.#lastIsEmpty || this.#running) return;
    this.#sealTimer?.cancel();
    this.#sealTimer = this.#options.clock.setTimer(this.#options.sealAfterIdleMs, () => {
      if (!this.#running && !this.#closing && this.#failed === undefined) this.#open();
    });
  }

  /** An empty group finds the file too old, and goes into the next. */
  #finishFileByAge(): void {
    const leftMs = this.#options.journal.ageLeftMs();
    if (leftMs === undefined || this.#ageTimer !== undefined) return;
    this.#ageTimer = this.#options.clock.setTimer(leftMs, () => {
      this.#ageTimer = undefined;
      // One that is running looks for itself, and comes back here.
      if (this.#running || this.#closing || this.#failed !== undefined) return;
      if (this.#options.journal.ageLeftMs() === 0) this.#open();
      else this.#finishFileByAge();
    });
  }

  #fail(thrown: unknown): void {
    if (this.#failed !== undefined) return;
    const cause = thrown instanceof Error ? thrown : new Error(String(thrown));
    const error =
      cause instanceof DiskError
        ? new SluiceError('STORAGE_FAILED', {
            message: `The node log stops: ${cause.message}. Nothing is acknowledged any more; replace the disk or free space, then start the node again.`,
            cause,
          })
        : cause;
    this.#failed = error;
    this.#running = false;
    this.#sealTimer?.cancel();
    this.#ageTimer?.cancel();
    this.#options.halt.halt(error);
  }
}
