/**
 * Adapter: the `Transport` port over gRPC, in two lanes of one protocol: the hot streams are spoken directly on
 * `node:http2`, everything else by grpc-js. Every call is a bidirectional stream with identity codecs.
 */
import type {
  Acceptor,
  Clock,
  Listening,
  ListenOptions,
  OpenOptions,
  ProbeResult,
  StreamHandlers,
  Transport,
  TransportStream,
} from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { FastClientStreamOptions } from './fast-client-stream.ts';
import { FastClientStream } from './fast-client-stream.ts';
import { FastConnection } from './fast-connection.ts';
import { GrpcClientStream } from './grpc-client-stream.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { listenGrpc } from './grpc-listener.ts';
import { probeTcp } from './grpc-probe.ts';
import { allMethods, methods } from './methods.ts';
import { ReceiveBudget } from './receive-budget.ts';

export interface GrpcTransportOptions {
  readonly clock: Clock;
  /** Largest message that calls of this transport receive, and its listeners where `listen` says nothing else. */
  readonly messageBytesMax: number;
  /** Open connections of one listener; more are closed at once. Default 1,000. */
  readonly connectionsMax?: number;
  /** Bytes of messages that have begun to arrive at one listener; a call that goes over is reset. Default 256 MiB. */
  readonly partialBytesMax?: number;
  /** Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** A connection that has not said preface and settings after this time is closed. Default 2 s. */
  readonly handshakeTimeoutMs?: number;
  /** What all connections of the fast lane, of all listeners, may have under way beyond 64 KiB each. Default 256 MiB. */
  readonly receiveBytesMax?: number;
}

/** Calls of one class share a connection to an address, so that a long push never delays a heartbeat. */
type HotChannel = 'produce' | 'fetch' | 'replicate';

/** The methods of the fast lane; all others go by grpc-js. */
const hotChannels: ReadonlyMap<string, HotChannel> = new Map([
  [methods.broker.produce.path, 'produce'],
  [methods.broker.fetch.path, 'fetch'],
  [methods.replication.replicate.path, 'replicate'],
]);

export class GrpcTransport implements Transport {
  readonly #options: Required<GrpcTransportOptions>;
  readonly #receiveBudget: ReceiveBudget;
  readonly #connections = new Map<string, GrpcConnection>();
  readonly #fastConnections = new Map<string, FastConnection>();
  readonly #streams = new Set<TransportStream>();

  constructor(options: GrpcTransportOptions) {
    this.#options = {
      connectionsMax: 1_000,
      partialBytesMax: 256 * 1_048_576,
      connectTimeoutMs: 5_000,
      handshakeTimeoutMs: 2_000,
      receiveBytesMax: 256 * 1_048_576,
      ...options,
    };
    this.#receiveBudget = new ReceiveBudget(this.#options.receiveBytesMax);
  }

  open(address: string, method: string, handlers: StreamHandlers, options: OpenOptions = {}): TransportStream {
    const { clock, messageBytesMax } = this.#options;
    const call = { address, method, handlers, call: options, clock, messageBytesMax };
    const channel = hotChannels.get(method);
    if (channel !== undefined) return this.#openFast(call, channel);
    const connection = this.#connection(address);
    const stream = new GrpcClientStream({
      ...call,
      onOver: (over) => {
        this.#streams.delete(over);
        connection.over(over);
      },
    });
    this.#streams.add(stream);
    connection.carry(stream);
    return stream;
  }

  listen(address: string, accept: Acceptor, options: ListenOptions = {}): Promise<Listening> {
    const paths = allMethods().map((method) => method.path);
    const receiveBudget = this.#receiveBudget;
    return listenGrpc({ ...this.#options, ...options, address, accept, methods: paths, receiveBudget });
  }

  probe(address: string, timeoutMs: number): Promise<ProbeResult> {
    return probeTcp(address, timeoutMs, this.#options.clock);
  }

  close(): void {
    for (const stream of this.#streams) stream.close(new SluiceError('CLOSED'));
    for (const connection of this.#connections.values()) connection.close();
    for (const connection of this.#fastConnections.values()) connection.close();
  }

  #openFast(call: Omit<FastClientStreamOptions, 'onOver'>, channel: HotChannel): TransportStream {
    const connection = this.#fastConnection(call.address, channel);
    const stream = new FastClientStream({
      ...call,
      onOver: (over) => {
        this.#streams.delete(over);
        connection.over(over);
      },
    });
    this.#streams.add(stream);
    connection.carry(stream);
    return stream;
  }

  #connection(address: string): GrpcConnection {
    const { clock, messageBytesMax, connectTimeoutMs } = this.#options;
    return openOrNew(
      this.#connections,
      address,
      (onGone) => new GrpcConnection({ address, clock, messageBytesMax, connectTimeoutMs, onGone }),
    );
  }

  #fastConnection(address: string, channel: HotChannel): FastConnection {
    const { clock, connectTimeoutMs } = this.#options;
    return openOrNew(
      this.#fastConnections,
      `${channel} ${address}`,
      (onGone) => new FastConnection({ address, clock, connectTimeoutMs, onGone }),
    );
  }
}

/** The connection that is there, or a new one, which is forgotten when it is gone. */
function openOrNew<Connection extends { readonly gone: boolean }>(
  connections: Map<string, Connection>,
  key: string,
  make: (onGone: (gone: Connection) => void) => Connection,
): Connection {
  const known = connections.get(key);
  if (known !== undefined && !known.gone) return known;
  const made = make((gone) => {
    if (connections.get(key) === gone) connections.delete(key);
  });
  connections.set(key, made);
  return made;
}
