/** What comes over a real socket from someone who means harm or is confused. After each attack others are served. */
import { randomBytes } from 'node:crypto';
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { Listening, Logger } from '@sluice/base';
import { parseAddress, silentLogger } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dispatcher } from './dispatcher.ts';
import { defaultLimits } from './dispatcher-limits.ts';
import { decodeErrorTrailer, grpcStatus } from './error-detail.ts';
import { serverConnectionWindowBytes, serverStreamWindowBytes } from './grpc-server-tuning.ts';
import { GrpcTransport } from './grpc-transport.ts';
import { methods } from './methods.ts';
import { RpcClient } from './rpc-client.ts';
import { SystemClock } from './system-clock.ts';

const clock = new SystemClock();
const messageBytesMax = 1_048_576;
const { initProducer, produce } = methods.broker;

let transport: GrpcTransport;
let listening: Listening;
let dispatcher: Dispatcher;
let received: number;
const errors: string[] = [];
const logger: Logger = { ...silentLogger, error: (phrase) => errors.push(phrase) };
const opened: { destroy(): void }[] = [];

beforeEach(async () => {
  received = 0;
  transport = new GrpcTransport({
    clock,
    messageBytesMax: 2 ** 26,
    connectionsMax: 250,
    handshakeTimeoutMs: 500,
    partialBytesMax: 4 * messageBytesMax,
  });
  const limits = { ...defaultLimits.client, messageBytesMax };
  dispatcher = new Dispatcher({ face: 'client', listener: 'test', limits, logger, clock, authorize: () => true });
  dispatcher.unary(initProducer, async () => ({ producerId: 1 }));
  dispatcher.stream(produce, () => ({
    onMessage: () => {
      received += 1;
    },
    onClose: () => undefined,
  }));
  listening = await transport.listen('127.0.0.1:0', dispatcher.accept, { messageBytesMax });
});

afterEach(async () => {
  // Whatever happened, a well-behaved client is served, and nothing was counted or logged that is not over.
  const client = new RpcClient(transport);
  const answer = await client.unary(initProducer, listening.address, {}, { timeoutMs: 5_000 });
  expect(answer.producerId).toBe(1);
  for (const one of opened.splice(0)) one.destroy();
  await until(() => dispatcher.openCalls === 0);
  expect(errors.splice(0)).toEqual([]);
  transport.close();
  await listening.close(1_000);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

async function rawSocket(): Promise<{ socket: Socket; closed: Promise<void> }> {
  const { host, port } = parseAddress(listening.address) ?? { host: '', port: 0 };
  const socket = connect({ host, port });
  opened.push(socket);
  socket.on('error', () => undefined);
  socket.resume();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  return { socket, closed };
}

async function session(): Promise<ClientHttp2Session> {
  const client = connectHttp2(`http://${listening.address}`);
  opened.push(client);
  client.on('error', () => undefined);
  await new Promise<void>((resolve) => client.once('remoteSettings', () => resolve()));
  return client;
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly grpcStatus: number;
  readonly code: string | undefined;
}

/** One call with any headers and body; resolves with the status however it comes. */
function post(client: ClientHttp2Session, headers: Record<string, string>, body: Uint8Array): Promise<Answer> {
  return new Promise((resolve) => {
    const all = { ':method': 'POST', ':path': initProducer.path, 'content-type': 'application/grpc', te: 'trailers' };
    const stream = client.request({ ...all, ...headers });
    let seen: IncomingHttpHeaders = {};
    stream.on('response', (response) => {
      seen = { ...seen, ...response };
    });
    stream.on('trailers', (trailers) => {
      seen = { ...seen, ...(trailers as IncomingHttpHeaders) };
    });
    stream.on('error', () => undefined);
    stream.resume();
    stream.on('close', () => {
      const trailer = seen['sluice-error-bin'];
      const error = typeof trailer === 'string' ? decodeErrorTrailer(Buffer.from(trailer, 'base64')) : undefined;
      resolve({ headers: seen, grpcStatus: Number(seen['grpc-status']), code: error?.code });
    });
    stream.end(body);
  });
}

const frame = (flag: number, body: Uint8Array, length = body.byteLength): Buffer => {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, body]);
};

