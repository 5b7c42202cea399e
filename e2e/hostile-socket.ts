/** A TCP connection that says what it likes, and its end as seen from this side. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { parseAddress } from '@sluice/base';
import { until } from './until.ts';

/** What waits here for the other side while `flood` goes on. */
const floodAheadBytes = 262_144;

export class HostileSocket implements Disposable {
  readonly #socket: Socket;
  #received = '';
  #isConnected = false;
  #isClosed = false;

  constructor(address: string) {
    const { host = '', port = 0 } = parseAddress(address) ?? {};
    // Half open: this side never closes because the other did.
    this.#socket = connect({ host, port, allowHalfOpen: true });
    this.#socket.on('connect', () => (this.#isConnected = true));
    this.#socket.on('data', (chunk) => (this.#received += chunk.toString('latin1')));
    this.#socket.on('end', () => (this.#isClosed = true));
    this.#socket.on('close', () => (this.#isClosed = true));
    // A reset is an answer.
    this.#socket.on('error', () => (this.#isClosed = true));
  }

  get received(): string {
    return this.#received;
  }

  get isOpen(): boolean {
    return this.#isConnected && !this.#isClosed;
  }

  async connected(): Promise<this> {
    await until(() => this.#isConnected || undefined, { what: 'a connection', timeoutMs: 5000 });
    return this;
  }

  send(bytes: Uint8Array | string): this {
    this.#socket.write(bytes);
    return this;
  }

  /** The same again and again for so long, as fast as the other side takes it; resolves with how many bytes that was. */
  async flood(bytes: Uint8Array, { forMs }: { readonly forMs: number }): Promise<number> {
    const endMs = performance.now() + forMs;
    while (this.isOpen && performance.now() < endMs) {
      if (this.#socket.writableLength < floodAheadBytes) this.#socket.write(bytes);
      await setImmediate();
    }
    return this.#socket.bytesWritten;
  }

  /** Says no more, and goes on listening. */
  endHalf(): this {
    this.#socket.end();
    return this;
  }

  /** The other side ended the connection or reset it. */
  async closed(timeoutMs: number): Promise<void> {
    await until(() => this.#isClosed || undefined, { what: 'the end of the connection', timeoutMs });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
