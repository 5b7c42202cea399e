/**
 * Adapter: one connection of the fast lane at the server.
 *
 * G1 Its windows are those that HTTP/2 starts with until the layer above took the first message of a call on it and
 *    left the call open; then they grow once, if the receive budget has room for them, and what was taken from the
 *    budget is given back when the connection is over.
 */
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Clock, Timer } from '@sluice/base';
import { keepAlive } from './fast-keepalive.ts';
import { grownConnectionWindowBytes, grownStreamWindowBytes } from './fast-options.ts';
import { serverIdleMs } from './grpc-options.ts';
import type { ReceiveBudget } from './receive-budget.ts';

export class FastServerConnection {
  /** `host:port` of the other end. */
  readonly remote: string;
  readonly #session: ServerHttp2Session;
  readonly #budget: ReceiveBudget;
  readonly #clock: Clock;
  #calls = 0;
  #idle: Timer;
  #isGrown = false;

  constructor(session: ServerHttp2Session, budget: ReceiveBudget, clock: Clock) {
    const { remoteAddress, remotePort } = session.socket;
    this.remote = `${remoteAddress}:${remotePort}`;
    this.#session = session;
    this.#budget = budget;
    this.#clock = clock;
    this.#idle = this.#startIdle();
    keepAlive(session, clock);
    session.once('close', () => this.#onClose());
  }

  /** Counts a call until it is over. */
  carry(stream: ServerHttp2Stream): void {
    this.#calls += 1;
    this.#idle.cancel();
    stream.once('close', () => {
      this.#calls -= 1;
      if (this.#calls === 0 && !this.#session.destroyed) this.#idle = this.#startIdle();
    });
  }

  greeted(): void {
    const session = this.#session;
    if (this.#isGrown || session.destroyed || session.closed) return;
    if (!this.#budget.take(grownConnectionWindowBytes)) return;
    this.#isGrown = true;
    session.settings({ initialWindowSize: grownStreamWindowBytes });
    session.setLocalWindowSize(grownConnectionWindowBytes);
  }

  #startIdle(): Timer {
    return this.#clock.setTimer(serverIdleMs, () => this.#session.close());
  }

  #onClose(): void {
    this.#idle.cancel();
    if (this.#isGrown) this.#budget.release(grownConnectionWindowBytes);
    this.#isGrown = false;
  }
}
