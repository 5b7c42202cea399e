/** The sending ends that `wire.ts` compares. */
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { methods, GrpcTransport, SystemClock } from '../../packages/wire/src/mod.ts';
import { AckReader, http2Settings, messageBytesHeader, transportMessageBytesMax } from './wire-format.ts';
import type { SinkAddresses } from './wire-sink.ts';

export const wireLanes = ['fast lane', 'slow lane', 'raw HTTP/2', 'raw TCP'] as const;
export type WireLane = (typeof wireLanes)[number];

export interface LaneOptions {
  readonly addresses: SinkAddresses;
  readonly messageBytes: number;
  readonly onAcked: (messages: number) => void;
  readonly onFailed: (error: Error) => void;
}

export interface OpenLane {
  /** Sends `message` so many times. */
  send(message: Uint8Array, times: number): void;
  close(): void;
}

export function openLane(lane: WireLane, options: LaneOptions): OpenLane {
  switch (lane) {
    case 'fast lane':
      return openGrpc(methods.broker.produce.path, options);
    case 'slow lane':
      // Any stream that the transport has no short cut for.
      return openGrpc(methods.admin.watchMetadata.path, options);
    case 'raw HTTP/2':
      return openHttp2(options);
    case 'raw TCP':
      return openTcp(options);
  }
}

function openGrpc(method: string, { addresses, onAcked, onFailed }: LaneOptions): OpenLane {
  const transport = new GrpcTransport({ clock: new SystemClock(), messageBytesMax: transportMessageBytesMax });
  const stream = transport.open(addresses.grpc, method, {
    onMessage: (message) => onAcked(new AckReader().read(Buffer.concat(message))),
    onEnd: () => undefined,
    onClose: (error) => onFailed(error ?? new Error('the stream ended')),
  });
  return {
    send(message, times) {
      for (let sent = 0; sent < times; sent += 1) stream.send([message]);
    },
    close: () => transport.close(),
  };
}

function openHttp2(options: LaneOptions): OpenLane {
  const session = connectHttp2(`http://127.0.0.1:${options.addresses.http2}`, { settings: http2Settings });
  session.on('error', options.onFailed);
  session.on('connect', () => session.setLocalWindowSize(http2Settings.initialWindowSize));
  const headers = { ':method': 'POST', ':path': '/', [messageBytesHeader]: String(options.messageBytes) };
  return overStream(session.request(headers), options, () => session.destroy());
}

function openTcp(options: LaneOptions): OpenLane {
  const socket = connect({ host: '127.0.0.1', port: options.addresses.tcp, noDelay: true });
  const head = Buffer.alloc(4);
  head.writeUInt32BE(options.messageBytes);
  socket.write(head);
  return overStream(socket, options, () => socket.destroy());
}

function overStream(stream: Duplex, { onAcked, onFailed }: LaneOptions, close: () => void): OpenLane {
  const acks = new AckReader();
  stream.on('data', (chunk: Buffer) => onAcked(acks.read(chunk)));
  stream.on('error', onFailed);
  return {
    send(message, times) {
      // One write of many parts to the system.
      stream.cork();
      for (let sent = 0; sent < times; sent += 1) stream.write(message);
      stream.uncork();
    },
    close,
  };
}
