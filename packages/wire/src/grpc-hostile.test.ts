/** What comes over a real socket from someone who means harm or is confused. After each attack others are served. */
import { randomBytes } from 'node:crypto';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Listening, Logger } from '@sluice/base';
import { silentLogger } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dispatcher } from './dispatcher.ts';
import { defaultLimits } from './dispatcher-limits.ts';
import { grpcStatus } from './error-detail.ts';
import { laneSettingId, laneVersion } from './fast-lane-hello.ts';
import { serverConnectionWindowBytes, serverStreamWindowBytes } from './grpc-server-tuning.ts';
import { GrpcTransport } from './grpc-transport.ts';
import type { Lane } from './lane-classifier.ts';
import { methods } from './methods.ts';
import { frame, hello, lanes, post, preface, RawClients, settingsFrame } from './raw-http2.testing.ts';
import { RpcClient } from './rpc-client.ts';
import { SystemClock } from './system-clock.ts';
import { Heard } from './transport-conformance.ts';

const clock = new SystemClock();
const messageBytesMax = 1_048_576;
const { initProducer, produce } = methods.broker;
const headers = { ':method': 'POST', ':path': produce.path, 'content-type': 'application/grpc' };
const longAnswer = { results: [{ error: { message: 'x'.repeat(50_000) } }] };
const honest = { ':path': initProducer.path };

let transport: GrpcTransport;
let listening: Listening;
let dispatcher: Dispatcher;
let clients: RawClients;
let received: number;
const errors: string[] = [];
const logger: Logger = { ...silentLogger, error: (phrase) => errors.push(phrase) };

beforeEach(async () => {
  received = 0;
  transport = new GrpcTransport({
    clock,
    messageBytesMax: 2 ** 26,
    connectionsMax: 250,
    handshakeTimeoutMs: 500,
    partialBytesMax: 4 * messageBytesMax,
  });
  const limits = { ...defaultLimits.client, messageBytesMax, bufferedBytesMax: 2 * messageBytesMax };
  dispatcher = new Dispatcher({ face: 'client', listener: 'test', limits, logger, clock, authorize: () => true });
  dispatcher.unary(initProducer, async () => ({ producerId: 1 }));
  dispatcher.stream(produce, (_call, sender) => ({
    onMessage: () => {
      received += 1;
      sender.send(longAnswer);
    },
    onClose: () => undefined,
  }));
  listening = await transport.listen('127.0.0.1:0', dispatcher.accept, { messageBytesMax });
  clients = new RawClients(listening.address);
});

