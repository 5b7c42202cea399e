/**
 * The node's memory for what its callers may have under way on the fast lane. A connection starts with the windows of
 * HTTP/2 (64 KiB); it grows once, and only when there is room here for all that it may then send. Pure.
 */
import { invariant } from '@sluice/base';

export class ReceiveBudget {
  readonly #bytesMax: number;
  #charged = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get chargedBytes(): number {
    return this.#charged;
  }

  /** Takes all of it or nothing. */
  take(bytes: number): boolean {
    if (this.#charged + bytes > this.#bytesMax) return false;
    this.#charged += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#charged -= bytes;
    invariant(this.#charged >= 0, 'more was given back to the receive budget than taken', { charged: this.#charged });
  }
}
