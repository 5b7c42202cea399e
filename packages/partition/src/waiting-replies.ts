/**
 * Requests that changed the log and wait for a position to reach what they need: produce requests for the end of their
 * batch, trims for a log start.
 *
 * W1 In order of `needEnd`. Originals come in order; only duplicates of older batches are put in between.
 */
import type { Offset } from '@sluice/base';
import type { RequestId } from './events.ts';

export interface WaitingReply {
  readonly requestId: RequestId;
  /** What the answer says. */
  readonly baseOffset: Offset;
  /** The position must reach this. */
  readonly needEnd: Offset;
  readonly deadlineMs: number;
}

export class WaitingReplies {
  #waiting: WaitingReply[] = [];
  #head = 0;

  get count(): number {
    return this.#waiting.length - this.#head;
  }

  add(reply: WaitingReply): void {
    let at = this.#waiting.length;
    while (at > this.#head && (this.#waiting[at - 1]?.needEnd ?? 0) > reply.needEnd) at -= 1;
    if (at === this.#waiting.length) this.#waiting.push(reply);
    else this.#waiting.splice(at, 0, reply);
  }

  /** Removes those that need no more than `end`, in order. */
  take(end: Offset, each: (reply: WaitingReply) => void): void {
    for (;;) {
      const first = this.#waiting[this.#head];
      if (first === undefined || first.needEnd > end) break;
      this.#head += 1;
      each(first);
    }
    // Moving the rest down only when it is the smaller half keeps the cost of each request constant.
    if (this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Removes those whose deadline is at or before `nowMs`. */
  expire(nowMs: number, each: (reply: WaitingReply) => void): void {
    this.#removeIf((reply) => reply.deadlineMs <= nowMs, each);
  }

  takeAll(each: (reply: WaitingReply) => void): void {
    this.#removeIf(() => true, each);
  }

  #removeIf(over: (reply: WaitingReply) => boolean, each: (reply: WaitingReply) => void): void {
    if (!this.#waiting.some((reply, at) => at >= this.#head && over(reply))) return;
    const kept: WaitingReply[] = [];
    for (const reply of this.#waiting.slice(this.#head)) {
      if (over(reply)) each(reply);
      else kept.push(reply);
    }
    this.#waiting = kept;
    this.#head = 0;
  }
}
