/**
 * One end of a call over a `MemoryNetwork`.
 * `onClose` is called once, last, and never from inside a method of the stream: from a delivery, or deferred.
 */
import type { Clock, Message, StreamHandlers, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { DrainWaits } from './drain-waits.ts';
import { decodeError, encodeError } from './error-detail.ts';
import type { MemoryFlow } from './memory-flow.ts';
import { messageBytes } from './message-bytes.ts';

export interface MemoryStreamOptions {
  readonly role: 'caller' | 'server';
  readonly clock: Clock;
  /** Towards the other end. */
  readonly flow: MemoryFlow;
  /** Called once, before `onClose`. */
  readonly onOver: (stream: MemoryStream) => void;
}

export class MemoryStream implements TransportStream {
  readonly #options: MemoryStreamOptions;
  readonly #drained: DrainWaits;
  #handlers: StreamHandlers | undefined;
  #peer: MemoryStream | undefined;
  #underWayBytes = 0;
  /** Nothing more is sent. */
  #ended = false;
  /** Nothing more is heard. */
  #deaf = false;
  #over = false;

  constructor(options: MemoryStreamOptions) {
    this.#options = options;
    this.#drained = new DrainWaits({
      bufferedBytes: () => this.#underWayBytes,
      defer: (run) => options.clock.defer(run),
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** The process at the other end. */
  get other(): string {
    return this.#options.flow.link.to;
  }

  get bufferedBytes(): number {
    return this.#underWayBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#drained.wait(belowBytes, run);
  }

  greeted(): void {
    // Memory has no windows.
  }

  attach(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  pair(peer: MemoryStream): void {
    this.#peer = peer;
  }

  send(message: Message): void {
    if (this.#over || this.#ended) return;
    // The receiver owns what it gets, and the sender keeps what it has: as over a socket.
    const copy = message.map((chunk) => new Uint8Array(chunk));
    const bytes = messageBytes(copy);
    this.#underWayBytes += bytes;
    this.#options.flow.push(() => {
      this.#underWayBytes -= bytes;
      this.#drained.check();
      this.#peer?.hear(copy);
    }, copy);
  }

  end(): void {
    if (this.#over || this.#ended) return;
    this.#ended = true;
    this.#options.flow.push(() => {
      if (this.#options.role === 'caller') return this.#peer?.hearEnd();
      this.#peer?.closeByOther(undefined);
      this.finish(undefined);
    });
  }

  close(error?: SluiceError): void {
    if (this.#over) return;
    this.#deaf = true;
    if (this.#options.role === 'caller') {
      this.#tell(new SluiceError('CANCELLED'));
      this.finish(error ?? new SluiceError('CANCELLED'));
    } else if (error === undefined) {
      this.end();
    } else {
      // Nothing but what the contract can carry reaches the other end.
      this.#tell(decodeError(encodeError(error)));
      this.finish(error);
    }
  }

  /** The process of this end died: its kernel tells the other end, nobody here hears of it. */
  die(): void {
    if (this.#over) return;
    this.#leave();
    this.#tell(new SluiceError('CONNECTION_LOST'));
  }

  /** The machine of this end lost power: nobody hears of it. Returns the other end, if there is one. */
  vanish(): MemoryStream | undefined {
    if (this.#over) return undefined;
    this.#leave();
    return this.#peer;
  }

  /** The connection broke: both ends hear of it. */
  break(): void {
    if (this.#over) return;
    this.#tell(new SluiceError('CONNECTION_LOST'));
    this.finish(new SluiceError('CONNECTION_LOST'));
  }

  hear(message: Message): void {
    if (!this.#over && !this.#deaf) this.#handlers?.onMessage(message);
  }

  hearEnd(): void {
    if (!this.#over && !this.#deaf) this.#handlers?.onEnd();
  }

  /** The other end closed; called from a delivery. */
  closeByOther(error: SluiceError | undefined): void {
    if (this.#over) return;
    if (error === undefined) this.hearEnd();
    // `onEnd` may have closed this end.
    if (this.#over) return;
    this.#leave();
    this.#handlers?.onClose(error);
  }

  /** Ends this end alone. */
  finish(error: SluiceError | undefined): void {
    if (this.#over) return;
    this.#leave();
    this.#options.clock.defer(() => this.#handlers?.onClose(error));
  }

  #leave(): void {
    this.#over = true;
    this.#drained.close();
    this.#options.onOver(this);
  }

  #tell(error: SluiceError): void {
    this.#options.flow.push(() => this.#peer?.closeByOther(error));
  }
}
