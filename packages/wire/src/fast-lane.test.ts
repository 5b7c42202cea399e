/** What the fast lane does beyond the port: which lane it is, its windows and their budget, its end, its patience. */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Server as NetServer, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Listening, Message, StreamHandlers, TransportStream } from '@sluice/base';
import { parseAddress, silentLogger, SluiceError } from '@sluice/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Dispatcher } from './dispatcher.ts';
import { defaultLimits } from './dispatcher-limits.ts';
import { FastConnection } from './fast-connection.ts';
import { grownConnectionWindowBytes, grownStreamWindowBytes } from './fast-options.ts';
import { deserializeChunks, serializeChunks } from './grpc-message.ts';
import { clientIdleMs, keepaliveTimeMs, keepaliveTimeoutMs, serverIdleMs } from './grpc-options.ts';
import { GrpcTransport } from './grpc-transport.ts';
import { ManualClock } from './manual-clock.ts';
import { methods } from './methods.ts';
import { frame, hello, lanes, RawClients, settingsFrame } from './raw-http2.testing.ts';
import { ProxiedTransport } from './stripping-proxy.testing.ts';
import { SystemClock } from './system-clock.ts';
import { Heard } from './transport-conformance.ts';

const clock = new SystemClock();
const { produce } = methods.broker;
const messageBytesMax = 8 * 1_048_576;

const largeAnswer = { results: [{ error: { message: 'x'.repeat(1_000_000) } }] };

let transport: GrpcTransport;
let closing: (() => Promise<void> | void)[];
beforeEach(() => {
  transport = new GrpcTransport({ clock, messageBytesMax, receiveBytesMax: 2 * grownConnectionWindowBytes });
  closing = [];
});
afterEach(async () => {
  transport.close();
  for (const close of closing) await close();
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

/** Time by hand, turns by the loop: sockets go on by themselves. */
const timersByHand = (): ManualClock =>
  Object.assign(new ManualClock(), { defer: (run: () => void) => void setImmediate(run) });

/** A produce stream that answers each message, but for clients that are named for what happens to them. */
async function listen(): Promise<{ listening: Listening; clients: RawClients }> {
  const limits = defaultLimits.client;
  const options = { face: 'client', listener: 'test', limits, logger: silentLogger, clock } as const;
  const dispatcher = new Dispatcher({ ...options, authorize: () => true });
  dispatcher.stream(produce, (call, sender) => ({
    onMessage: () => {
      if (call.clientId === 'refused') throw new SluiceError('INVALID_REQUEST');
      if (call.clientId === 'closed') return sender.close(new SluiceError('SHUTTING_DOWN'));
      return sender.send(call.clientId === 'large' ? largeAnswer : {});
    },
    onClose: () => undefined,
  }));
  const listening = await transport.listen('127.0.0.1:0', dispatcher.accept);
  const clients = new RawClients(listening.address);
  closing.push(
    () => clients.destroy(),
    () => listening.close(0),
  );
  return { listening, clients };
}

function openProduce(session: ClientHttp2Session, clientId = '', more: Record<string, string> = {}): ClientHttp2Stream {
  const headers = { ':method': 'POST', ':path': produce.path, 'content-type': 'application/grpc' };
  const stream = session.request({ ...headers, 'sluice-client-id': clientId, ...more });
  stream.on('error', () => undefined);
  stream.resume();
  return stream;
}

/** The windows of a connection after its first message was answered, and after a question that comes behind. */
async function greet(session: ClientHttp2Session, clientId = ''): Promise<number[]> {
  const stream = openProduce(session, clientId);
  stream.write(frame(0, new Uint8Array()));
  await new Promise((resolve) => stream.once(clientId === '' ? 'data' : 'close', resolve));
  await new Promise((resolve) => session.ping(resolve));
  // The message's prefix is under way for ever: too little to be worth a window update.
  return [session.remoteSettings.initialWindowSize ?? 0, (session.state.remoteWindowSize ?? 0) + 5];
}

describe('which lane it is', () => {
  const connectTo = async (address: string): Promise<FastConnection> => {
    const connection = new FastConnection({ address, clock, connectTimeoutMs: 5_000, onGone: () => undefined });
    closing.unshift(() => connection.close());
    expect(connection.isFast).toBe(undefined);
    await until(() => connection.isFast !== undefined);
    return connection;
  };

  test('both ends know that it is the fast one', async () => {
    const { listening } = await listen();
    expect((await connectTo(listening.address)).isFast).toBe(true);
  });

  test('behind a proxy that strips the setting it is the slow one', async () => {
    const proxied = new ProxiedTransport(transport);
    const listening = await proxied.listen('127.0.0.1:0', () => new Heard());
    closing.push(() => listening.close(0));
    expect((await connectTo(listening.address)).isFast).toBe(false);
    expect(proxied.stripped).toBe(1);
  });

  test('a stock server is called too, in messages as large as any', async () => {
    const server = new Server({ 'grpc.max_receive_message_length': -1 });
    const handle = (call: NodeJS.ReadWriteStream): void => {
      call.on('data', (message: Message) => call.write(message as unknown as Buffer));
      call.on('end', () => call.end());
    };
    server.register(produce.path, handle as never, serializeChunks, deserializeChunks, 'bidi');
    const port = await new Promise<number>((resolve) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound)),
    );
    closing.push(() => server.forceShutdown());
    const heard = new Heard();
    const stream = transport.open(`127.0.0.1:${port}`, produce.path, heard);
    const big = Buffer.alloc(3_000_000, 'abcde');
    stream.send([big]);
    stream.send([]);
    stream.end();
    await heard.untilClosed();
    expect(heard.events).toEqual(['message 3000000', 'message 0', 'end', 'close ok']);
    expect(Buffer.concat(heard.messages[0] ?? []).equals(big)).toBe(true);
    const missing = new Heard();
    transport.open(`127.0.0.1:${port}`, methods.broker.fetch.path, missing).end();
    await missing.untilClosed();
    expect(missing.error).toMatchObject({ code: 'UNKNOWN_METHOD', definite: true });
  });
});

