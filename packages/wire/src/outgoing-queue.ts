/** Messages of one stream that wait for gRPC to take them. */
import type { Message } from '@sluice/base';
import { DrainWaits } from './drain-waits.ts';
import { messageBytes } from './message-bytes.ts';

export interface MessageSink {
  /** `onWritten` is called once the transport has passed the message on, or has given up. */
  write(message: Message, onWritten: () => void): void;
  end(): void;
}

/** Handed to gRPC at one time; the rest stays here, where closing the stream can drop it. */
const writesInFlightMax = 2;

export class OutgoingQueue {
  readonly #drained = new DrainWaits({ bufferedBytes: () => this.#bytes, defer: queueMicrotask });
  #messages: Message[] = [];
  #sink: MessageSink | undefined;
  #inFlight = 0;
  #bytes = 0;
  #ended = false;
  #dropped = false;

  get bufferedBytes(): number {
    return this.#bytes;
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
    this.#bytes += messageBytes(message);
    this.#messages.push(message);
    this.#pump();
  }

  /** Ends the sink after what was pushed before. */
  end(): void {
    if (this.closed) return;
    this.#ended = true;
    this.#pump();
  }

  /** Forgets what is not yet handed over. */
  drop(): void {
    this.#dropped = true;
    this.#messages = [];
    this.#bytes = 0;
    this.#drained.close();
  }

  attach(sink: MessageSink): void {
    this.#sink = sink;
    this.#pump();
  }

  #pump(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#dropped) return;
    const taken = this.#messages.splice(0, writesInFlightMax - this.#inFlight);
    for (const message of taken) {
      this.#inFlight += 1;
      const bytes = messageBytes(message);
      sink.write(message, () => this.#onWritten(bytes));
    }
    if (this.#ended && this.#messages.length === 0) this.#endSink(sink);
  }

  #endSink(sink: MessageSink): void {
    this.#sink = undefined;
    sink.end();
  }

  #onWritten(bytes: number): void {
    this.#inFlight -= 1;
    if (this.#dropped) return;
    this.#bytes -= bytes;
    this.#drained.check();
    this.#pump();
  }
}
