/**
 * What the network between machines is like now: how long a message takes, how many segments are lost and sent again,
 * which links are clogged; and what becomes of Raft messages, which may be lost, repeated and reordered by contract.
 * Changed by the fault driver; asked for every delivery.
 */
import type { Random } from '@sluice/base';
import type { MemoryLink } from '@sluice/wire';

/** Simulated machines are slower than loopback and faster than a wide network. */
const calmUs = { min: 100, max: 600 };
/** TCP sends a segment again after this time, then after twice as long. */
const retransmitMs = 200;
const lossesInARowMax = 4;

export interface RaftMessageRates {
  readonly lossPercent: number;
  readonly duplicatePercent: number;
  readonly delayPercent: number;
  /** A delayed message comes this late at most: after later ones. */
  readonly delayMsMax: number;
  readonly lateMsMax: number;
}

export const calmRaftMessages: RaftMessageRates = {
  lossPercent: 0,
  duplicatePercent: 0,
  delayPercent: 0,
  delayMsMax: 0,
  lateMsMax: 1,
};

export class NetworkConditions {
  readonly random: Random;
  /** Added to every delivery, from nothing to twice this. */
  extraMeanMs = 0;
  lossPercent = 0;
  /** What a link from one machine to another carries, one message after the other. Infinity: size takes no time. */
  bytesPerMs = Infinity;
  raftMessages = calmRaftMessages;
  readonly counts = { segmentsLost: 0, raftLost: 0, raftDuplicated: 0, raftDelayed: 0 };
  readonly #cloggedUntilMs = new Map<string, number>();
  /** While `bytesPerMs` is finite. */
  readonly #busyUntilMs = new Map<string, number>();

  constructor(random: Random) {
    this.random = random;
  }

  clog(from: string, to: string, untilMs: number): void {
    const link = `${from}>${to}`;
    this.#cloggedUntilMs.set(link, Math.max(untilMs, this.#cloggedUntilMs.get(link) ?? 0));
  }

  unclog(from: string, to: string): void {
    this.#cloggedUntilMs.delete(`${from}>${to}`);
  }

  delayUs({ from, to }: MemoryLink, nowMs: number, bytes: number): number {
    const { random } = this;
    let delayUs = calmUs.min + random.below(calmUs.max - calmUs.min);
    if (this.extraMeanMs > 0) delayUs += random.below(2000 * this.extraMeanMs);
    if (this.lossPercent > 0) delayUs += this.#retransmissionUs();
    if (this.bytesPerMs < Infinity) delayUs += this.#transmissionUs(`${from}>${to}`, nowMs, bytes);
    if (this.#cloggedUntilMs.size === 0) return delayUs;
    const cloggedMs = (this.#cloggedUntilMs.get(`${from}>${to}`) ?? 0) - nowMs;
    return Math.max(delayUs, cloggedMs * 1000 + delayUs);
  }

  #transmissionUs(link: string, nowMs: number, bytes: number): number {
    const untilMs = Math.max(nowMs, this.#busyUntilMs.get(link) ?? 0) + bytes / this.bytesPerMs;
    this.#busyUntilMs.set(link, untilMs);
    return Math.round((untilMs - nowMs) * 1000);
  }

  #retransmissionUs(): number {
    let delayMs = 0;
    for (let losses = 0; losses < lossesInARowMax && this.random.below(100) < this.lossPercent; losses += 1) {
      this.counts.segmentsLost += 1;
      delayMs += retransmitMs * 2 ** losses;
    }
    return delayMs * 1000;
  }
}