afterEach(async () => {
  // Whatever happened, a well-behaved client is served on both lanes, and nothing is left over, counted or logged.
  const client = new RpcClient(transport);
  const answer = await client.unary(initProducer, listening.address, {}, { timeoutMs: 5_000 });
  expect(answer.producerId).toBe(1);
  const heard = new Heard();
  const stream = transport.open(listening.address, produce.path, heard, { timeoutMs: 5_000 });
  stream.send([]);
  await heard.until(() => heard.messages.length === 1 || heard.closed);
  expect(heard.error).toBeUndefined();
  stream.close();
  clients.destroy();
  await until(() => dispatcher.openCalls === 0);
  expect(errors.splice(0)).toEqual([]);
  transport.close();
  await listening.close(1_000);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

function openStream(client: ClientHttp2Session): ClientHttp2Stream {
  const stream = client.request(headers);
  stream.on('error', () => undefined);
  return stream;
}

describe('bytes that are no hello', () => {
  const largest = Array.from({ length: 170 }, (_, at): [number, number] => [0xff00 + at, 1]);
  const tooManySettings = settingsFrame([...largest, [0xfffe, 1]]);
  const acknowledgement = settingsFrame([]);
  acknowledgement[4] = 1;
  const ofAStream = settingsFrame([]);
  ofAStream[8] = 1;
  const uneven = Buffer.concat([Buffer.from([0, 0, 5, 4, 0, 0, 0, 0, 0]), Buffer.alloc(5)]);
  const ping = Buffer.concat([Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0]), Buffer.alloc(8)]);
  const garbage: [string, Uint8Array][] = [
    ['random bytes', randomBytes(4_096)],
    ['an HTTP/1 request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
    ['a TLS hello', Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), randomBytes(500)])],
    ['the preface and then garbage', Buffer.concat([preface, Buffer.alloc(500, 0xa5)])],
    ['a frame that claims 16 MiB', Buffer.concat([preface, Buffer.from([0xff, 0xff, 0xff, 4, 0, 0, 0, 0, 0])])],
    ['more settings than 1 KiB holds', Buffer.concat([preface, tooManySettings])],
    ['settings that end in the middle of one', Buffer.concat([preface, uneven])],
    ['an acknowledgement of settings', Buffer.concat([preface, acknowledgement])],
    ['settings of a stream', Buffer.concat([preface, ofAStream])],
    ['another frame first', Buffer.concat([preface, ping])],
  ];
  test.each(garbage)('%s: the connection is closed at once', async (_name, bytes) => {
    const { socket, closed } = await clients.socket();
    const startedMs = performance.now();
    socket.write(bytes);
    await expect(closed).resolves.toBeUndefined();
    expect(performance.now() - startedMs).toBeLessThan(400);
  });

  test('as many settings as 1 KiB holds are a hello', async () => {
    const { socket } = await clients.socket();
    socket.write(Buffer.concat([preface, settingsFrame(largest)]));
    const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(answer[3]).toBe(4);
  });

  test.each([
    ['nothing at all', Buffer.alloc(0)],
    ['half a preface', preface.subarray(0, 14)],
    ['a preface and half of the settings', hello('fast').subarray(0, 35)],
  ])('%s: closed when the hello is overdue', async (_name, bytes) => {
    const { socket, closed } = await clients.socket();
    const startedMs = performance.now();
    socket.write(bytes);
    await expect(closed).resolves.toBeUndefined();
    expect(performance.now() - startedMs).toBeGreaterThan(450);
  });

  test('a byte at a time does not buy time', async () => {
    const { socket, closed } = await clients.socket();
    const bytes = hello('fast');
    const startedMs = performance.now();
    let at = 0;
    const drip = setInterval(() => socket.write(bytes.subarray(at, (at += 1))), 40);
    await expect(closed).resolves.toBeUndefined();
    clearInterval(drip);
    expect([performance.now() - startedMs < 1_500, at < bytes.byteLength]).toEqual([true, true]);
  });

  test.each(lanes)('a %s hello in single bytes, in time, is a hello', async (lane) => {
    const { socket } = await clients.socket();
    let answer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
    });
    socket.setNoDelay();
    for (const byte of hello(lane)) {
      socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    // HTTP/2 has got every byte of it: it answers a question behind it.
    const ping = Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, ...Buffer.from('sluice!?')]);
    socket.write(ping);
    ping[4] = 1;
    await until(() => answer.includes(ping));
    expect(answer[3]).toBe(4);
  });

  test.each([0, 10, 40])('a caller that closes its half after %i bytes is let go', async (bytes) => {
    const { socket, closed } = await clients.socket();
    const startedMs = performance.now();
    socket.end(hello('fast').subarray(0, bytes));
    await expect(closed).resolves.toBeUndefined();
    expect(performance.now() - startedMs).toBeLessThan(400);
  });

  test.each(lanes)('a caller that closes its half behind a whole %s hello is let go', async (lane) => {
    const { socket, closed } = await clients.socket();
    socket.end(hello(lane));
    await expect(closed).resolves.toBeUndefined();
  });

  test('more than may wait with no hello: the oldest go, and honest clients come through', async () => {
    const silent = await Promise.all(Array.from({ length: 256 }, () => clients.socket()));
    const more = await Promise.all(Array.from({ length: 10 }, () => clients.socket()));
    const startedMs = performance.now();
    await Promise.all(silent.slice(0, 10).map(({ closed }) => closed));
    expect(performance.now() - startedMs).toBeLessThan(400);
    expect(more.every(({ socket }) => !socket.closed)).toBe(true);
    const answer = await post(await clients.session('fast'), honest, frame(0, new Uint8Array()));
    expect(answer.grpcStatus).toBe(grpcStatus.OK);
  });
});

