/**
 * When the Raft leader that this node followed was last heard: what a new controller leader knows of the silence of the
 * old one. Owned by `RaftRunner`.
 *
 * A leader speaks every `raft.heartbeatMs`, so its silence says something, be it a broker too. Nothing is known of the
 * others: followers do not speak to each other. The delays of this process are taken off, as the judge of sessions does
 * (`SessionBook`, B2): what arrived meanwhile may lie unread.
 */
import type { MemberId } from '@sluice/raft';

export interface HeardMember {
  readonly member: MemberId;
  /** By the monotonic clock. */
  readonly atMs: number;
}

export class FormerLeader {
  #heard: HeardMember | undefined;

  /** After a message of `from` was taken; `leader` is who leads by it. */
  onMessage(from: MemberId, leader: MemberId | undefined, nowMs: number): void {
    if (from === leader || from === this.#heard?.member) this.#heard = { member: from, atMs: nowMs };
  }

  /** A timer ran so late. */
  onDelay(delayMs: number, nowMs: number): void {
    if (this.#heard === undefined) return;
    this.#heard = { ...this.#heard, atMs: Math.min(nowMs, this.#heard.atMs + delayMs) };
  }

  /** To be asked once, when this node begins to lead: whom it followed before is no news to the leadership after it. */
  take(): HeardMember | undefined {
    const heard = this.#heard;
    this.#heard = undefined;
    return heard;
  }
}
