/**
 * The one door of a listener: every call of every lane comes in through `accept`, and nothing else does principal,
 * authorization, quota, deadline, limits, decoding and error mapping (design §4).
 *
 * W1 A handler sees only calls that passed all checks, and only messages that decoded.
 * W2 Every call that was counted is uncounted exactly once, in its `onClose`.
 * W3 Nothing that a caller sends, and nothing that a handler throws, escapes from here.
 */
import type {
  Acceptor,
  Clock,
  IncomingCall,
  Logger,
  Message,
  StreamHandlers,
  Timer,
  TransportStream,
} from '@sluice/base';
import { invariant, isSluiceError, SluiceError } from '@sluice/base';
import type { DispatcherLimits } from './dispatcher-limits.ts';
import type { Codec, Partially } from './codec.ts';
import { messageBytes } from './message-bytes.ts';
import type { Face, Method, Operation } from './method.ts';
import type { StreamReceiver, StreamSender } from './streams.ts';

export interface Principal {
  readonly type: 'anonymous' | 'user' | 'node';
  readonly name: string;
}

export interface CallContext {
  readonly method: string;
  /** Name of the listener that the call came in on. */
  readonly listener: string;
  /** `host:port` of the caller. */
  readonly remote: string;
  readonly principal: Principal;
  /** What the caller says it is, in metadata `sluice-client-id`; empty when it says nothing. */
  readonly clientId: string;
  /** On the monotonic clock; undefined when the call may last for ever. */
  readonly deadlineMs: number | undefined;
}

export interface DispatcherOptions {
  readonly face: Face;
  readonly listener: string;
  readonly limits: DispatcherLimits;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly authorize: (principal: Principal, operation: Operation) => boolean;
  /** The quota hook: a refusal, or undefined to let the call pass. */
  readonly admit?: (call: CallContext) => SluiceError | undefined;
}

export type UnaryHandler<Request, Response> = (request: Request, call: CallContext) => Promise<Partially<Response>>;

/** Refuses by throwing a `SluiceError`. */
export type StreamHandler<Request, Response> = (
  call: CallContext,
  sender: StreamSender<Response>,
) => StreamReceiver<Request>;

type Serve = (call: OpenCall) => Pick<StreamHandlers, 'onMessage' | 'onEnd' | 'onClose'>;

interface Route {
  readonly method: Method<unknown, unknown>;
  readonly serve: Serve;
}

const anonymous: Principal = { type: 'anonymous', name: '' };
const clientIdKey = 'sluice-client-id';
const clientIdCharactersMax = 256;
const deaf: StreamHandlers = { onMessage: () => undefined, onEnd: () => undefined, onClose: () => undefined };

export class Dispatcher {
  readonly accept: Acceptor = (call, stream) => this.#accept(call, stream);
  readonly #options: DispatcherOptions;
  readonly #routes = new Map<string, Route>();
  readonly #callsByRemote = new Map<string, number>();
  #calls = 0;

  constructor(options: DispatcherOptions) {
    this.#options = options;
  }

  /** Calls that are open now. */
  get openCalls(): number {
    return this.#calls;
  }

  unary<Request, Response>(method: Method<Request, Response>, handler: UnaryHandler<Request, Response>): void {
    invariant(method.kind === 'unary', 'not a unary method', { method: method.path });
    this.#route(method, (call) => serveUnary(call, method, handler));
  }

  stream<Request, Response>(method: Method<Request, Response>, handler: StreamHandler<Request, Response>): void {
    invariant(method.kind === 'stream', 'not a streaming method', { method: method.path });
    this.#route(method, (call) => serveStream(call, method, handler));
  }

