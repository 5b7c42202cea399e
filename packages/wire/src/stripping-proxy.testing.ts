/** A proxy that knows nothing of our setting and drops it, as a transport whose listeners stand behind one. */
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { Acceptor, Listening, ListenOptions, ProbeResult, StreamHandlers, Transport } from '@sluice/base';
import { parseAddress, SluiceError } from '@sluice/base';
import type { OpenOptions, TransportStream } from '@sluice/base';
import { laneSettingId } from './fast-lane-hello.ts';
import { preface, settingsFrame } from './raw-http2.testing.ts';

export class ProxiedTransport implements Transport {
  readonly #inner: Transport;
  /** Connections that announced the lane, before the proxy took it away. */
  stripped = 0;

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  open(address: string, method: string, handlers: StreamHandlers, options?: OpenOptions): TransportStream {
    return this.#inner.open(address, method, handlers, options);
  }

  async listen(address: string, accept: Acceptor, options?: ListenOptions): Promise<Listening> {
    const listening = await this.#inner.listen('127.0.0.1:0', accept, options);
    const sockets = new Set<Socket>();
    const proxy = createServer((near) => this.#join(near, listening.address, sockets));
    const port = await new Promise<number>((resolve, reject) => {
      proxy.on('error', () => reject(new SluiceError('PORT_IN_USE')));
      proxy.listen(parseAddress(address)?.port, '127.0.0.1', () => {
        const bound = proxy.address();
        resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
      });
    }).catch(async (error: unknown) => {
      await listening.close(0);
      throw error;
    });
    const close = async (graceMs: number): Promise<void> => {
      await listening.close(graceMs);
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    };
    return { address: `127.0.0.1:${port}`, close };
  }

  probe(address: string, timeoutMs: number): Promise<ProbeResult> {
    return this.#inner.probe(address, timeoutMs);
  }

  close(): void {
    this.#inner.close();
  }

  #join(near: Socket, target: string, sockets: Set<Socket>): void {
    const { host, port } = parseAddress(target) ?? { host: '', port: 0 };
    const far = connect({ host, port });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    far.pipe(near);
    let first = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      first = Buffer.concat([first, chunk]);
      const length = first.byteLength < 33 ? Infinity : 33 + first.readUIntBE(preface.byteLength, 3);
      if (first.byteLength < length) return;
      near.off('data', onData);
      far.write(this.#strip(first, length));
      near.pipe(far);
    };
    near.on('data', onData);
  }

  #strip(first: Buffer, length: number): Buffer {
    const kept: [number, number][] = [];
    for (let at = 33; at < length; at += 6) {
      const setting: [number, number] = [first.readUInt16BE(at), first.readUInt32BE(at + 2)];
      if (setting[0] === laneSettingId) this.stripped += 1;
      else kept.push(setting);
    }
    return Buffer.concat([preface, settingsFrame(kept), first.subarray(length)]);
  }
}
