/** HTTP/2 and sockets with nothing of ours on top, for what no honest client would send. */
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { parseAddress } from '@sluice/base';
import { decodeErrorTrailer, errorTrailer } from './error-detail.ts';
import { laneSettingId, laneVersion } from './fast-lane-hello.ts';
import type { Lane } from './lane-classifier.ts';

export const lanes: readonly Lane[] = ['fast', 'slow'];

export const preface: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const frame = Buffer.alloc(9 + settings.length * 6);
  frame.writeUIntBE(settings.length * 6, 0, 3);
  frame[3] = 4;
  for (const [at, [id, value]] of settings.entries()) {
    frame.writeUInt16BE(id, 9 + at * 6);
    frame.writeUInt32BE(value, 11 + at * 6);
  }
  return frame;
}

/** The first bytes of a caller of this lane. */
export const hello = (lane: Lane): Buffer =>
  Buffer.concat([preface, settingsFrame(lane === 'fast' ? [[laneSettingId, laneVersion]] : [])]);

export function frame(flag: number, body: Uint8Array, length = body.byteLength): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, body]);
}

export interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly grpcStatus: number;
  /** Of our error trailer, if there was one. */
  readonly code: string | undefined;
  readonly messages: Buffer;
}

/** Makes raw clients of one listener, and ends those that are left. */
export class RawClients {
  readonly #address: string;
  readonly #opened: { destroy(): void }[] = [];

  constructor(address: string) {
    this.#address = address;
  }

  async socket(): Promise<{ socket: Socket; closed: Promise<void> }> {
    const { host, port } = parseAddress(this.#address) ?? { host: '', port: 0 };
    const socket = connect({ host, port });
    this.#opened.push(socket);
    socket.on('error', () => undefined);
    socket.resume();
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    return { socket, closed };
  }

  /** Resolves when the server has said its settings, which tell which lane this is. */
  async session(lane: Lane): Promise<ClientHttp2Session> {
    const client = connectHttp2(`http://${this.#address}`, {
      remoteCustomSettings: [laneSettingId],
      settings: lane === 'fast' ? { customSettings: { [laneSettingId]: laneVersion } } : {},
    });
    this.#opened.push(client);
    client.on('error', () => undefined);
    await new Promise<void>((resolve) => client.once('remoteSettings', () => resolve()));
    const isFast = client.remoteSettings.customSettings?.[laneSettingId] === laneVersion;
    if (isFast !== (lane === 'fast')) throw new Error(`asked for the ${lane} lane and got the other`);
    return client;
  }

  destroy(): void {
    for (const one of this.#opened.splice(0)) one.destroy();
  }
}

/** One call with any headers and body; resolves with the status however it comes. */
export function post(client: ClientHttp2Session, headers: Record<string, string>, body: Uint8Array): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = client.request({
      ':method': 'POST',
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let seen: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.on('response', (response) => {
      seen = { ...seen, ...response };
    });
    stream.on('trailers', (trailers) => {
      seen = { ...seen, ...(trailers as IncomingHttpHeaders) };
    });
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('close', () => {
      const trailer = seen[errorTrailer];
      const error = typeof trailer === 'string' ? decodeErrorTrailer(Buffer.from(trailer, 'base64')) : undefined;
      const messages = Buffer.concat(chunks);
      resolve({ headers: seen, grpcStatus: Number(seen['grpc-status']), code: error?.code, messages });
    });
    stream.end(body);
  });
}
