/**
 * Messages of a gRPC stream: a flag byte, four bytes of length, the body. Pure.
 *
 * F1 A message is never joined: it is the list of the pieces that arrived.
 * F2 However finely its sender cuts it, a message of n bytes has at most n / 512 + 2 pieces, and those that were copied
 *    hold at most twice what they say.
 */
import type { Message } from '@sluice/base';

const prefixBytes = 5;
/** Smaller pieces are copied: cheaper than one more view to carry, or one more buffer to hand to the kernel. */
const smallBytes = 1_024;
const slabBytes = 16_384;
/** Larger allocations cost a system call each. */
const runBytesMax = 65_536;

export interface ParserEvents {
  onMessage(message: Message, compressed: boolean): void;
  /** The prefix says more than is allowed; nothing is parsed after it. */
  onTooLarge(bytes: number): void;
}

export class MessageParser {
  readonly #bytesMax: number;
  readonly #events: ParserEvents;
  readonly #prefix = new Uint8Array(prefixBytes);
  #prefixHere = 0;
  #compressed = false;
  /** Of the body of the message that has begun; -1 between messages. */
  #left = -1;
  #held = 0;
  #pieces: Uint8Array[] = [];
  /** Small pieces are gathered here until they make a piece. */
  #tail: Uint8Array | undefined;
  #tailHere = 0;
  #stopped = false;

  constructor(bytesMax: number, events: ParserEvents) {
    this.#bytesMax = bytesMax;
    this.#events = events;
  }

  /** Bytes of the message that has begun and is not whole. */
  get heldBytes(): number {
    return this.#held;
  }

  /** A message, or its prefix, has begun and is not whole. */
  get isInside(): boolean {
    return this.#left >= 0 || this.#prefixHere > 0;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.byteLength && !this.#stopped) {
      at = this.#left < 0 ? this.#onPrefix(chunk, at) : this.#onBody(chunk, at);
    }
  }

  /** Parses nothing more and holds nothing. */
  stop(): void {
    this.#stopped = true;
    this.#held = 0;
    this.#pieces = [];
    this.#tail = undefined;
  }

  #onPrefix(chunk: Uint8Array, at: number): number {
    if (this.#prefixHere === 0 && chunk.byteLength - at >= prefixBytes) {
      this.#begin(chunk, at);
      return at + prefixBytes;
    }
    this.#prefix[this.#prefixHere] = chunk[at] as number;
    this.#prefixHere += 1;
    if (this.#prefixHere === prefixBytes) {
      this.#prefixHere = 0;
      this.#begin(this.#prefix, 0);
    }
    return at + 1;
  }

  #begin(bytes: Uint8Array, at: number): void {
    const high = (bytes[at + 1] as number) * 0x1000000;
    const length =
      high + (((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 8) | (bytes[at + 4] as number));
    this.#compressed = bytes[at] === 1;
    if (length > this.#bytesMax) {
      this.stop();
      return this.#events.onTooLarge(length);
    }
    this.#left = length;
    if (length === 0) this.#whole();
  }

  #onBody(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.byteLength, at + this.#left);
    const bytes = end - at;
    this.#left -= bytes;
    this.#held += bytes;
    // The last piece goes no further than its message, so it is not gathered unless there is something to add it to.
    const gathers = bytes < smallBytes && (this.#left > 0 || this.#tail !== undefined);
    if (gathers) this.#gather(chunk.subarray(at, end));
    else {
      this.#closeTail();
      this.#pieces.push(bytes === chunk.byteLength ? chunk : chunk.subarray(at, end));
    }
    if (this.#left === 0) this.#whole();
    return end;
  }

  #gather(piece: Uint8Array): void {
    if (this.#tail !== undefined && this.#tail.byteLength - this.#tailHere < piece.byteLength) this.#closeTail();
    // Sized by what is still to come, so that a short message does not hold a whole slab.
    this.#tail ??= new Uint8Array(Math.min(slabBytes, piece.byteLength + this.#left));
    this.#tail.set(piece, this.#tailHere);
    this.#tailHere += piece.byteLength;
  }

  #closeTail(): void {
    const tail = this.#tail;
    const here = this.#tailHere;
    if (tail === undefined) return;
    this.#pieces.push(here * 2 < tail.byteLength ? tail.slice(0, here) : tail.subarray(0, here));
    this.#tail = undefined;
    this.#tailHere = 0;
  }

  #whole(): void {
    this.#closeTail();
    const message = this.#pieces;
    this.#pieces = [];
    this.#left = -1;
    this.#held = 0;
    this.#events.onMessage(message, this.#compressed);
  }
}

/** Collects messages, with their prefixes, as the buffers to hand to the kernel in one go. */
export class FrameWriter {
  #buffers: Uint8Array[] = [];
  /** Small chunks and, as numbers, prefixes that lie side by side and become one buffer. */
  #run: (Uint8Array | number)[] = [];
  #runBytes = 0;

  /** Large chunks are not copied: leave them as they are. */
  add(message: Message, bytes: number): void {
    this.#run.push(bytes);
    this.#runBytes += prefixBytes;
    for (const chunk of message) {
      if (chunk.byteLength > smallBytes) {
        this.#closeRun();
        this.#buffers.push(chunk);
      } else {
        this.#run.push(chunk);
        this.#runBytes += chunk.byteLength;
      }
    }
    if (this.#runBytes >= runBytesMax) this.#closeRun();
  }

  take(): Uint8Array[] {
    this.#closeRun();
    const buffers = this.#buffers;
    this.#buffers = [];
    return buffers;
  }

  #closeRun(): void {
    if (this.#runBytes === 0) return;
    const buffer = Buffer.allocUnsafe(this.#runBytes);
    let at = 0;
    for (const part of this.#run) {
      if (typeof part === 'number') {
        buffer[at] = 0;
        buffer.writeUInt32BE(part, at + 1);
        at += prefixBytes;
      } else {
        buffer.set(part, at);
        at += part.byteLength;
      }
    }
    this.#run = [];
    this.#runBytes = 0;
    this.#buffers.push(buffer);
  }
}
