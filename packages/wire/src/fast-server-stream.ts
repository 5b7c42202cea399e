/**
 * Adapter: the serving end of a stream of the fast lane.
 *
 * S1 `onClose` is called once, last, and never from inside a method of this class.
 * S2 Headers go out with the first message, so that a refusal before it is one frame (*Trailers-Only*).
 * S3 Once the status is sent, or the call is cut, nothing of the call is held: neither what it sends nor what it began.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { Clock, Message, StreamHandlers, Timer, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { CompressedMessages } from './compressed-messages.ts';
import { grpcStatus } from './error-detail.ts';
import { FastOutgoing } from './fast-outgoing.ts';
import type { FastStatus } from './fast-status.ts';
import { okStatus, statusHeaders, statusOfError } from './fast-status.ts';
import { MessageParser } from './grpc-framing.ts';
import type { PartialMessages } from './partial-messages.ts';

export interface FastServerStreamOptions {
  readonly http2: ServerHttp2Stream;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly partial: PartialMessages;
  /** The caller's `grpc-encoding`. */
  readonly encoding: string;
  readonly onGreeted: () => void;
}

export const answerHeaders = { ':status': 200, 'content-type': 'application/grpc+proto' };

/** How long a caller has to read what was under way when its call failed. */
const lingerMs = 10_000;

export class FastServerStream implements TransportStream {
  readonly #options: FastServerStreamOptions;
  readonly #http2: ServerHttp2Stream;
  readonly #parser: MessageParser;
  readonly #outgoing = new FastOutgoing();
  #compressed: CompressedMessages | undefined;
  #handlers: StreamHandlers | undefined;
  #partialBytes = 0;
  #status: FastStatus = okStatus;
  #linger: Timer | undefined;
  /** Nothing is received any more: this side closed, or the call is over. */
  #closed = false;
  #over = false;

  constructor(options: FastServerStreamOptions) {
    const { http2, messageBytesMax } = options;
    this.#options = options;
    this.#http2 = http2;
    this.#parser = new MessageParser(messageBytesMax, {
      onMessage: (message, compressed) => this.#onMessage(message, compressed),
      onTooLarge: (bytes) =>
        this.#fail(
          grpcStatus.RESOURCE_EXHAUSTED,
          `A message of ${bytes} bytes is over the limit of ${messageBytesMax}.`,
        ),
    });
    this.#outgoing.attach(http2);
    http2.on('wantTrailers', () => this.#onFlushed());
    http2.on('close', () => this.#onClosed());
    // A stream that fails closes.
    http2.on('error', () => undefined);
  }

  get bufferedBytes(): number {
    return this.#outgoing.bufferedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#outgoing.whenDrained(belowBytes, run);
  }

  greeted(): void {
    this.#options.onGreeted();
  }

  send(message: Message): void {
    if (this.#outgoing.closed || !this.#begin()) return;
    this.#outgoing.push(message);
  }

  end(): void {
    if (this.#outgoing.closed) return;
    if (this.#http2.headersSent) this.#outgoing.end();
    else this.#respondOnly(okStatus);
  }

  close(error?: SluiceError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#letGo();
    if (error === undefined) return this.end();
    this.#endWith(statusOfError(error), error);
  }

  receive(handlers: StreamHandlers): void {
    const http2 = this.#http2;
    this.#handlers = handlers;
    http2.on('data', (chunk: Buffer) => this.#onData(chunk));
    http2.on('end', () => {
      if (this.#compressed === undefined) this.#onEnd();
      else this.#compressed.afterwards(() => this.#onEnd());
    });
  }

  #onData(chunk: Buffer): void {
    if (this.#closed) return;
    const parser = this.#parser;
    parser.push(chunk);
    const held = parser.heldBytes;
    if (held === this.#partialBytes) return;
    const change = held - this.#partialBytes;
    this.#partialBytes = held;
    if (!this.#options.partial.charge(change) && held > 0) this.#http2.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #onMessage(message: Message, compressed: boolean): void {
    if (this.#closed) return;
    if (!compressed && this.#compressed === undefined) return this.#handlers?.onMessage(message);
    const { encoding, messageBytesMax } = this.#options;
    this.#compressed ??= new CompressedMessages({
      encoding,
      messageBytesMax,
      onMessage: (inflated) => {
        if (!this.#closed) this.#handlers?.onMessage(inflated);
      },
      onFailure: (code, text) => this.#fail(code, text),
      onBusy: (isBusy) => (isBusy ? this.#http2.pause() : this.#http2.resume()),
    });
    this.#compressed.push(message, compressed);
  }

  #onEnd(): void {
    if (!this.#closed) this.#handlers?.onEnd();
  }

  /** The framing is broken, so the call ends here; the layer above hears what it hears of any caller that went. */
  #fail(code: number, text: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#letGo();
    this.#endWith({ code, text }, new SluiceError('CANCELLED'));
  }

  #endWith(status: FastStatus, error: SluiceError): void {
    const http2 = this.#http2;
    if (!http2.headersSent) this.#respondOnly(status);
    else if (!http2.destroyed) {
      this.#status = status;
      // What is already under way may never be read by the other side, so nobody above waits for it.
      this.#linger = this.#options.clock.setTimer(lingerMs, () => http2.close(constants.NGHTTP2_CANCEL));
      this.#outgoing.cut();
    }
    this.#finish(error);
  }

  #begin(): boolean {
    const http2 = this.#http2;
    if (http2.headersSent) return true;
    if (http2.destroyed || http2.closed) return false;
    http2.respond(answerHeaders, { waitForTrailers: true });
    return true;
  }

  #respondOnly(status: FastStatus): void {
    const http2 = this.#http2;
    this.#outgoing.drop();
    if (!http2.destroyed && !http2.closed) {
      http2.respond({ ...answerHeaders, ...statusHeaders(status) }, { endStream: true });
      this.#dismiss();
    }
    if (status === okStatus) this.#finish(undefined);
  }

  /** All messages are out. */
  #onFlushed(): void {
    const http2 = this.#http2;
    if (http2.destroyed || http2.closed) return;
    http2.sendTrailers(statusHeaders(this.#status));
    this.#dismiss();
    this.#finish(undefined);
  }

  /** The call is answered: whatever its caller still sends is not wanted. */
  #dismiss(): void {
    const http2 = this.#http2;
    http2.resume();
    // A reset that is made while HTTP/2 still writes the status would overtake it.
    this.#options.clock.defer(() => {
      if (!http2.destroyed && !http2.readableEnded) http2.close(constants.NGHTTP2_NO_ERROR);
    });
  }

  #onClosed(): void {
    this.#linger?.cancel();
    this.#letGo();
    // A broken connection and a cancelled call look the same from here.
    this.#finish(new SluiceError('CANCELLED'));
  }

  #letGo(): void {
    this.#parser.stop();
    this.#options.partial.charge(-this.#partialBytes);
    this.#partialBytes = 0;
  }

  #finish(error: SluiceError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#closed = true;
    this.#letGo();
    this.#outgoing.drop();
    this.#options.clock.defer(() => this.#handlers?.onClose(error));
  }
}
