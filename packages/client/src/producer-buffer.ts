/**
 * Bounds the records of a producer that are not decided yet, and lets `send` wait for room in order.
 *
 * U1 What is admitted never exceeds `bytesMax`, except for nothing: a record larger than the whole buffer is refused.
 * U2 Whoever waits is admitted in the order of the calls; no later call overtakes.
 */
import type { SluiceError } from '@sluice/base';
import { Fifo } from './fifo.ts';

export interface Waiting {
  readonly bytes: number;
  readonly deadlineMs: number;
  /** There is room, and it is taken. */
  admit(): void;
  fail(error: SluiceError): void;
}

export class ProducerBuffer {
  readonly #bytesMax: number;
  readonly #waiting = new Fifo<Waiting>();
  readonly #onRoom: (() => void)[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get nextDeadlineMs(): number | undefined {
    return this.#waiting.first?.deadlineMs;
  }

  /** Takes room, or takes nothing and returns false. */
  take(bytes: number): boolean {
    if (this.#waiting.size > 0 || this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
  }

  /** False when it was admitted before. */
  giveUp(waiting: Waiting): boolean {
    if (!this.#waiting.remove(waiting)) return false;
    this.#admit();
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    this.#admit();
  }

  /** Calls back once there is room for a record. */
  whenRoom(run: () => void): void {
    if (this.#hasRoom) run();
    else this.#onRoom.push(run);
  }

  expire(nowMs: number, error: () => SluiceError): void {
    for (
      let first = this.#waiting.first;
      first !== undefined && first.deadlineMs <= nowMs;
      first = this.#waiting.first
    ) {
      this.#waiting.shift();
      first.fail(error());
    }
    this.#admit();
  }

  failAll(error: SluiceError): void {
    for (const waiting of this.#waiting.takeAll()) waiting.fail(error);
    for (const run of this.#onRoom.splice(0)) run();
  }

  /** Half of it free: who was refused comes back to more than one record's room. */
  get #hasRoom(): boolean {
    return this.#waiting.size === 0 && this.#bytes * 2 <= this.#bytesMax;
  }

  #admit(): void {
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      if (this.#bytes + first.bytes > this.#bytesMax) break;
      this.#waiting.shift();
      this.#bytes += first.bytes;
      first.admit();
    }
    if (this.#onRoom.length > 0 && this.#hasRoom) for (const run of this.#onRoom.splice(0)) run();
  }
}