describe('the windows of a caller', () => {
  const small = [65_535, 65_535];

  test('are those of HTTP/2 until its first message was taken, then large, for calls that were open too', async () => {
    const { clients } = await listen();
    const session = await clients.session('fast');
    const early = openProduce(session);
    expect([session.remoteSettings.initialWindowSize, session.state.remoteWindowSize]).toEqual(small);
    expect(await greet(session)).toEqual([grownStreamWindowBytes, grownConnectionWindowBytes]);
    const large = Buffer.alloc(1_000_000, Buffer.from([0x78, 0]));
    early.write(frame(0, large));
    await new Promise((resolve) => early.once('data', resolve));
  });

  test.each(['refused', 'closed'])('stay small when the call is %s at its first message', async (clientId) => {
    const { clients } = await listen();
    const session = await clients.session('fast');
    expect(await greet(session, clientId)).toEqual(small);
    expect((await greet(session))[0]).toBe(grownStreamWindowBytes);
  });

  test('stay small when the budget is used up, and what is given back is there for the next', async () => {
    const { clients } = await listen();
    const sessions = await Promise.all([1, 2, 3].map(() => clients.session('fast')));
    const windows = [];
    for (const session of sessions) windows.push((await greet(session))[0]);
    expect(windows).toEqual([grownStreamWindowBytes, grownStreamWindowBytes, 65_535]);
    // A second call changes nothing: neither grows a connection twice nor takes twice from the budget.
    expect((await greet(sessions[0]!))[0]).toBe(grownStreamWindowBytes);
    sessions[0]?.destroy();
    sessions[1]?.close();
    sessions[1]?.destroy();
    const again = [];
    while (again.length < 2) {
      const session = await clients.session('fast');
      const [window] = await greet(session);
      if (window === grownStreamWindowBytes) again.push(session);
      else session.destroy();
    }
    expect((await greet(await clients.session('fast')))[0]).toBe(65_535);
  });
});

