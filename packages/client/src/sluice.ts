/** The client of one cluster: owns the metadata watch and the transport, and everything made from it. */
import type { Transport } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { installCrc32c } from '@sluice/record';
import { defaultLimits, GrpcTransport, nativeCrc32c, RpcClient, SystemClock, systemRandom } from '@sluice/wire';
import { Admin, type AdminContext } from './admin.ts';
import type { CloseOptions, ConsumerOptions } from './consumer-options.ts';
import { Consumer } from './consumer.ts';
import { Metadata } from './metadata.ts';
import { nodeCompression } from './compression.ts';
import { NodeCalls } from './node-calls.ts';
import type { ClientPorts } from './ports.ts';
import type { ProducerOptions } from './producer-options.ts';
import { producerSettings } from './producer-options.ts';
import { Producer } from './producer.ts';
import type { OnStatus } from './status.ts';

export interface SluiceOptions {
  /** `host:port` of some nodes; the others are learnt from them. */
  readonly bootstrap: readonly string[];
  /** For the server's logs and quotas, at most 256 bytes. Default `sluice-client`. */
  readonly clientId?: string;
  /** Administration, and the first contact with the cluster, may take this long. Default 30 s. */
  readonly requestTimeoutMs?: number;
  /** Default: gRPC, the system's clock and randomness, and `node:zlib`. */
  readonly ports?: Partial<ClientPorts>;
  readonly onStatus?: OnStatus;
}

/** Connects when it is first used. */
export class Sluice implements AsyncDisposable {
  readonly admin: Admin;
  readonly #context: AdminContext & { readonly onStatus: OnStatus };
  readonly #open = new Set<Producer | Consumer>();
  /** A transport of our own; one that was injected is its owner's to close. */
  readonly #ownTransport: Transport | undefined;
  #closing: Promise<void> | undefined;

  /** Throws `INVALID_CONFIG`. */
  constructor(options: SluiceOptions) {
    const { bootstrap, clientId = 'sluice-client', requestTimeoutMs = 30_000, onStatus = () => undefined } = options;
    if (bootstrap.length === 0) {
      throw new SluiceError('INVALID_CONFIG', { message: 'bootstrap needs the address of at least one node.' });
    }
    installChecksum();
    const clock = options.ports?.clock ?? new SystemClock();
    const { messageBytesMax } = defaultLimits.client;
    const transport = options.ports?.transport ?? new GrpcTransport({ clock, messageBytesMax });
    if (options.ports?.transport === undefined) this.#ownTransport = transport;
    const ports: ClientPorts = {
      clock,
      transport,
      random: options.ports?.random ?? systemRandom(),
      compression: options.ports?.compression ?? nodeCompression,
    };
    const rpc = new RpcClient(ports.transport);
    const contactTimeoutMs = requestTimeoutMs;
    const metadata = new Metadata({ bootstrap, clientId, ports, rpc, contactTimeoutMs, onStatus });
    const calls = new NodeCalls(metadata, rpc, ports);
    this.#context = { ports, rpc, metadata, calls, clientId, requestTimeoutMs, onStatus };
    this.admin = new Admin(this.#context);
  }

  /** Throws `INVALID_CONFIG`, `CLOSED`. */
  producer(options: ProducerOptions = {}): Producer {
    this.#checkOpen();
    const onClosed = (closed: Producer): unknown => this.#open.delete(closed);
    const settings = producerSettings(options, this.#context.ports.compression);
    const producer = new Producer({ ...this.#context, onClosed }, settings);
    this.#open.add(producer);
    return producer;
  }

  /** Throws `INVALID_CONFIG`, `CLOSED`. */
  consumer(options: ConsumerOptions): Consumer {
    this.#checkOpen();
    const onClosed = (closed: Consumer): unknown => this.#open.delete(closed);
    const consumer = new Consumer({ ...this.#context, onClosed }, options);
    this.#open.add(consumer);
    return consumer;
  }

  /**
   * Closes every producer and consumer, then the connections. Rejects with what a producer's `close` rejected with,
   * when everything is closed.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(options: CloseOptions): Promise<void> {
    const closed = await Promise.allSettled([...this.#open].map((each) => each.close(options)));
    this.#context.metadata.close();
    this.#ownTransport?.close();
    for (const result of closed) if (result.status === 'rejected') throw result.reason;
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new SluiceError('CLOSED');
  }
}

/** For the whole process; where there is no native one, the checksums are right all the same, only slower. */
function installChecksum(): void {
  const native = nativeCrc32c();
  if (typeof native !== 'string') installCrc32c(native);
}
