import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { Transport } from '@sluice/base';
import { afterEach, describe, expect, test } from 'vitest';
import { GrpcTransport } from './grpc-transport.ts';
import { methods } from './methods.ts';
import { SystemClock } from './system-clock.ts';
import { preface, settingsFrame } from './raw-http2.testing.ts';
import { ProxiedTransport } from './stripping-proxy.testing.ts';
import type { TransportPair } from './transport-conformance.ts';
import { Heard, transportConformance } from './transport-conformance.ts';

const clock = new SystemClock();
const { produce, initProducer } = methods.broker;

const pair = (front: (server: Transport) => Transport = (server) => server): TransportPair => ({
  caller: new GrpcTransport({ clock, messageBytesMax: 8 * 1_048_576 }),
  server: front(new GrpcTransport({ clock, messageBytesMax: 8 * 1_048_576 })),
  bindAddress: '127.0.0.1:0',
  // Port 1 is reserved and unused on any machine that tests run on.
  deadAddress: '127.0.0.1:1',
});

transportConformance('GrpcTransport, the fast lane', async () => pair());

transportConformance('GrpcTransport, the slow lane', async () => pair(), {
  method: methods.raft.exchange.path,
  other: methods.controller.heartbeat.path,
});

transportConformance('GrpcTransport, the fast lane behind a proxy that strips the setting', async () =>
  pair((server) => new ProxiedTransport(server)),
);

describe.each([
  ['the fast lane', produce.path],
  ['the slow lane', initProducer.path],
])('another program on the port, %s', (lane, path) => {
  let server: Server | undefined;
  const sockets = new Set<Socket>();
  afterEach(() => {
    for (const socket of sockets) socket.destroy();
    server?.close();
  });
  const listen = (onSocket: (socket: Socket) => void): Promise<string> =>
    new Promise((resolve) => {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on('error', () => undefined);
        onSocket(socket);
      });
      server.listen(0, '127.0.0.1', () => {
        const bound = server?.address();
        resolve(`127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`);
      });
    });

  test('that takes no more calls, told while one is on its way', async () => {
    const goAway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const headers = 1;
    const address = await listen((socket) => {
      socket.write(settingsFrame([]));
      let told = false;
      socket.on('data', (chunk: Buffer) => {
        // Behind the preface frames begin anew in each chunk here: they are few and small.
        for (let at = chunk.indexOf(preface) + 1 === 1 ? preface.length : 0; at + 9 <= chunk.length; ) {
          if (chunk[at + 3] === headers && !told) {
            told = true;
            socket.write(goAway);
          }
          at += 9 + chunk.readUIntBE(at, 3);
        }
      });
    });
    const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
    const heard = new Heard();
    transport.open(address, path, heard, { timeoutMs: 5_000 }).send([Buffer.from('x')]);
    await heard.untilClosed();
    // Nothing of it was done. grpc-js hides the reason in its words, so on the slow lane nobody can rely on it.
    const definite = lane === 'the fast lane';
    expect(heard.error).toMatchObject({ code: definite ? 'UNREACHABLE' : 'CONNECTION_LOST', definite });
    transport.close();
  });

  test('that never speaks: nothing was sent, so the failure is definite, and it comes in time', async () => {
    const address = await listen(() => undefined);
    const transport = new GrpcTransport({ clock, messageBytesMax: 1_000, connectTimeoutMs: 1_000 });
    const [timed, untimed] = [new Heard(), new Heard()];
    const startedMs = clock.monotonicMs();
    transport.open(address, path, timed, { timeoutMs: 100 }).send([]);
    transport.open(address, path, untimed).send([]);
    await timed.untilClosed();
    expect(clock.monotonicMs() - startedMs).toBeLessThan(900);
    await untimed.untilClosed();
    expect([timed.error?.code, untimed.error?.code]).toEqual(['UNREACHABLE', 'UNREACHABLE']);
    expect([timed.error?.definite, untimed.error?.definite]).toEqual([true, true]);
    transport.close();
  });

  test('that speaks something else: definite too', async () => {
    const address = await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
    const heard = new Heard();
    transport.open(address, path, heard).send([]);
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'UNREACHABLE', definite: true });
    transport.close();
  });
});

test.each([produce.path, initProducer.path])(
  'a server that dies with a call of %s open: the caller cannot know, so the failure is indefinite',
  async (path) => {
    const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
    const listening = await transport.listen('127.0.0.1:0', () => new Heard());
    const target = listening.address;
    // A process that dies resets its sockets: here a wire in between does.
    const wires: Socket[] = [];
    const proxy = createServer((near) => {
      const port = Number(target.split(':')[1]);
      const far = connect(port, '127.0.0.1');
      near.on('error', () => undefined);
      far.on('error', () => undefined);
      near.pipe(far).pipe(near);
      wires.push(near, far);
    });
    const address = await new Promise<string>((resolve) =>
      proxy.listen(0, '127.0.0.1', () => {
        const bound = proxy.address();
        resolve(`127.0.0.1:${typeof bound === 'object' ? bound?.port : ''}`);
      }),
    );
    const heard = new Heard();
    const stream = transport.open(address, path, heard);
    stream.send([new Uint8Array(1)]);
    while (stream.bufferedBytes > 0) await new Promise(setImmediate);
    for (const wire of wires) wire.resetAndDestroy();
    await heard.untilClosed();
    expect(heard.error).toMatchObject({ code: 'CONNECTION_LOST', definite: false });
    transport.close();
    proxy.close();
    await listening.close(1_000);
  },
);

test('each class of calls has its own connection, and calls of one class share theirs', async () => {
  const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
  const remotes: string[] = [];
  const listening = await transport.listen('127.0.0.1:0', (call, stream) => {
    remotes.push(`${call.method.split('/')[2]} ${call.remote}`);
    stream.end();
    return new Heard();
  });
  const { fetch } = methods.broker;
  for (const method of [
    produce,
    produce,
    fetch,
    fetch,
    initProducer,
    methods.raft.exchange,
    methods.replication.replicate,
  ]) {
    const heard = new Heard();
    transport.open(listening.address, method.path, heard).end();
    await heard.untilClosed();
    expect(heard.error).toBeUndefined();
  }
  const ports = remotes.map((remote) => remote.split(' ')[1]);
  expect(ports[0]).toBe(ports[1]);
  expect(ports[2]).toBe(ports[3]);
  expect(ports[4]).toBe(ports[5]);
  expect(new Set(ports).size).toBe(4);
  transport.close();
  await listening.close(1_000);
});

test.each(['[::1]:0', 'localhost:0'])('listens on and calls %s', async (bindAddress) => {
  const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
  const listening = await transport.listen(bindAddress, (_call, stream) => {
    stream.end();
    return new Heard();
  });
  expect(await transport.probe(listening.address, 1_000)).toBe('open');
  for (const method of [produce, initProducer]) {
    const heard = new Heard();
    transport.open(listening.address, method.path, heard).end();
    await heard.untilClosed();
    expect(heard.error).toBeUndefined();
  }
  transport.close();
  await listening.close(1_000);
});

test('an address that is none, or that is not ours, is refused with a sentence', async () => {
  const transport = new GrpcTransport({ clock, messageBytesMax: 1_000 });
  for (const address of ['nonsense', '203.0.113.1:0']) {
    const listening = transport.listen(address, () => new Heard());
    await expect(listening).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
    await expect(listening).rejects.toThrow(address);
  }
});
