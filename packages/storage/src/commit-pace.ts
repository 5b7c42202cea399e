/**
 * How long the next group gathers and how much it may hold, by what the disk did lately. Pure: told of arrivals and of
 * commits by `GroupCommit`, asked by it between two groups.
 *
 * H1 Nothing waits but behind a commit: an append that finds the disk idle is written in the same turn.
 * H2 A group waits only when what arrives meanwhile is expected to enlarge it by half and by 64 KiB at least, and no longer
 *    than the last commits took, nor than 2 ms. Each commit costs the processor about 100 µs over three nodes; below that
 *    a wait would save none.
 * H3 A wait that was not worth it (those who append wait for us, say) makes the next ones rarer.
 * H4 The largest group is what the disk writes in 20 ms, or in the time that it takes for an empty one, if that is more:
 *    else a disk that is far away would be given too little to carry.
 */
export const groupBytesMin = 256 * 1024;
const waitMsMax = 2;
const gainBytesMin = 64 * 1024;
/** A group of this size has its commit's cost paid for. */
const enoughBytes = 512 * 1024;
const commitMsTarget = 20;
/** Weight of the newest commit in what arrives; about ten of them count. */
const newest = 0.1;
/** The same in what a commit costs: the size must follow a disk that becomes slow within a second or so. */
const newestCost = 0.3;
/** A commit is believed up to so many times the usual, or this time, whichever is more: beyond, it is an accident. */
const accident = 4;
const accidentMs = 5;
const skippedMax = 64;
/** A rate over less would be noise. */
const rateMsMin = 0.01;
/** Of what is expected, so that an even stream does not miss it by a hair. */
const expectedPart = 0.75;

export interface Wait {
  /** The group goes when it holds this much, */
  readonly bytes: number;
  /** or after this time. */
  readonly ms: number;
}

export class CommitPace {
  readonly #bytesMax: number;
  #groupBytesMax: number;
  readonly #cost = new CommitCost();
  #commitMs = 0;
  #bytesPerMs = 0;
  #arrivedBytes = 0;
  #sinceMs: number;
  /** Commits that must pass before the next wait, and how many it will be when that is in vain too. */
  #skip = 0;
  #skipNext = 1;

  constructor(bytesMax: number, nowMs: number) {
    this.#bytesMax = bytesMax;
    this.#groupBytesMax = bytesMax;
    this.#sinceMs = nowMs;
  }

  /** Of the next group. */
  get groupBytesMax(): number {
    return this.#groupBytesMax;
  }

  arrived(bytes: number): void {
    this.#arrivedBytes += bytes;
  }

  /** A group of `bytes` became durable `ms` after its write was asked for. */
  committed({ bytes, ms, nowMs }: { bytes: number; ms: number; nowMs: number }): void {
    const passedMs = nowMs - this.#sinceMs;
    if (passedMs > rateMsMin) {
      // Weighted by time: a moment between two commits must not count as much as a second without any.
      const weight = Math.min(1, passedMs / (10 * Math.max(ms, 0.1)));
      this.#bytesPerMs += (this.#arrivedBytes / passedMs - this.#bytesPerMs) * Math.max(newest, weight);
      this.#arrivedBytes = 0;
      this.#sinceMs = nowMs;
    }
    this.#commitMs = this.#commitMs === 0 ? ms : this.#commitMs + (ms - this.#commitMs) * newest;
    this.#skip = Math.max(0, this.#skip - 1);
    this.#cost.committed(bytes, ms);
    this.#resize();
  }

  /** Whether a group that holds `bytes`, and could be written now, should wait. */
  wait(bytes: number): Wait | undefined {
    if (this.#skip > 0 || bytes >= Math.min(enoughBytes, this.#groupBytesMax)) return undefined;
    const ms = Math.min(this.#commitMs, waitMsMax);
    const gain = Math.floor(this.#bytesPerMs * ms * expectedPart);
    if (gain < Math.max(gainBytesMin, bytes / 2)) return undefined;
    return { bytes: Math.min(bytes + gain, enoughBytes, this.#groupBytesMax), ms };
  }

  /** How a wait ended: with what was expected, or with the time. */
  waited(wasWorthIt: boolean): void {
    if (wasWorthIt) {
      this.#skipNext = 1;
      return;
    }
    this.#skip = this.#skipNext;
    this.#skipNext = Math.min(this.#skipNext * 2, skippedMax);
  }

  /** By a factor of two at most for one commit. */
  #resize(): void {
    const { emptyMs, msPerByte } = this.#cost;
    const dataMs = Math.max(commitMsTarget - emptyMs, emptyMs);
    const bytes = msPerByte > 0 ? dataMs / msPerByte : this.#bytesMax;
    const near = Math.min(Math.max(bytes, this.#groupBytesMax / 2), this.#groupBytesMax * 2);
    this.#groupBytesMax = Math.floor(Math.min(Math.max(near, groupBytesMin), this.#bytesMax));
  }
}

/** What a small commit takes, and each byte of a larger one beside that. */
class CommitCost {
  emptyMs = 0;
  msPerByte = 0;

  committed(bytes: number, ms: number): void {
    if (bytes <= groupBytesMin) {
      this.emptyMs += (Math.min(ms, accident * this.emptyMs + accidentMs) - this.emptyMs) * newestCost;
      return;
    }
    const known = Math.max(accident * this.msPerByte, accidentMs / bytes);
    const msPerByte = Math.min(Math.max(0, ms - this.emptyMs) / bytes, known);
    this.msPerByte += (msPerByte - this.msPerByte) * newestCost;
  }
}
