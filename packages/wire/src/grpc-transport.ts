/** Adapter: the `Transport` port over grpc-js. Every call is a bidirectional stream with identity codecs. */
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
import { GrpcClientStream } from './grpc-client-stream.ts';
import { GrpcConnection } from './grpc-connection.ts';
import { listenGrpc } from './grpc-listener.ts';
import { probeTcp } from './grpc-probe.ts';
import { allMethods, methods } from './methods.ts';

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
  /** A connection that has not begun to speak HTTP/2 after this time is closed. Default 5 s. */
  readonly handshakeTimeoutMs?: number;
}

/** Calls of one class share a connection to an address, so that a long push never delays a heartbeat. */
type ChannelClass = 'control' | 'produce' | 'fetch' | 'replicate';

const channelClasses: ReadonlyMap<string, ChannelClass> = new Map([
  [methods.broker.produce.path, 'produce'],
  [methods.broker.fetch.path, 'fetch'],
  [methods.replication.replicate.path, 'replicate'],
]);

export class GrpcTransport implements Transport {
  readonly #options: Required<GrpcTransportOptions>;
  readonly #connections = new Map<string, GrpcConnection>();
  readonly #streams = new Set<GrpcClientStream>();

  constructor(options: GrpcTransportOptions) {
    this.#options = {
      connectionsMax: 1_000,
      partialBytesMax: 256 * 1_048_576,
      connectTimeoutMs: 5_000,
      handshakeTimeoutMs: 5_000,
      ...options,
    };
  }

  open(address: string, method: string, handlers: StreamHandlers, options: OpenOptions = {}): TransportStream {
    const connection = this.#connection(address, method);
    const { clock } = this.#options;
    const stream = new GrpcClientStream({
      address,
      method,
      handlers,
      call: options,
      clock,
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
    return listenGrpc({ ...this.#options, ...options, address, accept, methods: paths });
  }

  probe(address: string, timeoutMs: number): Promise<ProbeResult> {
    return probeTcp(address, timeoutMs, this.#options.clock);
  }

  close(): void {
    for (const stream of this.#streams) stream.close(new SluiceError('CLOSED'));
    for (const connection of this.#connections.values()) connection.close();
  }

  #connection(address: string, method: string): GrpcConnection {
    const key = `${channelClasses.get(method) ?? 'control'} ${address}`;
    const known = this.#connections.get(key);
    if (known !== undefined && !known.gone) return known;
    const { clock, messageBytesMax, connectTimeoutMs } = this.#options;
    const connection = new GrpcConnection({
      address,
      clock,
      messageBytesMax,
      connectTimeoutMs,
      onGone: (gone) => {
        if (this.#connections.get(key) === gone) this.#connections.delete(key);
      },
    });
    this.#connections.set(key, connection);
    return connection;
  }
}
