/**
 * Adapter: finds out for each accepted socket which lane its caller asks for, by its first bytes, and hands it on with
 * those bytes put back.
 *
 * L1 A socket is handed on once, or destroyed: when its first bytes are no hello, when the hello is not whole in time,
 *    when its other end closes before, and when it is the oldest of too many that have not said theirs.
 * L2 Nothing is read of a socket after the read that made its hello whole.
 */
import type { Socket } from 'node:net';
import type { Clock, Timer } from '@sluice/base';
import { readHello } from './fast-lane-hello.ts';

export type Lane = 'fast' | 'slow';

export interface LaneClassifierOptions {
  readonly clock: Clock;
  /** A socket whose hello is not whole after this time is closed. */
  readonly helloTimeoutMs: number;
  /** Sockets whose hello is not whole; one more closes the oldest: honest ones stay for a round trip. */
  readonly waitingMax: number;
  readonly onLane: (socket: Socket, lane: Lane) => void;
}

interface Waiting {
  readonly timer: Timer;
  bytes: Buffer;
}

export class LaneClassifier {
  readonly #options: LaneClassifierOptions;
  readonly #waiting = new Map<Socket, Waiting>();

  constructor(options: LaneClassifierOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  admit(socket: Socket): void {
    const { clock, helloTimeoutMs, waitingMax } = this.#options;
    const [oldest] = this.#waiting.size >= waitingMax ? this.#waiting.keys() : [];
    if (oldest !== undefined) this.#drop(oldest);
    const timer = clock.setTimer(helloTimeoutMs, () => this.#drop(socket));
    this.#waiting.set(socket, { timer, bytes: Buffer.alloc(0) });
    const drop = (): void => this.#drop(socket);
    const onData = (chunk: Buffer): void => {
      const waiting = this.#waiting.get(socket);
      if (waiting === undefined) return;
      waiting.bytes = waiting.bytes.byteLength === 0 ? chunk : Buffer.concat([waiting.bytes, chunk]);
      const hello = readHello(waiting.bytes);
      if (hello === 'incomplete') return;
      if (hello === 'malformed') return drop();
      this.#forget(socket);
      socket.off('data', onData);
      socket.off('close', drop);
      socket.pause();
      socket.unshift(waiting.bytes);
      this.#options.onLane(socket, hello);
    };
    socket.on('data', onData);
    // A socket whose other end closes its half ends by itself.
    socket.on('close', drop);
  }

  /** Closes all sockets that are not handed on. */
  close(): void {
    for (const socket of this.#waiting.keys()) this.#drop(socket);
  }

  #drop(socket: Socket): void {
    this.#forget(socket);
    socket.destroy();
  }

  #forget(socket: Socket): void {
    this.#waiting.get(socket)?.timer.cancel();
    this.#waiting.delete(socket);
  }
}