describe('bytes that are not HTTP/2', () => {
  const garbage: [string, () => Uint8Array][] = [
    ['random bytes', () => randomBytes(4_096)],
    ['an HTTP/1 request', () => Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['a TLS hello', () => Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), randomBytes(500)])],
    [
      'the preface and then garbage',
      () => Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), randomBytes(500)]),
    ],
    [
      'a frame that claims 16 MiB',
      () =>
        Buffer.concat([
          Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
          Buffer.from([0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0]),
        ]),
    ],
  ];
  test.each(garbage)('%s: the connection is closed', async (_name, bytes) => {
    const { socket, closed } = await rawSocket();
    socket.write(bytes());
    await expect(closed).resolves.toBeUndefined();
  });

  test('nothing at all: closed when the handshake is overdue', async () => {
    const { closed } = await rawSocket();
    await expect(closed).resolves.toBeUndefined();
  });

  test('half a preface: closed when the handshake is overdue', async () => {
    const { socket, closed } = await rawSocket();
    socket.write('PRI * HTTP/2.0');
    await expect(closed).resolves.toBeUndefined();
  });
});

test('200 idle connections hurt nobody, and the next above the limit is closed', async () => {
  const sessions = await Promise.all(Array.from({ length: 200 }, () => session()));
  const answer = await post(sessions[199]!, {}, frame(0, new Uint8Array()));
  expect(answer.grpcStatus).toBe(0);
  await Promise.all(Array.from({ length: 49 }, () => session()));
  const last = await session();
  expect((await post(last, {}, frame(0, new Uint8Array()))).grpcStatus).toBe(0);
  // The 251st, long before its handshake is overdue.
  const startedMs = performance.now();
  const { closed } = await rawSocket();
  await closed;
  expect(performance.now() - startedMs).toBeLessThan(400);
  const gone = sessions.map((one) => new Promise<void>((resolve) => one.once('close', () => resolve())));
  for (const one of sessions) one.destroy();
  await Promise.all(gone);
});

