/**
 * The receiving process of `wire.ts`: takes messages on every lane and answers, once a turn, how many have come.
 * Ends with the process that started it.
 */
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { GrpcTransport, SystemClock } from '../../packages/wire/src/mod.ts';
import { Acks, http2Settings, messageBytesHeader, transportMessageBytesMax } from './wire-format.ts';

export interface SinkAddresses {
  readonly grpc: string;
  readonly http2: number;
  readonly tcp: number;
}

process.on('disconnect', () => process.exit());
process.send?.({
  grpc: await listenGrpc(),
  http2: await listenHttp2(),
  tcp: await listenTcp(),
} satisfies SinkAddresses);

async function listenGrpc(): Promise<string> {
  const transport = new GrpcTransport({ clock: new SystemClock(), messageBytesMax: transportMessageBytesMax });
  const { address } = await transport.listen('127.0.0.1:0', (_call, stream) => {
    const acks = new Acks((ack) => stream.send([ack]));
    return { onMessage: () => acks.count(1), onEnd: () => stream.end(), onClose: () => undefined };
  });
  return address;
}

function listenHttp2(): Promise<number> {
  const server = createHttp2Server({ settings: http2Settings });
  server.on('session', (session) => session.setLocalWindowSize(http2Settings.initialWindowSize));
  server.on('stream', (stream, headers) => {
    stream.respond();
    countBytes(stream, Number(headers[messageBytesHeader]));
  });
  return listening(server as unknown as Server);
}

/** The first four bytes of a connection say how long its messages are. */
function listenTcp(): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.once('readable', () => {
      const head = socket.read(4) as Buffer;
      countBytes(socket, head.readUInt32BE());
    });
  });
  return listening(server);
}

function countBytes(stream: Duplex, messageBytes: number): void {
  const acks = new Acks((ack) => stream.write(ack));
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes < messageBytes) return;
    acks.count(Math.floor(bytes / messageBytes));
    bytes %= messageBytes;
  });
  stream.on('error', () => undefined); // The measurement is over.
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}
