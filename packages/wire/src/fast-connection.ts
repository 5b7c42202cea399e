/**
 * Adapter: one attempt to connect on the fast lane and, if it succeeds, the connection. When either is over the
 * transport forgets it and the next call begins anew. A server, or a proxy, that does not know the lane ignores the
 * announcement: what is spoken is gRPC either way.
 */
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:http2';
import type { Clock, Timer } from '@sluice/base';
import { parseAddress, SluiceError } from '@sluice/base';
import type { FastClientStream } from './fast-client-stream.ts';
import { keepAlive } from './fast-keepalive.ts';
import { laneSettingId, laneVersion } from './fast-lane-hello.ts';
import { fastClientOptions } from './fast-options.ts';
import { clientIdleMs, clientWindowBytes } from './grpc-options.ts';

export interface FastConnectionOptions {
  readonly address: string;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  /** No call starts on this connection any more. */
  readonly onGone: (connection: FastConnection) => void;
}

export class FastConnection {
  readonly #options: FastConnectionOptions;
  readonly #session: ClientHttp2Session | undefined;
  readonly #waiting = new Set<FastClientStream>();
  readonly #streams = new Set<FastClientStream>();
  /** Of the attempt, then of idleness. */
  #timer: Timer | undefined;
  #state: 'connecting' | 'ready' | 'gone' = 'connecting';

  constructor(options: FastConnectionOptions) {
    this.#options = options;
    const { address, clock, connectTimeoutMs } = options;
    if (parseAddress(address) === undefined) {
      clock.defer(() => this.#gone('it is not host:port'));
      return;
    }
    this.#timer = clock.setTimer(connectTimeoutMs, () => this.#gone(`no answer within ${connectTimeoutMs} ms`));
    const session = connect(`http://${address}`, fastClientOptions);
    this.#session = session;
    // Until the other side has spoken HTTP/2 there is nobody to send a call to.
    session.once('remoteSettings', () => this.#ready(session));
    session.once('goaway', () => this.#gone('the server takes no more calls'));
    session.once('error', () => this.#gone('the attempt to connect failed'));
    session.once('close', () => this.#gone('closed'));
    session.on('error', () => undefined);
  }

  get gone(): boolean {
    return this.#state === 'gone';
  }

  /** True when the server has announced the lane too; undefined while nobody knows. */
  get isFast(): boolean | undefined {
    if (this.#state !== 'ready') return undefined;
    return this.#session?.remoteSettings.customSettings?.[laneSettingId] === laneVersion;
  }

  /** Starts the call as soon as there is a connection, or tells it that there is none. */
  carry(stream: FastClientStream): void {
    if (this.#streams.size === 0 && this.#state === 'ready') this.#timer?.cancel();
    this.#streams.add(stream);
    if (this.#state === 'ready') this.#start(stream);
    else this.#waiting.add(stream);
  }

  over(stream: FastClientStream): void {
    this.#streams.delete(stream);
    this.#waiting.delete(stream);
    if (this.#streams.size > 0) return;
    if (this.#state === 'gone') this.#session?.destroy();
    else if (this.#state === 'ready') this.#startIdle();
  }

  /** Starts no more calls; the connection ends with the last open one. */
  close(): void {
    this.#gone('the transport is closed');
  }

  #ready(session: ClientHttp2Session): void {
    if (this.#state !== 'connecting') return;
    this.#timer?.cancel();
    this.#state = 'ready';
    session.setLocalWindowSize(clientWindowBytes);
    keepAlive(session, this.#options.clock);
    for (const stream of this.#waiting) this.#start(stream);
    this.#waiting.clear();
    if (this.#streams.size === 0) this.#startIdle();
  }

  #start(stream: FastClientStream): void {
    const session = this.#session;
    if (session === undefined || session.destroyed || session.closed) return stream.unreachable(this.#error('closed'));
    stream.start(session);
  }

  #startIdle(): void {
    const { clock } = this.#options;
    this.#timer = clock.setTimer(clientIdleMs, () => this.#gone('idle'));
  }

  #gone(why: string): void {
    if (this.#state === 'gone') return;
    const wasReady = this.#state === 'ready';
    this.#state = 'gone';
    this.#timer?.cancel();
    this.#options.onGone(this);
    for (const stream of this.#waiting) stream.unreachable(this.#error(why));
    this.#waiting.clear();
    // Open calls keep what there is of the connection. Nobody waits for the other end to close its half.
    if (!wasReady || this.#streams.size === 0) this.#session?.destroy();
  }

  #error(why: string): SluiceError {
    const { address } = this.#options;
    const message = `No connection to ${address}: ${why}. Check the address and that the node runs; nothing was sent.`;
    return new SluiceError('UNREACHABLE', { message, details: { address } });
  }
}