describe('over HTTP/2', () => {
  const bodies: [string, Uint8Array, Record<string, string>, number, string | undefined][] = [
    ['no message at all', new Uint8Array(), {}, grpcStatus.INVALID_ARGUMENT, 'INVALID_REQUEST'],
    [
      'two messages',
      Buffer.concat([frame(0, new Uint8Array()), frame(0, new Uint8Array())]),
      {},
      grpcStatus.INVALID_ARGUMENT,
      'INVALID_REQUEST',
    ],
    [
      'bytes that are no such message',
      frame(0, Buffer.from([255, 255])),
      {},
      grpcStatus.INVALID_ARGUMENT,
      'INVALID_REQUEST',
    ],
    [
      'a prefix that claims 4 GiB',
      frame(0, Buffer.alloc(100), 0xffff_ffff),
      {},
      grpcStatus.RESOURCE_EXHAUSTED,
      undefined,
    ],
    [
      'a message one byte over the limit',
      frame(0, Buffer.alloc(messageBytesMax + 1)),
      {},
      grpcStatus.RESOURCE_EXHAUSTED,
      undefined,
    ],
    [
      'a compressed flag without a compression',
      frame(1, Buffer.from([255, 255])),
      {},
      grpcStatus.INVALID_ARGUMENT,
      'INVALID_REQUEST',
    ],
    [
      'an unknown compression',
      frame(1, Buffer.from([1])),
      { 'grpc-encoding': 'snappy' },
      grpcStatus.UNIMPLEMENTED,
      undefined,
    ],
    ['damaged gzip', frame(1, Buffer.from([1, 2, 3])), { 'grpc-encoding': 'gzip' }, grpcStatus.INTERNAL, undefined],
    [
      'a zip bomb',
      frame(1, gzipSync(Buffer.alloc(64 * 1_048_576))),
      { 'grpc-encoding': 'gzip' },
      grpcStatus.RESOURCE_EXHAUSTED,
      undefined,
    ],
    ['an unknown path', frame(0, new Uint8Array()), { ':path': '/etc/passwd' }, grpcStatus.UNIMPLEMENTED, undefined],
    [
      'a peer method',
      frame(0, new Uint8Array()),
      { ':path': methods.birth.probe.path },
      grpcStatus.UNIMPLEMENTED,
      'UNKNOWN_METHOD',
    ],
    ['a timeout that is none', frame(0, new Uint8Array()), { 'grpc-timeout': 'soon' }, grpcStatus.INTERNAL, undefined],
  ];
  test.each(bodies)('%s gets a status', async (...[, body, headers, status, code]) => {
    const answer = await post(await session(), headers, body);
    expect([answer.grpcStatus, answer.code]).toEqual([status, code]);
  });

  test('another content type gets HTTP 415', async () => {
    const answer = await post(await session(), { 'content-type': 'application/json' }, Buffer.from('{}'));
    expect(answer.headers[':status']).toBe(415);
  });

  test('a header list over the limit is refused', async () => {
    const answer = await post(await session(), { 'x-long': 'a'.repeat(40_000) }, frame(0, new Uint8Array()));
    expect(answer.grpcStatus).toBeNaN();
  });

  test('streams that are reset at once, ten thousand times', async () => {
    const client = await session();
    for (let round = 0; round < 100 && !client.destroyed; round += 1) {
      for (let at = 0; at < 100; at += 1) {
        const stream = client.request({ ':method': 'POST', ':path': produce.path, 'content-type': 'application/grpc' });
        stream.on('error', () => undefined);
        stream.close(8);
      }
      await new Promise(setImmediate);
    }
    // Node ends such a session by itself, or serves it to its end.
    client.destroy();
    await until(() => dispatcher.openCalls === 0);
    expect(received).toBe(0);
  });

  test('a message that stops in the middle holds one stream and nothing else', async () => {
    const client = await session();
    const stream = client.request({ ':method': 'POST', ':path': produce.path, 'content-type': 'application/grpc' });
    stream.on('error', () => undefined);
    stream.write(frame(0, Buffer.alloc(1_000), 500_000));
    await until(() => dispatcher.openCalls > 0);
    expect(received).toBe(0);
    client.destroy();
    await until(() => dispatcher.openCalls === 0);
  });

  test('messages that never become whole: the streams that go over the common limit are reset', async () => {
    const client = await session();
    // Field 15, integer 0, again and again: a message that is read and says nothing.
    const unknownFields = Buffer.from([0x78, 0]);
    const resets = new Set<number>();
    const streams = Array.from({ length: 10 }, (_, at) => {
      const stream = client.request({ ':method': 'POST', ':path': produce.path, 'content-type': 'application/grpc' });
      stream.on('error', () => undefined);
      stream.on('close', () => resets.add(at));
      stream.write(frame(0, Buffer.alloc(messageBytesMax - 1_000, unknownFields), messageBytesMax));
      return stream;
    });
    await until(() => resets.size >= 6);
    expect(received).toBe(0);
    const survivors = streams.filter((stream) => !stream.closed);
    for (const stream of survivors) stream.write(Buffer.alloc(1_000, unknownFields));
    await until(() => received === survivors.length);
    expect(survivors.length).toBe(4);
    const codes = streams.filter((stream) => !survivors.includes(stream)).map((stream) => stream.rstCode);
    expect(new Set(codes)).toEqual(new Set([11]));
    client.destroy();
  });
});

test('the server really opens the windows that the tuning asks for', async () => {
  const client = await session();
  expect(client.remoteSettings.initialWindowSize).toBe(serverStreamWindowBytes);
  expect(client.remoteSettings.maxConcurrentStreams).toBe(512);
  expect(client.remoteSettings.maxHeaderListSize).toBe(16_384);
  // The larger connection window travels behind the settings.
  await until(() => client.state.remoteWindowSize === serverConnectionWindowBytes);
});
