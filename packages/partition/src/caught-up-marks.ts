/**
 * When the leader's log ended where, in a small ring: the newest mark that a follower's durable ack has passed is the
 * last moment at which it had everything (D10). One ring for all followers.
 *
 * M1 Times and ends never go down from mark to mark.
 * M2 At most `markCount` marks, at least `spanMs / markCount` apart: older than the span says "lagging" anyway.
 */
import type { Offset } from '@sluice/base';

const markCount = 64;

interface Mark {
  atMs: number;
  end: Offset;
}

export class CaughtUpMarks {
  readonly #spacingMs: number;
  readonly #marks: Mark[] = [];

  /** `spanMs`: how far back to remember. */
  constructor(spanMs: number) {
    this.#spacingMs = spanMs / markCount;
  }

  /** At `nowMs` the log still ends at `end`. Called before each append and at each tick. */
  note(nowMs: number, end: Offset): void {
    const newest = this.#marks.at(-1);
    if (newest !== undefined && newest.end === end) {
      newest.atMs = Math.max(newest.atMs, nowMs);
      return;
    }
    if (newest !== undefined && nowMs - newest.atMs < this.#spacingMs) return;
    const recycled = this.#marks.length < markCount ? undefined : this.#marks.shift();
    const mark = recycled ?? { atMs: nowMs, end };
    mark.atMs = nowMs;
    mark.end = end;
    this.#marks.push(mark);
  }

  /** The time of the newest mark with an end not past `acked`; −Infinity when all are past it. */
  newestPassed(acked: Offset): number {
    for (let at = this.#marks.length - 1; at >= 0; at -= 1) {
      const mark = this.#marks[at];
      if (mark !== undefined && mark.end <= acked) return mark.atMs;
    }
    return Number.NEGATIVE_INFINITY;
  }
}