test('more connections than there is room for: the one without a call for longest goes, and who comes is served', async () => {
  const busy = await clients.session('fast');
  const call = busy.request({
    ':method': 'POST',
    ':path': produce.path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  call.on('error', () => undefined);
  call.resume();
  call.write(frame(0, new Uint8Array()));
  await until(() => received === 1);
  let gone = 0;
  const idle = await Promise.all(Array.from({ length: 249 }, (_, at) => clients.session(lanes[at % 2] as Lane)));
  const closed = idle.map((session) => new Promise<void>((resolve) => session.once('close', () => resolve())));
  for (const one of closed) void one.then(() => (gone += 1));
  const answer = await post(await clients.session('slow'), honest, frame(0, new Uint8Array()));
  expect(answer.grpcStatus).toBe(0);
  await until(() => gone === 1);
  call.write(frame(0, new Uint8Array()));
  await until(() => received === 2);
  busy.destroy();
  for (const one of idle) one.destroy();
  await Promise.all(closed);
  expect(gone).toBe(249);
});

test('connections that say their hello at once, when there is no room for all of them: the first go', async () => {
  const sockets = await Promise.all(Array.from({ length: 255 }, () => clients.socket()));
  let gone = 0;
  for (const { socket, closed } of sockets) {
    void closed.then(() => {
      gone += 1;
    });
    socket.write(hello('fast'));
  }
  await until(() => gone === 5);
  const { socket, closed } = await clients.socket();
  const answered = new Promise((resolve) => socket.once('data', resolve)).then(() => true);
  socket.write(hello('fast'));
  expect(await Promise.race([answered, closed.then(() => false)])).toBe(true);
  await until(() => gone === 6);
});

describe.each(lanes)('on the %s lane', (lane) => {
  const raw = (type: number, flags: number, stream: number, body = Buffer.alloc(0)): Buffer => {
    const bytes = Buffer.alloc(9);
    bytes.writeUIntBE(body.byteLength, 0, 3);
    bytes.set([type, flags], 3);
    bytes.writeUInt32BE(stream, 5);
    return Buffer.concat([bytes, body]);
  };
  const broken: [string, Uint8Array][] = [
    ['data before any headers', raw(0, 0, 1, Buffer.from([0]))],
    ['headers of an even stream', raw(1, 5, 2, Buffer.from([0x83]))],
    ['headers that cannot be unpacked', raw(1, 5, 1, Buffer.alloc(20, 0xff))],
    ['a window update of nothing', raw(8, 0, 0, Buffer.alloc(4))],
    ['a frame over 16 KiB', raw(0, 0, 1, Buffer.alloc(16_385))],
    ['a ping of the wrong length', raw(6, 0, 0, Buffer.alloc(7))],
    ['a push', raw(5, 4, 1, Buffer.from([0, 0, 0, 2, 0x83]))],
  ];
  test.each(broken)('%s: the connection is ended', async (_name, bytes) => {
    const { socket, closed } = await clients.socket();
    socket.write(hello(lane));
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(bytes);
    await expect(closed).resolves.toBeUndefined();
  });

  // Huffman and tables are not needed: a POST with an authority, a path and a content type.
  const called = (path: string, contentType: string): Buffer => {
    const text = (value: string): Buffer => Buffer.from([value.length, ...Buffer.from(value)]);
    const block = [
      Buffer.from([0x83, 0x86, 0x01]),
      text('x'),
      Buffer.from([0x04]),
      text(path),
      Buffer.from([0x0f, 0x10]),
      text(contentType),
    ];
    return raw(1, 4, 1, Buffer.concat(block));
  };
  const refusals: [string, Buffer][] = [
    ['a call', called(honest[':path'], 'application/grpc')],
    ['a call of no method', called('/none', 'application/grpc')],
    ['a request that is no call', called(honest[':path'], 'text/plain')],
  ];
  test.each(refusals)('%s and what ends it, or all of its connection, in one read', async (_name, first) => {
    const settingsFlood = Buffer.concat(Array.from({ length: 3_000 }, () => settingsFrame([[4, 100_000]])));
    for (const last of [raw(3, 0, 1, Buffer.alloc(4)), settingsFlood, raw(0, 0, 0), Buffer.concat([first, first])]) {
      const { socket, closed } = await clients.socket();
      socket.end(Buffer.concat([hello(lane), first, last]));
      await expect(closed).resolves.toBeUndefined();
    }
    const answer = await post(await clients.session(lane), honest, frame(0, new Uint8Array()));
    expect(answer.grpcStatus).toBe(grpcStatus.OK);
  });

  test('streams that are reset at once, ten thousand times', async () => {
    const client = await clients.session(lane);
    for (let round = 0; round < 100 && !client.destroyed; round += 1) {
      for (let at = 0; at < 100; at += 1) openStream(client).close(8);
      await new Promise(setImmediate);
    }
    // Node ends such a session by itself, or serves it to its end.
    client.destroy();
    await until(() => dispatcher.openCalls === 0);
    expect(received).toBe(0);
  });

  test('a hundred thousand pings that nobody asked for: the connection is ended, or answers and serves', async () => {
    const { socket, closed } = await clients.socket();
    socket.write(hello(lane));
    const flood = Buffer.concat(Array.from({ length: 1_000 }, () => raw(6, 0, 0, Buffer.alloc(8))));
    let over = false;
    void closed.then(() => {
      over = true;
    });
    for (let round = 0; round < 100 && !over; round += 1) {
      if (!socket.write(flood)) await Promise.race([closed, new Promise((resolve) => socket.once('drain', resolve))]);
    }
    const answer = await post(await clients.session(lane), honest, frame(0, new Uint8Array()));
    expect(answer.grpcStatus).toBe(grpcStatus.OK);
  });

  test('pings whose answers are never read: the connection is ended', async () => {
    const { socket, closed } = await clients.socket();
    socket.write(hello(lane));
    await new Promise((resolve) => socket.once('data', resolve));
    socket.pause();
    const flood = Buffer.concat(Array.from({ length: 1_000 }, () => raw(6, 0, 0, Buffer.alloc(8))));
    let over = false;
    void closed.then(() => {
      over = true;
    });
    while (!over && socket.writable) {
      socket.write(flood);
      await new Promise(setImmediate);
    }
    socket.resume();
    await expect(closed).resolves.toBeUndefined();
  });

  test('a thousand settings, and a thousand farewells: ended, or borne', async () => {
    for (const bytes of [settingsFrame([[4, 100_000]]), raw(7, 0, 0, Buffer.alloc(8))]) {
      const { socket, closed } = await clients.socket();
      socket.write(hello(lane));
      socket.write(Buffer.concat(Array.from({ length: 1_000 }, () => bytes)));
      socket.end();
      await expect(closed).resolves.toBeUndefined();
    }
  });

  test('a message that stops in the middle holds one stream and nothing else', async () => {
    const client = await clients.session(lane);
    openStream(client).write(frame(0, Buffer.alloc(1_000), 500_000));
    await until(() => dispatcher.openCalls > 0);
    expect(received).toBe(0);
    client.destroy();
    await until(() => dispatcher.openCalls === 0);
  });

  test('messages that never become whole: the streams that go over the common limit are reset', async () => {
    // Half of them from the other lane: the limit is one for both.
    const sessions = await Promise.all([clients.session(lane), clients.session(lane === 'fast' ? 'slow' : 'fast')]);
    // Field 15, integer 0, again and again: a message that is read and says nothing.
    const unknownFields = Buffer.from([0x78, 0]);
    const resets = new Set<number>();
    const streams = Array.from({ length: 10 }, (_, at) => {
      const stream = openStream(sessions[at % 2]!);
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
    for (const session of sessions) session.destroy();
  });

  test('what broken calls had begun is given back', async () => {
    for (let round = 0; round < 6; round += 1) {
      const client = await clients.session(lane);
      const stream = openStream(client);
      stream.write(frame(0, Buffer.alloc(messageBytesMax - 1_000), messageBytesMax));
      await until(() => dispatcher.openCalls === 1);
      await new Promise((resolve) => client.ping(resolve));
      if (round % 2 === 0) client.destroy();
      else stream.close(8);
      await until(() => dispatcher.openCalls === 0);
    }
    const large = frame(0, Buffer.alloc(messageBytesMax, Buffer.from([0x78, 0])));
    const answer = await post(await clients.session(lane), honest, large);
    expect(answer.grpcStatus).toBe(grpcStatus.OK);
  });

  test('a caller that never reads its answers is cut off, and what waits for it is forgotten', async () => {
    const client = await clients.session(lane);
    const stream = openStream(client);
    stream.pause();
    for (let at = 0; at < 400; at += 1) stream.write(frame(0, new Uint8Array()));
    await until(() => dispatcher.openCalls === 1);
    await until(() => dispatcher.openCalls === 0);
    // 2 MiB of what is counted, 64 KiB that HTTP/2 lets through, and what the kernel takes.
    expect(received).toBeGreaterThan(40);
    expect(received).toBeLessThan(400);
    expect(stream.closed).toBe(false);
    stream.close();
  });
});

test('the slow lane really opens the windows that the tuning asks for', async () => {
  const client = await clients.session('slow');
  expect(client.remoteSettings.initialWindowSize).toBe(serverStreamWindowBytes);
  expect(client.remoteSettings.maxConcurrentStreams).toBe(512);
  expect(client.remoteSettings.maxHeaderListSize).toBe(16_384);
  // The larger connection window travels behind the settings.
  await until(() => client.state.remoteWindowSize === serverConnectionWindowBytes);
});

test('an announcement of a version that is not known goes to the slow lane', async () => {
  const { socket } = await clients.socket();
  const answered = new Promise<Buffer>((resolve) => socket.once('data', resolve));
  socket.write(Buffer.concat([preface, settingsFrame([[laneSettingId, laneVersion + 1]])]));
  const settings = await answered;
  expect(settings.subarray(9).includes(Buffer.from([laneSettingId >> 8, laneSettingId & 255]))).toBe(false);
});
