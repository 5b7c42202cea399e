/**
 * Adapter: the calling end of a stream of the fast lane.
 *
 * T1 Before `start` nothing has been given to HTTP/2, so a failure is `UNREACHABLE`, definite; afterwards the server may
 *    have seen the call, and a failure that it did not send itself is indefinite.
 * T2 `onClose` is called once, last, and never from inside a method of this class.
 */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import type { Clock, Message, OpenOptions, StreamHandlers, Timer, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { grpcStatus } from './error-detail.ts';
import { FastOutgoing } from './fast-outgoing.ts';
import type { FastStatus } from './fast-status.ts';
import { errorOfStatus, statusOfHeaders, statusOfHttp, statusOfReset } from './fast-status.ts';
import { MessageParser } from './grpc-framing.ts';
import { writeTimeout } from './grpc-timeout.ts';

export interface FastClientStreamOptions {
  readonly address: string;
  readonly method: string;
  readonly handlers: StreamHandlers;
  readonly call: OpenOptions;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly onOver: (stream: FastClientStream) => void;
}

const userAgent = 'sluice';

export class FastClientStream implements TransportStream {
  readonly #options: FastClientStreamOptions;
  readonly #outgoing = new FastOutgoing();
  readonly #parser: MessageParser;
  readonly #timer: Timer | undefined;
  readonly #startedMs: number;
  #http2: ClientHttp2Stream | undefined;
  #httpStatus: number | undefined;
  #status: FastStatus | undefined;
  #closed = false;

  constructor(options: FastClientStreamOptions) {
    this.#options = options;
    const { call, clock, messageBytesMax } = options;
    this.#parser = new MessageParser(messageBytesMax, {
      onMessage: (message, compressed) => this.#onMessage(message, compressed),
      onTooLarge: (bytes) => this.#onTooLarge(bytes),
    });
    this.#startedMs = clock.monotonicMs();
    if (call.timeoutMs !== undefined) this.#timer = clock.setTimer(call.timeoutMs, () => this.#onTimeout());
  }

  get bufferedBytes(): number {
    return this.#outgoing.bufferedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#outgoing.whenDrained(belowBytes, run);
  }

  greeted(): void {
    // A caller's windows are as large as they get from the start.
  }

  send(message: Message): void {
    this.#outgoing.push(message);
  }

  end(): void {
    this.#outgoing.end();
  }

  close(error?: SluiceError): void {
    this.#finish(error ?? new SluiceError('CANCELLED'));
  }

  /** There is a connection: makes the call on it. */
  start(session: ClientHttp2Session): void {
    if (this.#closed) return;
    const http2 = this.#request(session);
    if (http2 === undefined) return;
    this.#http2 = http2;
    http2.on('data', (chunk: Buffer) => {
      if (!this.#closed) this.#parser.push(chunk);
    });
    http2.on('response', (headers, flags) => this.#onResponse(headers, flags));
    http2.on('trailers', (headers: IncomingHttpHeaders) => {
      this.#status = statusOfHeaders(headers);
      if (http2.readableEnded) this.#onEnd();
    });
    http2.on('end', () => this.#onEnd());
    http2.on('close', () => this.#onReset(http2.rstCode));
    // A stream that fails closes.
    http2.on('error', () => undefined);
    this.#outgoing.attach(http2);
  }

  /** There is no connection and the attempt is over. */
  unreachable(error: SluiceError): void {
    this.#finish(error);
  }

  /** Undefined when HTTP/2 refuses the call before anything of it is sent. */
  #request(session: ClientHttp2Session): ClientHttp2Stream | undefined {
    try {
      return session.request(this.#headers());
    } catch (cause) {
      const { address } = this.#options;
      const message = `The call cannot be made on the connection to ${address}; nothing was sent.`;
      this.#finish(new SluiceError('UNREACHABLE', { message, details: { address }, cause }));
      return undefined;
    }
  }

  #headers(): OutgoingHttpHeaders {
    const { call, clock, method } = this.#options;
    const headers: OutgoingHttpHeaders = {
      ...call.metadata,
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': userAgent,
    };
    if (call.timeoutMs !== undefined) {
      headers['grpc-timeout'] = writeTimeout(call.timeoutMs - (clock.monotonicMs() - this.#startedMs));
    }
    return headers;
  }

  #onResponse(headers: IncomingHttpHeaders, flags: number): void {
    this.#httpStatus = Number(headers[':status']);
    const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    if (isAll) this.#status = statusOfHeaders(headers);
  }

  #onMessage(message: Message, compressed: boolean): void {
    if (this.#closed) return;
    if (!compressed) return this.#options.handlers.onMessage(message);
    this.#fail({ code: grpcStatus.INTERNAL, text: 'The answer is compressed, which was not asked for.' });
  }

  #onTooLarge(bytes: number): void {
    // A page of somebody who speaks no gRPC: what HTTP says of it tells more than its size.
    if (this.#httpStatus !== 200) return this.#fail(statusOfHttp(this.#httpStatus ?? 0));
    const { messageBytesMax } = this.#options;
    const text = `An answer of ${bytes} bytes is over the limit of ${messageBytesMax}.`;
    this.#fail({ code: grpcStatus.RESOURCE_EXHAUSTED, text });
  }

  #onTimeout(): void {
    const { address, call } = this.#options;
    const details = { address, timeoutMs: call.timeoutMs };
    if (this.#http2 !== undefined) return this.#finish(new SluiceError('TIMEOUT', { details }));
    const message = `No connection to ${address} within ${call.timeoutMs} ms; nothing was sent.`;
    this.#finish(new SluiceError('UNREACHABLE', { message, details }));
  }

  /** All messages are here; the status comes before or behind. */
  #onEnd(): void {
    const status = this.#status;
    if (status === undefined || this.#closed) return;
    if (this.#parser.isInside && status.code === grpcStatus.OK) {
      return this.#fail({ code: grpcStatus.INTERNAL, text: 'The answer ended in the middle of a message.' });
    }
    this.#fail(status);
  }

  #onReset(code: number | undefined): void {
    if (this.#closed) return;
    // A call that crosses GOAWAY: HTTP/2 says that nothing of it was processed (RFC 9113, 8.7).
    if (code === constants.NGHTTP2_REFUSED_STREAM && this.#httpStatus === undefined) {
      const { address } = this.#options;
      const message = `${address} takes no more calls on this connection; nothing of this one was done.`;
      return this.#finish(new SluiceError('UNREACHABLE', { message, details: { address } }));
    }
    this.#fail(this.#status ?? statusOfReset(code, this.#httpStatus));
  }

  #fail(status: FastStatus): void {
    const error = errorOfStatus(status);
    if (error === undefined) this.#options.handlers.onEnd();
    this.#finish(error);
  }

  #finish(error: SluiceError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#outgoing.drop();
    this.#parser.stop();
    this.#reset(error);
    const { clock, handlers, onOver } = this.#options;
    clock.defer(() => {
      onOver(this);
      handlers.onClose(error);
    });
  }

  /** Tells the server that nobody listens any more, if it does not know. */
  #reset(error: SluiceError | undefined): void {
    const http2 = this.#http2;
    if (http2 === undefined || http2.destroyed || http2.closed) return;
    http2.resume();
    http2.close(error === undefined ? constants.NGHTTP2_NO_ERROR : constants.NGHTTP2_CANCEL);
  }
}
