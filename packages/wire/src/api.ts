/** Declared ahead of its implementation; replaced file by file. */
import type {
  Acceptor,
  CallMetadata,
  Clock,
  Listening,
  Logger,
  Message,
  OpenOptions,
  ProbeResult,
  Random,
  SluiceError,
  StreamHandlers,
  Timer,
  Transport,
  TransportStream,
} from '@sluice/base';
import type { Partially } from './codec.ts';
import type { ErrorDetail } from './messages-errors.ts';
import type { Face, Method, Operation } from './method.ts';
import type { StreamReceiver, StreamSender } from './streams.ts';

export interface CallOptions {
  readonly metadata?: CallMetadata;
  /** Absent: no limit. */
  readonly timeoutMs?: number;
}

export declare class RpcClient {
  constructor(transport: Transport, clock: Clock);
  /** Rejects with `SluiceError`: `UNREACHABLE` when nothing was sent, `CONNECTION_LOST` or `TIMEOUT` when it may have been. */
  unary<Request, Response>(
    method: Method<Request, Response>,
    address: string,
    request: Partially<Request>,
    options: CallOptions & { readonly timeoutMs: number },
  ): Promise<Response>;
  stream<Request, Response>(
    method: Method<Request, Response>,
    address: string,
    receiver: StreamReceiver<Response>,
    options?: CallOptions,
  ): StreamSender<Request>;
}

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
  /** What the caller says it is, from metadata `sluice-client-id`; empty when it says nothing. */
  readonly clientId: string;
  /** On the monotonic clock; undefined when the call may last for ever. */
  readonly deadlineMs: number | undefined;
}

export interface DispatcherLimits {
  /** Largest message that is decoded. */
  readonly messageBytesMax: number;
  /** Open calls of one connection. */
  readonly callsPerConnectionMax: number;
  /** Open calls of the listener. */
  readonly callsMax: number;
  /** A call whose answers pile up beyond this is closed: its peer does not read. */
  readonly bufferedBytesMax: number;
  /** A unary call without a deadline gets this one, and a longer one is cut to it. */
  readonly unaryTimeoutMsMax: number;
}

/** Defaults of `DispatcherLimits` for each face. */
export declare const defaultLimits: Readonly<Record<Face, DispatcherLimits>>;

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
export type StreamHandler<Request, Response> = (
  call: CallContext,
  sender: StreamSender<Response>,
) => StreamReceiver<Request>;

export declare class Dispatcher {
  readonly accept: Acceptor;
  constructor(options: DispatcherOptions);
  unary<Request, Response>(method: Method<Request, Response>, handler: UnaryHandler<Request, Response>): void;
  stream<Request, Response>(method: Method<Request, Response>, handler: StreamHandler<Request, Response>): void;
}

export declare function encodeError(error: SluiceError): ErrorDetail;
export declare function decodeError(detail: ErrorDetail): SluiceError;

/** Bytes this side may still send. */
export declare class SendCredit {
  readonly availableBytes: number;
  /** True when something may be sent: a message is sent whole, so the last one may overdraw. */
  readonly canSend: boolean;
  grant(bytes: number): void;
  /** Takes `bytes` and returns true, or takes nothing and returns false when fewer are left. */
  take(bytes: number): boolean;
}

export declare class CreditBudget {
  constructor(options: { readonly totalBytes: number; readonly guaranteedBytes?: number });
  /** A new stream; `onGrant` gets bytes that were withheld and are free now, never from inside a call. */
  open(options: { readonly windowBytesMax: number; readonly onGrant: (bytes: number) => void }): ReceiveCredit;
}

/** Bytes the other side may send to us. */
export interface ReceiveCredit {
  /** What to grant in the first message of the stream. */
  readonly initialBytes: number;
  /** Throws `CREDIT_EXCEEDED` when the sender sent more than it was granted. */
  onReceived(bytes: number): void;
  /** These bytes are dealt with; what is to be granted follows through `onGrant`, in steps of a quarter window. */
  release(bytes: number): void;
  /** The stream is over; gives everything back. */
  close(): void;
}

export type ChannelClass = 'control' | 'produce' | 'fetch' | 'replicate';

export interface GrpcTransportOptions {
  readonly clock: Clock;
  /** Largest message that is received, by servers and clients of this transport. */
  readonly messageBytesMax: number;
}

export declare class GrpcTransport implements Transport {
  constructor(options: GrpcTransportOptions);
  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream;
  listen(address: string, accept: Acceptor): Promise<Listening>;
  probe(address: string, timeoutMs: number): Promise<ProbeResult>;
  close(): void;
}

export declare class MemoryNetwork {
  constructor(clock: Clock);
}

export declare class MemoryTransport implements Transport {
  constructor(network: MemoryNetwork, self: string);
  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream;
  listen(address: string, accept: Acceptor): Promise<Listening>;
  probe(address: string, timeoutMs: number): Promise<ProbeResult>;
  close(): void;
}

export declare class SystemClock implements Clock {
  monotonicMs(): number;
  wallMs(): number;
  setTimer(delayMs: number, onFire: () => void): Timer;
  defer(run: () => void): void;
}

export declare function systemRandom(): Random;

/** Bytes of all chunks. */
export declare function messageBytes(message: Message): number;
