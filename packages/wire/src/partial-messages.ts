/**
 * Bytes of messages that have begun to arrive and are not whole (X6). gRPC libraries collect them before anybody above
 * sees a message, so without this each of thousands of streams could hold almost the largest message. Pure.
 */
export class PartialMessages {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  open(): PartialMessage {
    return new PartialMessage((bytes) => this.charge(bytes));
  }

  /** Adds to what is held, or gives back; false when it is more than may be. */
  charge(bytes: number): boolean {
    this.#bytes += bytes;
    return this.#bytes <= this.#bytesMax;
  }
}

const prefixBytes = 5;

/** What a library spends on every piece that it keeps, so that a message in single bytes is not cheap to begin. */
export const pieceBytes = 200;

/** Follows the framing of one stream: a flag byte, four bytes of length, the body. */
export class PartialMessage {
  readonly #charge: (bytes: number) => boolean;
  #prefixLeft = prefixBytes;
  #bodyLeft = 0;
  #held = 0;
  #closed = false;

  constructor(charge: (bytes: number) => boolean) {
    this.#charge = charge;
  }

  /** False when all streams together hold more than they may: this one counts no longer and must be reset. */
  onBytes(bytes: Uint8Array): boolean {
    if (this.#closed) return true;
    let at = 0;
    while (at < bytes.byteLength) at += this.#prefixLeft > 0 ? this.#onPrefix(bytes, at) : this.#onBody(bytes, at);
    const within = this.#charge(0);
    if (!within) this.close();
    return within;
  }

  close(): void {
    this.#closed = true;
    this.#release();
  }

  #release(): void {
    this.#charge(-this.#held);
    this.#held = 0;
  }

  #onPrefix(bytes: Uint8Array, at: number): number {
    // The flag, which comes first, is no part of the length.
    if (this.#prefixLeft < prefixBytes) this.#bodyLeft = this.#bodyLeft * 256 + (bytes[at] ?? 0);
    this.#prefixLeft -= 1;
    if (this.#prefixLeft === 0) this.#maybeWhole();
    return 1;
  }

  #onBody(bytes: Uint8Array, at: number): number {
    const taken = Math.min(bytes.byteLength - at, this.#bodyLeft);
    this.#bodyLeft -= taken;
    this.#held += taken + pieceBytes;
    this.#charge(taken + pieceBytes);
    this.#maybeWhole();
    return taken;
  }

  #maybeWhole(): void {
    if (this.#bodyLeft > 0) return;
    this.#prefixLeft = prefixBytes;
    this.#release();
  }
}
