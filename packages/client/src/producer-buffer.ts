/**
 * Bounds the records of a producer that are not decided yet, and lets `send` wait for room in order.
 *
 * U1 What is admitted never exceeds `bytesMax`, except for nothing: a record larger than the whole buffer is refused.
 * U2 Whoever waits is admitted in the order of the calls; no later call overtakes.
 */
import type { SluiceError } from '@sluice/base';
import { Fifo } from './fifo.ts';

export interface Waiting {
  /** Of the first record of it that waits. */
  readonly bytes: number;
  readonly deadlineMs: number;
  /** Of `flush`. */
  readonly generation: number;
  /** Some of it was admitted before. */
  readonly begun: boolean;
  /** There is room for that record, and it is taken. True: nothing more waits; false: `bytes` are those of the next. */
  admit(): boolean;
  fail(error: SluiceError): void;
}

export class ProducerBuffer {
  readonly #bytesMax: number;
  readonly #waiting = new Fifo<Waiting>();
  readonly #onRoom: (() => void)[] = [];
  #bytes = 0;
  #admitting = false;

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

  /** What was taken turns out to be more or less. */
  resize(byBytes: number): void {
    this.#bytes += byBytes;
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
    // Called from inside an admission whose record failed at once: that one goes on.
    if (this.#admitting) return;
    this.#admitting = true;
    for (let first = this.#waiting.first; first !== undefined; first = this.#waiting.first) {
      if (this.#bytes + first.bytes > this.#bytesMax) break;
      this.#bytes += first.bytes;
      if (first.admit()) this.#waiting.shift();
    }
    this.#admitting = false;
    if (this.#onRoom.length > 0 && this.#hasRoom) for (const run of this.#onRoom.splice(0)) run();
  }
}