test('compressed messages and others arrive in the order in which they were sent', async () => {
  const heard = new Heard();
  const listening = await transport.listen('127.0.0.1:0', () => heard);
  const clients = new RawClients(listening.address);
  closing.push(
    () => clients.destroy(),
    () => listening.close(0),
  );
  const stream = openProduce(await clients.session('fast'), '', { 'grpc-encoding': 'gzip' });
  const zipped = (bytes: number): Buffer => frame(1, gzipSync(Buffer.alloc(bytes)));
  const plain = (bytes: number): Buffer => frame(0, Buffer.alloc(bytes));
  stream.end(Buffer.concat([plain(1), zipped(3_000_000), plain(2), zipped(3), plain(4)]));
  await heard.until(() => heard.events.includes('end'));
  expect(heard.events).toEqual(['message 1', 'message 3000000', 'message 2', 'message 3', 'message 4', 'end']);
});

test('a connection on which 40 MB of answers wait still takes calls', async () => {
  const { clients } = await listen();
  const session = await clients.session('fast');
  for (let at = 0; at < 40; at += 1) openProduce(session, 'large').pause().write(frame(0, new Uint8Array()));
  await new Promise((resolve) => session.ping(resolve));
  // The window of the connection is full: the refusal of a call is all that may still be said.
  const stream = openProduce(session, 'refused');
  stream.write(frame(0, new Uint8Array()));
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once('response', resolve));
  expect(headers['grpc-status']).toBe('3');
});

