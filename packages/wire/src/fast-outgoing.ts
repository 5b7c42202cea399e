/**
 * Adapter: messages of one stream of the fast lane on their way into HTTP/2.
 *
 * O1 What is sent in one turn is written at once: one buffer for small messages, one `writev` for all.
 * O2 HTTP/2 holds at most `handedBytesMax` and one message; the rest waits here, where closing the stream drops it.
 */
import type { Http2Stream } from 'node:http2';
import type { Message } from '@sluice/base';
import { DrainWaits } from './drain-waits.ts';
import { FrameWriter } from './grpc-framing.ts';
import { messageBytes } from './message-bytes.ts';

const handedBytesMax = 1_048_576;

export class FastOutgoing {
  readonly #writer = new FrameWriter();
  readonly #drained = new DrainWaits({ bufferedBytes: () => this.bufferedBytes, defer: queueMicrotask });
  #stream: Http2Stream | undefined;
  #waiting: Message[] = [];
  #waitingBytes = 0;
  #handedBytes = 0;
  #isDue = false;
  #ended = false;
  #dropped = false;

  get bufferedBytes(): number {
    return this.#waitingBytes + this.#handedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#drained.wait(belowBytes, run);
  }

  /** No message is taken any more. */
  get closed(): boolean {
    return this.#ended || this.#dropped;
  }

  push(message: Message): void {
    if (this.closed) return;
    this.#waiting.push(message);
    this.#waitingBytes += messageBytes(message);
    this.#soon();
  }

  /** Ends the stream after what was pushed before. */
  end(): void {
    if (this.closed) return;
    this.#ended = true;
    this.#soon();
  }

  /** Hands over at once what HTTP/2 may hold and ends the stream behind it; forgets the rest. */
  cut(): void {
    if (this.#waiting.length > 0 && !this.closed && this.#stream?.destroyed === false) this.#hand(this.#stream);
    this.drop();
    this.#stream?.end();
  }

  /** Forgets what is not yet handed over. */
  drop(): void {
    this.#dropped = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#handedBytes = 0;
    this.#drained.close();
  }

  attach(stream: Http2Stream): void {
    this.#stream = stream;
    this.#soon();
  }

  #soon(): void {
    if (this.#isDue || this.#stream === undefined) return;
    this.#isDue = true;
    queueMicrotask(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isDue = false;
    const stream = this.#stream;
    if (stream === undefined || this.#dropped || stream.destroyed || stream.writableEnded) return;
    if (this.#waiting.length > 0) this.#hand(stream);
    if (this.#ended && this.#waiting.length === 0) stream.end();
  };

  #hand(stream: Http2Stream): void {
    const waiting = this.#waiting;
    let taken = 0;
    let bytes = 0;
    while (taken < waiting.length && this.#handedBytes + bytes < handedBytesMax) {
      const message = waiting[taken] as Message;
      const length = messageBytes(message);
      this.#writer.add(message, length);
      bytes += length;
      taken += 1;
    }
    if (taken === 0) return;
    this.#waiting = taken === waiting.length ? [] : waiting.slice(taken);
    this.#waitingBytes -= bytes;
    this.#handedBytes += bytes;
    const buffers = this.#writer.take();
    const last = buffers.length - 1;
    stream.cork();
    for (let at = 0; at < last; at += 1) stream.write(buffers[at]);
    stream.write(buffers[last], () => this.#onWritten(bytes));
    stream.uncork();
  }

  #onWritten(bytes: number): void {
    if (this.#dropped) return;
    this.#handedBytes -= bytes;
    this.#drained.check();
    if (this.#waiting.length > 0) this.#flush();
  }
}
