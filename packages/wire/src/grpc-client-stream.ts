/**
 * Adapter: the calling end of a stream over grpc-js.
 *
 * T1 Before `start` nothing has been given to grpc-js, so a failure is `UNREACHABLE`, definite; afterwards the server
 *    may have seen the call, and a failure that it did not send itself is indefinite.
 * T2 `onClose` is called once, last, and never from inside a method of this class.
 */
import type { Client, ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import type { Clock, Message, OpenOptions, StreamHandlers, Timer, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { deserializeChunks, serializeChunks } from './grpc-message.ts';
import { errorFromStatus, metadataFrom } from './grpc-status.ts';
import { writeTimeout } from './grpc-timeout.ts';
import { OutgoingQueue } from './outgoing-queue.ts';

export interface ClientStreamOptions {
  readonly address: string;
  readonly method: string;
  readonly handlers: StreamHandlers;
  readonly call: OpenOptions;
  readonly clock: Clock;
  readonly onOver: (stream: GrpcClientStream) => void;
}

export class GrpcClientStream implements TransportStream {
  readonly #options: ClientStreamOptions;
  readonly #queue = new OutgoingQueue();
  readonly #timer: Timer | undefined;
  readonly #startedMs: number;
  #call: ClientDuplexStream<Message, Message> | undefined;
  #closed = false;

  constructor(options: ClientStreamOptions) {
    this.#options = options;
    const { call, clock } = options;
    this.#startedMs = clock.monotonicMs();
    if (call.timeoutMs !== undefined) this.#timer = clock.setTimer(call.timeoutMs, () => this.#onTimeout());
  }

  get bufferedBytes(): number {
    return this.#queue.bufferedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#queue.whenDrained(belowBytes, run);
  }

  greeted(): void {
    // A caller's windows are as large as they get from the start.
  }

  send(message: Message): void {
    if (!this.#closed) this.#queue.push(message);
  }

  end(): void {
    if (!this.#closed) this.#queue.end();
  }

  close(error?: SluiceError): void {
    this.#finish(error ?? new SluiceError('CANCELLED'));
  }

  /** There is a connection: makes the call on it. */
  start(client: Client): void {
    if (this.#closed) return;
    const { method, handlers } = this.#options;
    const call = client.makeBidiStreamRequest(method, serializeChunks, deserializeChunks, this.#metadata());
    this.#call = call;
    let status: StatusObject | undefined;
    const onOver = (): void => {
      if (status !== undefined) this.#onStatus(status);
    };
    call.on('data', (message: Message) => {
      if (!this.#closed) handlers.onMessage(message);
    });
    call.on('status', (received: StatusObject) => {
      status = received;
      // Messages that wait in the readable side come before the status.
      if (call.readableLength === 0) onOver();
    });
    call.on('end', onOver);
    // The status event says the same.
    call.on('error', () => undefined);
    this.#queue.attach({
      write: (message, onWritten) => call.write(message, onWritten),
      end: () => call.end(),
    });
  }

  /** There is no connection and the attempt is over. */
  unreachable(error: SluiceError): void {
    this.#finish(error);
  }

  #metadata(): ReturnType<typeof metadataFrom> {
    const { call, clock } = this.#options;
    const metadata = metadataFrom(call.metadata);
    if (call.timeoutMs !== undefined) {
      metadata.set('grpc-timeout', writeTimeout(call.timeoutMs - (clock.monotonicMs() - this.#startedMs)));
    }
    return metadata;
  }

  #onTimeout(): void {
    const { address, call } = this.#options;
    const details = { address, timeoutMs: call.timeoutMs };
    if (this.#call !== undefined) return this.#finish(new SluiceError('TIMEOUT', { details }));
    const message = `No connection to ${address} within ${call.timeoutMs} ms; nothing was sent.`;
    this.#finish(new SluiceError('UNREACHABLE', { message, details }));
  }

  #onStatus(status: StatusObject): void {
    if (this.#closed) return;
    const error = errorFromStatus(status);
    if (error === undefined) this.#options.handlers.onEnd();
    this.#finish(error);
  }

  #finish(error: SluiceError | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#queue.drop();
    if (error !== undefined) this.#call?.cancel();
    const { clock, handlers, onOver } = this.#options;
    clock.defer(() => {
      onOver(this);
      handlers.onClose(error);
    });
  }
}
