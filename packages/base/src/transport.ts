/**
 * Port: streams of messages between processes. Real: gRPC (`wire/src/grpc-transport.ts`); memory: `MemoryTransport`
 * beside it, which `sim` wraps with faults. Credits, codecs, dispatcher and error mapping sit above it and are the same
 * over both.
 *
 * - Messages of one stream arrive whole and in order, or the stream closes; nothing is promised across streams.
 * - Callbacks are never called from inside `open`, `send`, `end` or `close`.
 * - A unary call is a stream with one message each way.
 */
import type { SluiceError } from './errors.ts';

/** One message, as a list of chunks: it is never joined before it must be. Owned by the receiver. */
export type Message = readonly Uint8Array[];

export interface TransportStream {
  /** Queues a message; after `end`, `close` or the other side's close it does nothing. */
  send(message: Message): void;
  /** Says that no more messages follow. On the server this completes the call with success. */
  end(): void;
  /** Ends the stream now in both directions. On the server the caller sees `error`; absent means success. */
  close(error?: SluiceError): void;
  /**
   * The layer above took the first message and left the call open: its sender is no stranger any more, and the
   * transport may let it have more under way. Said by the serving end, at most once.
   */
  greeted(): void;
  /** Bytes taken by `send` that the transport has not passed on: a safety net, not the flow control. */
  readonly bufferedBytes: number;
  /**
   * Calls `run` once, later, when `bufferedBytes` is below the mark; forgotten when the stream closes. A `run` that waits
   * already waits on, at the higher of its marks.
   */
  whenDrained(belowBytes: number, run: () => void): void;
}

export interface StreamHandlers {
  onMessage(message: Message): void;
  /** The other side sends no more. */
  onEnd(): void;
  /** Exactly once, last. `error` is absent when the call completed with success. */
  onClose(error: SluiceError | undefined): void;
}

/** ASCII keys and values that travel ahead of the first message. */
export type CallMetadata = Readonly<Record<string, string>>;

export interface OpenOptions {
  readonly metadata?: CallMetadata;
  /** The call fails with `TIMEOUT` when it is not over after this time; absent: no limit. */
  readonly timeoutMs?: number;
}

export interface IncomingCall {
  /** Full gRPC path, `/package.Service/Method`. */
  readonly method: string;
  readonly metadata: CallMetadata;
  /** `host:port` of the other end, for logs. */
  readonly remote: string;
  readonly timeoutMs: number | undefined;
}

export type Acceptor = (call: IncomingCall, stream: TransportStream) => StreamHandlers;

export interface ListenOptions {
  /** Largest message that callers may send here, refused before it is buffered; absent: the transport's own limit. */
  readonly messageBytesMax?: number;
}

export interface Listening {
  /** The bound address, `host:port`, with the real port when 0 was asked for. */
  readonly address: string;
  /** Takes no new calls and resolves when the open ones are over, or were cut after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

export type ProbeResult = 'open' | 'refused' | 'unanswered';

export interface Transport {
  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream;
  /** Rejects with `PORT_IN_USE` when the address is taken. */
  listen(address: string, accept: Acceptor, options?: ListenOptions): Promise<Listening>;
  /** Asks the other kernel whether something listens: tells a dead process (`refused`) from silence. */
  probe(address: string, timeoutMs: number): Promise<ProbeResult>;
  /** Drops idle connections and pending opens; open streams close with `CLOSED`. */
  close(): void;
}