  #route<Request, Response>(method: Method<Request, Response>, serve: Serve): void {
    invariant(method.face === this.#options.face, 'a method of the other face', { method: method.path });
    invariant(!this.#routes.has(method.path), 'two handlers for one method', { method: method.path });
    this.#routes.set(method.path, { method: method as Method<unknown, unknown>, serve });
  }

  #accept(incoming: IncomingCall, stream: TransportStream): StreamHandlers {
    const route = this.#routes.get(incoming.method);
    if (route === undefined) return refuse(stream, this.#unknownMethod(incoming.method));
    const context = this.#contextOf(incoming, route.method);
    const refusal = this.#refusal(context, route.method);
    if (refusal !== undefined) return refuse(stream, refusal);
    this.#count(context.remote, 1);
    const call = new OpenCall(context, stream, this.#options);
    return call.attach(route.serve, () => this.#count(context.remote, -1));
  }

  #unknownMethod(path: string): SluiceError {
    const { face, listener } = this.#options;
    return new SluiceError('UNKNOWN_METHOD', {
      message: `Listener ${listener} serves ${face} calls and has no method ${path.slice(0, 200)}.`,
      details: { listener, face },
    });
  }

  #contextOf(incoming: IncomingCall, method: Method<unknown, unknown>): CallContext {
    const { clock, limits, listener } = this.#options;
    const cap = method.kind === 'unary' ? limits.unaryTimeoutMsMax : undefined;
    const timeoutMs = Math.min(incoming.timeoutMs ?? Infinity, cap ?? Infinity);
    return {
      method: incoming.method,
      listener,
      remote: incoming.remote,
      principal: anonymous,
      clientId: (incoming.metadata[clientIdKey] ?? '').slice(0, clientIdCharactersMax),
      deadlineMs: timeoutMs === Infinity ? undefined : clock.monotonicMs() + timeoutMs,
    };
  }

  #refusal(call: CallContext, method: Method<unknown, unknown>): SluiceError | undefined {
    const { limits, authorize, admit } = this.#options;
    if (this.#calls >= limits.callsMax) return tooManyCalls('the listener', 'callsMax', limits.callsMax);
    if ((this.#callsByRemote.get(call.remote) ?? 0) >= limits.callsPerConnectionMax) {
      return tooManyCalls('this connection', 'callsPerConnectionMax', limits.callsPerConnectionMax);
    }
    if (!authorize(call.principal, method.operation)) {
      return new SluiceError('PERMISSION_DENIED', {
        message: `${call.principal.name || call.principal.type} may not do ${method.operation}.`,
        details: { operation: method.operation },
      });
    }
    return admit?.(call);
  }

  #count(remote: string, change: 1 | -1): void {
    this.#calls += change;
    const open = (this.#callsByRemote.get(remote) ?? 0) + change;
    invariant(this.#calls >= 0 && open >= 0, 'W2: a call was uncounted twice', { remote });
    if (open === 0) this.#callsByRemote.delete(remote);
    else this.#callsByRemote.set(remote, open);
  }
}

/** One call between its acceptance and its `onClose`. */
class OpenCall {
  readonly context: CallContext;
  readonly #stream: TransportStream;
  readonly #options: DispatcherOptions;
  #deadline: Timer | undefined;
  /** False from the moment this side ended or closed the call, or the transport did. */
  #open = true;

  constructor(context: CallContext, stream: TransportStream, options: DispatcherOptions) {
    this.context = context;
    this.#stream = stream;
    this.#options = options;
  }

  get open(): boolean {
    return this.#open;
  }

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes;
  }

  whenDrained(belowBytes: number, run: () => void): void {
    if (this.#open) this.#stream.whenDrained(belowBytes, run);
  }

  attach(serve: Serve, onOver: () => void): StreamHandlers {
    this.#startDeadline();
    let inner: StreamHandlers = deaf;
    this.#guard(() => {
      inner = serve(this);
    });
    return {
      onMessage: (message) => {
        if (this.#open && this.#fits(message)) this.#guard(() => inner.onMessage(message));
      },
      onEnd: () => {
        if (this.#open) this.#guard(() => inner.onEnd());
      },
      onClose: (error) => {
        this.#over();
        onOver();
        this.#guard(() => inner.onClose(error));
      },
    };
  }

  send<T>(codec: Codec<T>, value: Partially<T>): void {
    if (!this.#open) return;
    this.#stream.send(codec.encode(value));
    const { bufferedBytesMax } = this.#options.limits;
    if (this.#stream.bufferedBytes <= bufferedBytesMax) return;
    this.close(
      new SluiceError('LIMIT_EXCEEDED', {
        message: `More than ${bufferedBytesMax} bytes of answers wait for this call; read them faster.`,
        details: { limit: 'bufferedBytesMax', bytes: bufferedBytesMax },
      }),
    );
  }

  greeted(): void {
    if (this.#open) this.#stream.greeted();
  }

  end(): void {
    if (!this.#open) return;
    this.#over();
    this.#stream.end();
  }

  close(error?: SluiceError): void {
    if (!this.#open) return;
    this.#over();
    this.#stream.close(error);
  }

  /** What a handler threw: its own refusal, or a bug that is logged here and nowhere else. */
  fail(thrown: unknown): void {
    if (isSluiceError(thrown)) return this.close(thrown);
    this.#options.logger.error('handler failed', {
      method: this.context.method,
      listener: this.context.listener,
      remote: this.context.remote,
      err: thrown,
    });
    this.close(new SluiceError('INTERNAL', { cause: thrown }));
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #fits(message: Message): boolean {
    const { messageBytesMax } = this.#options.limits;
    const bytes = messageBytes(message);
    if (bytes <= messageBytesMax) return true;
    this.close(
      new SluiceError('LIMIT_EXCEEDED', {
        message: `A message of ${bytes} bytes is over the limit of ${messageBytesMax}; send smaller ones.`,
        details: { limit: 'messageBytesMax', bytes, bytesMax: messageBytesMax },
        retry: 'never',
      }),
    );
    return false;
  }

  #startDeadline(): void {
    const { deadlineMs } = this.context;
    if (deadlineMs === undefined) return;
    const { clock } = this.#options;
    this.#deadline = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () =>
      this.close(new SluiceError('TIMEOUT')),
    );
  }

  #over(): void {
    this.#open = false;
    this.#deadline?.cancel();
  }
}

function serveUnary<Request, Response>(
  call: OpenCall,
  method: Method<Request, Response>,
  handler: UnaryHandler<Request, Response>,
): StreamHandlers {
  let request: { readonly value: Request } | undefined;
  const answer = (response: Partially<Response>): void => {
    call.send(method.response, response);
    call.end();
  };
  return {
    onMessage: (message) => {
      if (request !== undefined) throw wrongCount(method.path, 'more than one message');
      request = { value: method.request.decode(message) };
    },
    onEnd: () => {
      if (request === undefined) throw wrongCount(method.path, 'no message');
      handler(request.value, call.context)
        .then(answer)
        .catch((thrown: unknown) => call.fail(thrown));
    },
    onClose: () => undefined,
  };
}

function serveStream<Request, Response>(
  call: OpenCall,
  method: Method<Request, Response>,
  handler: StreamHandler<Request, Response>,
): StreamHandlers {
  const receiver = handler(call.context, {
    send: (value) => call.send(method.response, value),
    end: () => call.end(),
    close: (error) => call.close(error),
    get bufferedBytes() {
      return call.bufferedBytes;
    },
    whenDrained: (belowBytes, run) => call.whenDrained(belowBytes, run),
  });
  let isGreeted = false;
  return {
    onMessage: (message) => {
      receiver.onMessage(method.request.decode(message));
      if (isGreeted) return;
      isGreeted = true;
      call.greeted();
    },
    onEnd: () => receiver.onEnd?.(),
    onClose: (error) => receiver.onClose(error),
  };
}

function refuse(stream: TransportStream, error: SluiceError): StreamHandlers {
  stream.close(error);
  return deaf;
}

const wrongCount = (path: string, what: string): SluiceError =>
  new SluiceError('INVALID_REQUEST', { message: `${path} takes exactly one message; there was ${what}.` });

const tooManyCalls = (where: string, limit: string, value: number): SluiceError =>
  new SluiceError('LIMIT_EXCEEDED', {
    message: `${where} has ${value} open calls, which is the limit ${limit}; close some first.`,
    details: { limit, value },
  });
