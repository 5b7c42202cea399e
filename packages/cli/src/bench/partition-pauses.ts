/**
 * How long each partition had no ack. Owned by `bench failover`, told of every ack by its load.
 *
 * A partition *flows* while its newest ack is of a record that was due a moment ago: one that works off what waited in
 * a pause does not yet.
 */
import { SluiceError } from '@sluice/base';
import { sleep } from '../sleep.ts';

/** The time that pauses are measured in. */
export interface PauseClock {
  readonly now: () => number;
  /** Resolves after `ms`, or at once when `stop` aborts. */
  readonly sleep: (ms: number, stop: AbortSignal) => Promise<void>;
}

const realClock: PauseClock = { now: () => performance.now(), sleep };

export interface PartitionPausesOptions {
  readonly partitions: number;
  /** Time between two records of one partition. */
  readonly intervalMs: number;
  readonly clock?: PauseClock;
}

/** A record older than this, or than a few intervals of its partition, is no sign of flow: also on a busy machine. */
const flowAgeMsMax = 1000;
const flowIntervalsMax = 3;
const pollMs = 20;

interface Partition {
  lastMs: number;
  longestMs: number;
  /** When the newest record that is acked was due. */
  dueMs: number;
  end: PauseEnd | undefined;
}

/** The ack that ended a pause. */
export interface PauseEnd {
  readonly atMs: number;
  /** When the acked record was due: nothing could be acked before. */
  readonly dueMs: number;
}

export class PartitionPauses {
  readonly #partitions: readonly Partition[];
  readonly #flowAgeMs: number;
  readonly #clock: PauseClock;

  constructor({ partitions, intervalMs, clock = realClock }: PartitionPausesOptions) {
    this.#clock = clock;
    this.#flowAgeMs = Math.max(flowAgeMsMax, flowIntervalsMax * intervalMs);
    const startMs = clock.now();
    const dueMs = Number.NEGATIVE_INFINITY;
    this.#partitions = Array.from({ length: partitions }, () => ({
      lastMs: startMs,
      longestMs: 0,
      dueMs,
      end: undefined,
    }));
  }

  get partitions(): readonly number[] {
    return this.#partitions.map((_, partition) => partition);
  }

  acked(partition: number, dueMs: number): void {
    const found = this.#partitions[partition];
    if (found === undefined) throw new Error(`an ack of partition ${partition}, which is not there`);
    const nowMs = this.#clock.now();
    if (nowMs - found.lastMs > found.longestMs) {
      found.longestMs = nowMs - found.lastMs;
      found.end = { atMs: nowMs, dueMs };
    }
    found.lastMs = nowMs;
    found.dueMs = Math.max(found.dueMs, dueMs);
  }

  /** From here on pauses count; one that has begun before counts from its beginning. */
  mark(): void {
    for (const partition of this.#partitions) {
      partition.longestMs = 0;
      partition.end = undefined;
    }
  }

  /** The longest of a partition since `mark`, in whole milliseconds; one that still lasts counts. */
  longestMs(partition: number): number {
    const { longestMs = 0, lastMs = 0 } = this.#partitions[partition] ?? {};
    return Math.round(Math.max(longestMs, this.#clock.now() - lastMs));
  }

  /** The longest of any. */
  worstMs(): number {
    return Math.max(...this.#partitions.map((_, partition) => this.longestMs(partition)));
  }

  /** Of the longest pause since `mark`, on the clock given as `now`; undefined as long as there was no ack. */
  endOfLongest(partition: number): PauseEnd | undefined {
    return this.#partitions[partition]?.end;
  }

  /** Resolves once all partitions have flowed for so long without a lapse. Rejects with `TIMEOUT`. */
  async steady(steadyMs: number, timeoutMs: number, stop: AbortSignal): Promise<void> {
    const startMs = this.#clock.now();
    // What was in order before a failure must have had the time to lapse.
    const forMs = Math.max(steadyMs, this.#flowAgeMs + 2 * pollMs);
    let sinceMs = startMs;
    while (this.#clock.now() - sinceMs < forMs && !stop.aborted) {
      if (this.#clock.now() - startMs > timeoutMs) {
        throw new SluiceError('TIMEOUT', { message: this.#whyNot(timeoutMs) });
      }
      await this.#clock.sleep(pollMs, stop);
      if (this.#lapsed().length > 0) sinceMs = this.#clock.now();
    }
  }

  #whyNot(timeoutMs: number): string {
    const still = this.#lapsed();
    const behindMs = still.map((partition) => this.#clock.now() - (this.#partitions[partition]?.dueMs ?? 0));
    const which = `${still.length} partitions (${still.slice(0, 10).join(', ')})`;
    const lags = `the last acked record of one was due ${Math.round(Math.max(...behindMs))} ms ago`;
    return `Acks do not flow within ${timeoutMs / 1000} s: they lag or lapse in ${which}; ${lags}, and ${this.#flowAgeMs} ms are allowed.`;
  }

  #lapsed(): readonly number[] {
    const oldestMs = this.#clock.now() - this.#flowAgeMs;
    return this.#partitions.flatMap(({ dueMs }, partition) => (dueMs < oldestMs ? [partition] : []));
  }
}
