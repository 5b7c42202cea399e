/** Adapter: the serving end of a stream over grpc-js. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Acceptor, Clock, IncomingCall, Message, StreamHandlers, TransportStream } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { statusFromError, textMetadata } from './grpc-status.ts';
import { OutgoingQueue } from './outgoing-queue.ts';

type Call = ServerDuplexStream<Message, Message>;

/** Hands one incoming call to the acceptor. */
export function serveCall(call: Call, accept: Acceptor, clock: Clock): void {
  const stream = new GrpcServerStream(call, clock);
  const incoming: IncomingCall = {
    method: call.getPath(),
    metadata: textMetadata(call.metadata),
    remote: call.getPeer(),
    timeoutMs: timeoutOf(call, clock),
  };
  stream.receive(accept(incoming, stream));
}

function timeoutOf(call: Call, clock: Clock): number | undefined {
  const deadline = Number(call.getDeadline());
  return deadline === Infinity ? undefined : Math.max(0, deadline - clock.wallMs());
}

class GrpcServerStream implements TransportStream {
  readonly #call: Call;
  readonly #clock: Clock;
  readonly #queue = new OutgoingQueue();
  #handlers: StreamHandlers | undefined;
  /** Nothing is received any more: this side closed, or the call is over. */
  #closed = false;
  #over = false;

  constructor(call: Call, clock: Clock) {
    this.#call = call;
    this.#clock = clock;
    this.#queue.attach({
      write: (message, onWritten) => call.write(message, onWritten),
      end: () => call.end(),
    });
  }

  get bufferedBytes(): number {
    return this.#queue.bufferedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    this.#queue.whenDrained(belowBytes, run);
  }

  greeted(): void {
    // The windows of this lane never grow.
  }

  send(message: Message): void {
    this.#queue.push(message);
  }

  end(): void {
    this.#queue.end();
  }

  close(error?: SluiceError): void {
    if (this.#closed) return;
    this.#closed = true;
    if (error === undefined) return this.#queue.end();
    this.#queue.drop();
    this.#call.emit('error', statusFromError(error));
    // What is already under way may never be read by the other side, so nobody waits for it.
    this.#finish(error);
  }

  receive(handlers: StreamHandlers): void {
    const call = this.#call;
    this.#handlers = handlers;
    call.on('data', (message: Message) => {
      if (!this.#closed) handlers.onMessage(message);
    });
    call.on('end', () => {
      if (!this.#closed) handlers.onEnd();
    });
    call.on('finish', () => this.#finish(undefined));
    // A broken connection and a cancelled call look the same from here.
    call.on('cancelled', () => this.#finish(new SluiceError('CANCELLED')));
  }

  #finish(error: SluiceError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#closed = true;
    this.#queue.drop();
    this.#clock.defer(() => this.#handlers?.onClose(error));
  }
}