describe('the end', () => {
  test('both lanes are drained: a farewell at once, open calls may end, silent sockets go', async () => {
    const { listening, clients } = await listen();
    const { closed: silent } = await clients.socket();
    const sessions = await Promise.all(lanes.map((lane) => clients.session(lane)));
    const streams = sessions.map((session) => openProduce(session));
    for (const stream of streams) {
      stream.write(frame(0, new Uint8Array()));
      await new Promise((resolve) => stream.once('data', resolve));
    }
    const farewells = sessions.map((session) => new Promise((resolve) => session.once('goaway', resolve)));
    let over = false;
    const startedMs = performance.now();
    const close = listening.close(60_000).then(() => {
      over = true;
    });
    await silent;
    expect(performance.now() - startedMs).toBeLessThan(1_000);
    await Promise.all(farewells);
    for (const stream of streams) {
      expect([stream.closed, over]).toEqual([false, false]);
      stream.write(frame(0, new Uint8Array()));
      await new Promise((resolve) => stream.once('data', resolve));
    }
    for (const stream of streams) stream.close(8);
    await close;
    expect(over).toBe(true);
  });

  test('a call finds the server that comes after, while the last call of the one before is still open', async () => {
    const answer = (stream: TransportStream, text: string): StreamHandlers => ({
      onMessage: () => stream.send([Buffer.from(text)]),
      onEnd: () => stream.end(),
      onClose: () => undefined,
    });
    const before = await transport.listen('127.0.0.1:0', (_call, stream) => answer(stream, 'before'));
    const old = new Heard();
    const oldStream = transport.open(before.address, produce.path, old);
    oldStream.send([]);
    await old.until(() => old.messages.length === 1);
    const closed = before.close(60_000);
    const after = await transport.listen(before.address, (_call, stream) => answer(stream, 'after'));
    closing.push(() => after.close(0));
    const texts: string[] = [];
    while (!texts.includes('after')) {
      // The farewell of the server before may travel behind the first of these.
      const heard = new Heard();
      const stream = transport.open(after.address, produce.path, heard);
      stream.send([]);
      stream.end();
      await heard.untilClosed();
      expect(['UNREACHABLE', undefined]).toContain(heard.error?.code);
      texts.push(Buffer.concat(heard.messages.flat()).toString());
    }
    oldStream.send([]);
    oldStream.end();
    await old.untilClosed();
    expect(old.messages.map((message) => Buffer.concat(message).toString())).toEqual(['before', 'before']);
    await closed;
  });

  test('a caller that never closes its half of a connection that is over is cut off', async () => {
    const timers = timersByHand();
    const server = new GrpcTransport({ clock: timers, messageBytesMax });
    const listening = await server.listen('127.0.0.1:0', () => new Heard());
    const { host, port } = parseAddress(listening.address) ?? { host: '', port: 0 };
    const socket = connect({ host, port, allowHalfOpen: true });
    closing.push(() => void socket.destroy());
    socket.on('error', () => undefined);
    socket.write(hello('fast'));
    await new Promise((resolve) => socket.once('data', resolve));
    let over = false;
    const close = listening.close(60_000).then(() => {
      over = true;
    });
    socket.resume();
    await new Promise((resolve) => socket.once('end', resolve));
    await timers.pass(4_999);
    expect(over).toBe(false);
    await timers.pass(1);
    await close;
    expect(over).toBe(true);
  });

  test('a call that is answered before its caller has ended is reset, so that nothing of it is kept', async () => {
    const { clients } = await listen();
    const { socket } = await clients.socket();
    const block = Buffer.concat([
      Buffer.from([0x83, 0x86, 0x01, 1, 0x61, 0x04, produce.path.length]),
      Buffer.from(produce.path),
      Buffer.from([0x0f, 0x10, 16, ...Buffer.from('application/grpc')]),
      Buffer.from([0x00, 16, ...Buffer.from('sluice-client-id'), 6, ...Buffer.from('closed')]),
    ]);
    let answer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
    });
    socket.write(Buffer.concat([hello('fast'), rawFrame(1, 4, block), rawFrame(0, 0, frame(0, new Uint8Array()))]));
    const reset = rawFrame(3, 0, Buffer.alloc(4));
    await until(() => answer.includes(reset));
    // Headers that are all there is of the answer, and then the reset.
    const status = answer.indexOf(Buffer.from([1, 5, 0, 0, 0, 1]));
    expect(status).toBeGreaterThan(0);
    expect(status).toBeLessThan(answer.indexOf(reset));
  });

  test('an answer that ends in the middle of a message is no success', async () => {
    const heard = new Heard();
    const address = await rawServer((socket) => {
      const headers = Buffer.from([
        0x88,
        0x40,
        12,
        ...Buffer.from('content-type'),
        16,
        ...Buffer.from('application/grpc'),
      ]);
      const trailers = Buffer.from([0x40, 11, ...Buffer.from('grpc-status'), 1, 0x30]);
      socket.write(rawFrame(1, 4, headers));
      socket.write(rawFrame(0, 0, Buffer.from([0, 0, 0, 0, 9, 1])));
      socket.write(rawFrame(1, 5, trailers));
    });
    transport.open(address, produce.path, heard).end();
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    expect(heard.messages).toEqual([]);
  });

  test('an answer that is compressed, and a page of somebody who speaks no gRPC', async () => {
    const compressed = new Heard();
    const address = await rawServer((socket) => {
      socket.write(rawFrame(1, 4, Buffer.from([0x88])));
      socket.write(rawFrame(0, 0, frame(1, Buffer.from([1]))));
    });
    transport.open(address, produce.path, compressed).send([]);
    await compressed.untilClosed();
    expect(compressed.error).toMatchObject({ code: 'CONNECTION_LOST', details: { grpcStatus: 13 } });
    const page = new Heard();
    const other = await rawServer((socket) => {
      socket.write(rawFrame(1, 4, Buffer.from([0x08, 3, ...Buffer.from('403')])));
      socket.write(rawFrame(0, 1, Buffer.from('<html>Forbidden</html>')));
    });
    transport.open(other, produce.path, page).send([]);
    await page.untilClosed();
    expect(page.error?.code).toBe('PERMISSION_DENIED');
  });

  test.each([
    [1, 'CONNECTION_LOST'],
    [7, 'UNREACHABLE'],
    [8, 'CONNECTION_LOST'],
    [11, 'LIMIT_EXCEEDED'],
    [12, 'PERMISSION_DENIED'],
  ])('a call that the server resets with code %i: %s', async (reset, code) => {
    const heard = new Heard();
    const address = await rawServer((socket) => socket.write(rawFrame(3, 0, Buffer.from([0, 0, 0, reset]))));
    transport.open(address, produce.path, heard).send([]);
    await heard.untilClosed();
    expect(heard.error?.code).toBe(code);
  });

  test('a caller that is closed leaves no connection behind, whatever the server does', async () => {
    let isGone = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      isGone = resolve;
    });
    const address = await rawServer((socket) => socket.once('close', isGone));
    const heard = new Heard();
    transport.open(address, produce.path, heard).send([]);
    await until(() => asked > 0);
    transport.close();
    await gone;
    await heard.untilClosed();
    expect(heard.error?.code).toBe('CLOSED');
  });

  test('metadata that no header can hold: nothing was sent, and nobody else is hurt', async () => {
    const { listening } = await listen();
    const heard = new Heard();
    transport.open(listening.address, produce.path, heard, { metadata: { 'no name': 'x' } }).send([]);
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'UNREACHABLE', definite: true });
  });
});

