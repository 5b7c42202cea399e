/**
 * Adapter: one attempt to connect and, if it succeeds, the one connection of its channel. When either is over the
 * transport forgets it and the next call begins anew, so a node that is back is found by the first call after: no
 * back-off of grpc-js is ever waited for, pacing retries is the caller's.
 */
import { Client, connectivityState, credentials } from '@grpc/grpc-js';
import type { Clock, Timer } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { GrpcClientStream } from './grpc-client-stream.ts';
import { channelOptions } from './grpc-options.ts';

export interface GrpcConnectionOptions {
  readonly address: string;
  readonly clock: Clock;
  readonly messageBytesMax: number;
  readonly connectTimeoutMs: number;
  /** No call starts on this connection any more. */
  readonly onGone: (connection: GrpcConnection) => void;
}

export class GrpcConnection {
  readonly #options: GrpcConnectionOptions;
  readonly #client: Client;
  readonly #waiting = new Set<GrpcClientStream>();
  readonly #streams = new Set<GrpcClientStream>();
  readonly #timer: Timer;
  #state: 'connecting' | 'ready' | 'gone' = 'connecting';

  constructor(options: GrpcConnectionOptions) {
    this.#options = options;
    const { address, clock, connectTimeoutMs, messageBytesMax } = options;
    this.#client = new Client(`dns:${address}`, credentials.createInsecure(), channelOptions(messageBytesMax));
    this.#timer = clock.setTimer(connectTimeoutMs, () => this.#gone(`no answer within ${connectTimeoutMs} ms`));
    this.#client.getChannel().getConnectivityState(true);
    this.#watch();
  }

  get gone(): boolean {
    return this.#state === 'gone';
  }

  /** Starts the call as soon as there is a connection, or tells it that there is none. */
  carry(stream: GrpcClientStream): void {
    this.#streams.add(stream);
    if (this.#state === 'ready') stream.start(this.#client);
    else this.#waiting.add(stream);
  }

  over(stream: GrpcClientStream): void {
    this.#streams.delete(stream);
    this.#waiting.delete(stream);
    this.#closeWhenUnused();
  }

  /** Starts no more calls; the connection ends with the last open one. */
  close(): void {
    this.#gone('the transport is closed');
  }

  #watch(): void {
    if (this.#state === 'gone') return;
    const channel = this.#client.getChannel();
    const state = channel.getConnectivityState(false);
    if (state === connectivityState.READY) this.#ready();
    else if (state === connectivityState.TRANSIENT_FAILURE) return this.#gone('the attempt to connect failed');
    // A channel rests before its attempt, and when its connection is over.
    else if (this.#state === 'ready' || state === connectivityState.SHUTDOWN) return this.#gone('closed');
    channel.watchConnectivityState(state, Infinity, () => this.#watch());
  }

  #ready(): void {
    this.#timer.cancel();
    this.#state = 'ready';
    for (const stream of this.#waiting) stream.start(this.#client);
    this.#waiting.clear();
  }

  #gone(why: string): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    this.#timer.cancel();
    const { address, onGone } = this.#options;
    onGone(this);
    const message = `No connection to ${address}: ${why}. Check the address and that the node runs; nothing was sent.`;
    for (const stream of this.#waiting) {
      stream.unreachable(new SluiceError('UNREACHABLE', { message, details: { address } }));
    }
    this.#waiting.clear();
    this.#closeWhenUnused();
  }

  #closeWhenUnused(): void {
    if (this.#state === 'gone' && this.#streams.size === 0) this.#client.close();
  }
}
