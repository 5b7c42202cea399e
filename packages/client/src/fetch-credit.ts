/**
 * Bytes that one fetch stream may have under way or waiting for the application.
 *
 * R1 granted + held stays within the window, but for the last run of it, which may overdraw.
 * R2 The window follows the number of streams: when that grows, a stream is granted less until it fits again.
 * R3 A batch in parts is charged whole with its first; until it is whole, one such batch uses up nothing of the window,
 *    so that other partitions need not wait for it.
 */
export class FetchCredit {
  readonly #windowBytes: () => number;
  #granted = 0;
  #held = 0;
  #apart = 0;

  constructor(windowBytes: () => number) {
    this.#windowBytes = windowBytes;
  }

  get heldBytes(): number {
    return this.#held;
  }

  received(bytes: number): void {
    this.#granted -= bytes;
    this.#held += bytes;
  }

  /** A batch began, of which parts follow. */
  begun(batchBytes: number): void {
    this.received(batchBytes);
    if (this.#apart === 0) this.#apart = batchBytes;
  }

  /** It is whole now, or void. */
  over(batchBytes: number): void {
    // Of two of one size it does not matter which stood apart.
    if (this.#apart === batchBytes) this.#apart = 0;
  }

  /** The application has them, or nobody needs them. */
  release(bytes: number): void {
    this.#held -= bytes;
  }

  /** What to grant now: nothing until it is worth a message, a quarter of the window. */
  take(): number {
    const windowBytes = this.#windowBytes();
    const wanted = windowBytes - this.#granted - (this.#held - this.#apart);
    if (wanted * 4 < windowBytes) return 0;
    this.#granted += wanted;
    return wanted;
  }
}