describe('patience', () => {
  test('a server that does not answer a ping is given up, and its calls end', async () => {
    const timers = timersByHand();
    const address = await rawServer(() => undefined);
    const caller = new GrpcTransport({ clock: timers, messageBytesMax });
    closing.unshift(() => caller.close());
    const heard = new Heard();
    caller.open(address, produce.path, heard).send([]);
    await until(() => asked > 0);
    await timers.pass(keepaliveTimeMs + keepaliveTimeoutMs - 1);
    expect(heard.closed).toBe(false);
    await timers.pass(1);
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
  });

  /** Time passes in steps, and after each the sockets have had their turns: pings are answered in time. */
  async function passPatiently(timers: ManualClock, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 5_000) {
      await timers.pass(Math.min(5_000, ms - passed));
      for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    }
  }

  test('a connection without calls is given up by its caller, one with a call is not', async () => {
    const timers = timersByHand();
    const caller = new GrpcTransport({ clock: timers, messageBytesMax });
    closing.unshift(() => caller.close());
    const remotes: string[] = [];
    const listening = await transport.listen('127.0.0.1:0', (call, stream) => {
      remotes.push(call.remote);
      return { onMessage: (message) => stream.send(message), onEnd: () => stream.end(), onClose: () => undefined };
    });
    closing.push(() => listening.close(0));
    const call = async (): Promise<void> => {
      const heard = new Heard();
      caller.open(listening.address, produce.path, heard).end();
      await heard.untilClosed();
    };
    const open = new Heard();
    const stream = caller.open(listening.address, produce.path, open);
    stream.send([]);
    await open.until(() => open.messages.length === 1);
    await passPatiently(timers, clientIdleMs + 1);
    await call();
    expect(open.closed).toBe(false);
    stream.end();
    await open.untilClosed();
    await passPatiently(timers, clientIdleMs - 1);
    await call();
    const again = caller.open(listening.address, produce.path, new Heard());
    await passPatiently(timers, clientIdleMs);
    await call();
    expect(new Set(remotes).size).toBe(1);
    again.close();
    await passPatiently(timers, clientIdleMs);
    await call();
    expect(new Set(remotes).size).toBe(2);
  });

  test('a connection without calls is given up by the server, one with a call is not', async () => {
    const timers = timersByHand();
    const server = new GrpcTransport({ clock: timers, messageBytesMax });
    const listening = await server.listen('127.0.0.1:0', () => new Heard());
    const clients = new RawClients(listening.address);
    closing.push(
      () => clients.destroy(),
      () => listening.close(0),
    );
    const [idle, busy] = [await clients.session('fast'), await clients.session('fast')];
    const stream = openProduce(busy);
    await new Promise((resolve) => busy.ping(resolve));
    await passPatiently(timers, serverIdleMs - 1);
    expect([idle.closed, busy.closed]).toEqual([false, false]);
    await passPatiently(timers, 5_000);
    expect([idle.closed, busy.closed]).toEqual([true, false]);
    stream.close(8);
    await new Promise((resolve) => busy.ping(resolve));
    await passPatiently(timers, serverIdleMs - 1);
    expect(busy.closed).toBe(false);
    await passPatiently(timers, 5_000);
    expect(busy.closed).toBe(true);
  });

  test('a caller that does not read what came before its refusal has ten seconds for it', async () => {
    const timers = timersByHand();
    const server = new GrpcTransport({ clock: timers, messageBytesMax });
    const listening = await server.listen('127.0.0.1:0', (_call, stream) => ({
      onMessage: () => {
        stream.send([Buffer.alloc(1_000_000)]);
        stream.close(new SluiceError('SHUTTING_DOWN'));
      },
      onEnd: () => undefined,
      onClose: () => undefined,
    }));
    const clients = new RawClients(listening.address);
    closing.push(
      () => clients.destroy(),
      () => listening.close(0),
    );
    const session = await clients.session('fast');
    const stream = openProduce(session).pause();
    stream.write(frame(0, new Uint8Array()));
    await new Promise((resolve) => stream.once('response', resolve));
    await passPatiently(timers, 9_999);
    expect(stream.closed).toBe(false);
    await timers.pass(1);
    await until(() => stream.closed);
    expect(stream.rstCode).toBe(8);
  });

  test('a caller that answers pings is kept, one that does not is let go, and a silent one sooner', async () => {
    const timers = timersByHand();
    const server = new GrpcTransport({ clock: timers, messageBytesMax, handshakeTimeoutMs: keepaliveTimeMs - 1 });
    const served = new Heard();
    const listening = await server.listen('127.0.0.1:0', () => served);
    const clients = new RawClients(listening.address);
    closing.push(
      () => clients.destroy(),
      () => listening.close(0),
    );
    const silent = await clients.socket();
    const mute = await clients.socket();
    mute.socket.write(hello('fast'));
    await new Promise((resolve) => mute.socket.once('data', resolve));
    const honest = await clients.session('fast');
    openProduce(honest).write(frame(0, new Uint8Array()));
    await served.until(() => served.messages.length === 1);
    for (let round = 0; round < 3; round += 1) {
      const pinged = new Promise((resolve) => honest.once('ping', resolve));
      await timers.pass(keepaliveTimeMs);
      await pinged;
      // When this comes back, the answer that went before it is there too.
      await new Promise((resolve) => honest.ping(resolve));
      await timers.pass(keepaliveTimeoutMs - 1);
    }
    await Promise.all([silent.closed, mute.closed]);
    expect([honest.closed, served.closed]).toEqual([false, false]);
  });
});

let asked = 0;

const rawFrame = (type: number, flags: number, body: Buffer): Buffer => {
  const header = Buffer.from([0, 0, body.byteLength, type, flags, 0, 0, 0, 1]);
  return Buffer.concat([header, body]);
};

/** A server of hand-made frames: settings first, `answer` when the caller has sent a call. */
async function rawServer(answer: (socket: Socket) => void): Promise<string> {
  asked = 0;
  const sockets = new Set<Socket>();
  const server: NetServer = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.write(settingsFrame([]));
    let bytes = Buffer.alloc(0);
    let isAsked = false;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      // The headers of the first stream.
      if (isAsked || !bytes.includes(Buffer.from([0x01, 0x04, 0, 0, 0, 1]))) return;
      isAsked = true;
      asked += 1;
      answer(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const bound = server.address();
  return `127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`;
}
