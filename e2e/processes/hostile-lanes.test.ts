/** Both lanes of a node under attack, beside a producer and a consumer that must not notice. */
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:http2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Sluice } from '@sluice/client';
import { Acks, methods } from '@sluice/wire';
import type { FetchRequest, Partially, ProduceRequest } from '@sluice/wire';
import { LocalCluster } from '../cluster.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { call, frame, hello, helloWith, lanes, laneSetting, settings } from '../hostile-frames.ts';
import type { Lane } from '../hostile-frames.ts';
import { HostileSocket } from '../hostile-socket.ts';
import { rage, storms } from '../hostile-storms.ts';
import { logLines, metric } from '../node-figures.ts';
import { isAlive, startNode } from '../node-processes.ts';
import type { NodeFacts } from '../node-processes.ts';
import { batchOf } from '../raw-batch.ts';
import { until } from '../until.ts';

const mebibyte = 1_048_576;
/**
 * Of one attack: 32 MiB of receive budget and 32 MiB of tail, as `sluice dev` sets them, and as much again that is not
 * collected yet (docs/architecture.md, Memory).
 */
const growthBytesMax = 128 * mebibyte;
const survived = { isAlive: true, overMemoryBytes: 0, failures: {} };
const stormMs = 150;
const { produce, fetch: consume } = methods.broker;

const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let honest: HonestLoad;
let topicId: string;
/** Leads the topic that is attacked. */
let node: NodeFacts;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  honest = open.use(await HonestLoad.start(cluster, { topic: 'honest' }));
  topicId = (await cluster.client.admin.createTopic({ name: 'target', replication: 3 })).id;
  node = cluster.node(await cluster.leaderOf('target', 0));
});
afterAll(() => open.disposeAsync());

/** How the node is during an attack and after it, when honest records came through. */
async function outcome(attack: () => Promise<unknown>): Promise<object> {
  const resident = async (): Promise<number> => (await metric(node, 'sluice_process_resident_bytes')) ?? 0;
  const before = await resident();
  let peak = before;
  let isOver = false;
  const look = async (): Promise<true | undefined> => {
    peak = Math.max(peak, await resident());
    return isOver || undefined;
  };
  const watching = until(look, { what: 'the end of an attack', timeoutMs: 60_000, everyMs: 50 });
  try {
    await attack();
    await honest.acks(20);
  } finally {
    isOver = true;
    await watching;
  }
  const overMemoryBytes = Math.max(0, peak - before - growthBytesMax);
  return { isAlive: isAlive(node.pid), overMemoryBytes, failures: Object.fromEntries(honest.load.failures) };
}

/** A client that begins now: what the attack held is free again. */
async function newcomerIsServed(): Promise<void> {
  await using sluice = new Sluice({ bootstrap: [node.client], requestTimeoutMs: 5_000 });
  expect(await sluice.producer().send('target', { value: 'new' })).toMatchObject({ partition: 0 });
}

async function sessionOf(lane: Lane): Promise<ClientHttp2Session> {
  const session = connect(`http://${node.client}`, {
    // In MiB: what waits here is not this side's to refuse.
    maxSessionMemory: 1_024,
    remoteCustomSettings: [laneSetting],
    settings: lane === 'fast' ? { customSettings: { [laneSetting]: 1 } } : {},
  });
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  expect(session.remoteSettings.customSettings?.[laneSetting]).toBe(lane === 'fast' ? 1 : undefined);
  return session;
}

function streamOf(session: ClientHttp2Session, { path }: { readonly path: string }): ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
  stream.on('error', () => undefined);
  return stream;
}

function framed(body: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.byteLength, 1);
  return Buffer.concat([prefix, body]);
}
const producing = (request: Partially<ProduceRequest>): Buffer =>
  framed(Buffer.concat(produce.request.encode(request as ProduceRequest)));
const consuming = (request: Partially<FetchRequest>): Buffer =>
  framed(Buffer.concat(consume.request.encode(request as FetchRequest)));

test.each(Object.entries(storms))('a storm on both lanes: %s', async (_name, storm) => {
  expect(await outcome(() => rage(node.client, lanes, storm, stormMs))).toEqual(survived);
});

test('a storm on the peer port', async () => {
  const storm = storms['calls that open a stream and are reset'] ?? {};
  expect(await outcome(() => rage(node.peer, lanes, storm, stormMs))).toEqual(survived);
});

test('2,000 idle connections, half of them with a hello', async () => {
  const sockets: HostileSocket[] = [];
  const attacked = await outcome(async () => {
    for (let at = 0; at < 1_000; at += 1) {
      sockets.push(new HostileSocket(node.client).send(hello(at % 2 === 0 ? 'fast' : 'slow')));
      sockets.push(new HostileSocket(node.client));
      if (at % 50 === 0) await honest.acks(1);
    }
    await Promise.all(sockets.map((socket) => socket.connected()));
    // Silent ones are closed in time; the others stay, as many as a listener takes.
    const settled = (): true | undefined =>
      sockets.every((socket, at) => (at % 2 === 0 ? socket.received !== '' || !socket.isOpen : !socket.isOpen)) ||
      undefined;
    await until(settled, { what: 'the end of silent connections', timeoutMs: 10_000 });
    expect(sockets.filter((socket) => socket.isOpen).length).toBeGreaterThan(900);
  });
  expect(attacked).toEqual(survived);
  for (const socket of sockets) socket[Symbol.dispose]();
  await newcomerIsServed();
});

describe.each(lanes)('on the %s lane', (lane) => {
  test('slowly: a byte of the hello now and then, and of a message', async () => {
    const attacked = await outcome(async () => {
      const drips = Array.from({ length: 100 }, () => new HostileSocket(node.client));
      const talkers = Array.from({ length: 100 }, () => new HostileSocket(node.client));
      await Promise.all([...drips, ...talkers].map((socket) => socket.connected()));
      for (const socket of talkers) socket.send(Buffer.concat([hello(lane), call(produce.path, 1)]));
      const prefixOfMuch = Buffer.from([0, 0, 0xff, 0xff, 0xff]);
      let at = 0;
      const drip = (): true | undefined => {
        for (const socket of drips) if (socket.isOpen) socket.send(hello(lane).subarray(at, at + 1));
        const piece = frame('data', at < 5 ? prefixOfMuch.subarray(at, at + 1) : Buffer.from([0x78]), { stream: 1 });
        for (const socket of talkers) socket.send(piece);
        at += 1;
        return drips.every((socket) => !socket.isOpen) || undefined;
      };
      await until(drip, { what: 'the end of those that drip', timeoutMs: 4_000, everyMs: 100 });
      expect(talkers.filter((socket) => socket.isOpen).length).toBe(100);
      for (const socket of talkers) socket[Symbol.dispose]();
    });
    expect(attacked).toEqual(survived);
  });

  test('credit that is overrun: the stream is closed, with the reason', async () => {
    const session = await sessionOf(lane);
    const batch = batchOf(['x'.repeat(60_000)]);
    const attacked = await outcome(async () => {
      const ended = await Promise.all(
        Array.from({ length: 8 }, async () => {
          const stream = streamOf(session, produce);
          stream.resume();
          // Whichever has the status: an answer may be nothing but its headers.
          const status = new Promise<Record<string, unknown>>((resolve) => {
            for (const event of ['response', 'trailers']) {
              stream.on(event, (headers: Record<string, unknown>) => {
                if ('grpc-status' in headers) resolve(headers);
              });
            }
          });
          stream.write(producing({ open: { clientId: 'overrun', acks: Acks.all } }));
          for (let requestId = 1; requestId <= 200; requestId += 1) {
            stream.write(producing({ batches: [{ requestId, topicId, partition: 0, batch }] }));
          }
          return Buffer.from(String((await status)['sluice-error-bin']), 'base64').toString('latin1');
        }),
      );
      for (const error of ended) expect(error).toContain('CREDIT_EXCEEDED');
    });
    expect(attacked).toEqual(survived);
    session.destroy();
    await newcomerIsServed();
  });

  test('consumers that grant much and read nothing', async () => {
    const producer = cluster.client.producer();
    // 8 MB, for each of a hundred streams.
    await Promise.all(Array.from({ length: 128 }, () => producer.send('target', { value: 'x'.repeat(60_000) })));
    const sessions = await Promise.all(Array.from({ length: 10 }, () => sessionOf(lane)));
    const attacked = await outcome(async () => {
      for (const session of sessions) {
        const streams = Array.from({ length: 10 }, () => streamOf(session, consume).pause());
        for (const stream of streams) {
          const start = [{ subscription: 1, topicId, partition: 0, offset: 0 }];
          stream.write(consuming({ open: { clientId: 'stalled' }, start, creditBytes: 0x7fff_ffff } as never));
        }
      }
      await honest.acks(100);
    });
    expect(attacked).toEqual(survived);
    for (const session of sessions) session.destroy();
  });
});

test('hellos that are none, or not ours', async () => {
  const many = (count: number): [number, number][] => Array.from({ length: count }, () => [4, 65_535]);
  const cut = [
    helloWith(...many(171)),
    helloWith(...many(2_700)),
    Buffer.concat([hello('fast').subarray(0, 24), call('/x', 1)]),
  ];
  const slow = [helloWith([laneSetting, 2]), helloWith([laneSetting, 0], [laneSetting, 1]), helloWith(...many(30))];
  const attacked = await outcome(async () => {
    for (const bytes of cut) {
      using socket = await new HostileSocket(node.client).connected();
      await socket.send(bytes).closed(1_500);
      expect(socket.received).toBe('');
    }
    for (const bytes of [...slow, Buffer.concat([hello('fast'), settings([4, 0])])]) {
      using socket = await new HostileSocket(node.client).connected();
      const pings = Buffer.concat([bytes, frame('ping', Buffer.from('a-life!?'))]);
      const answered = (): true | undefined => socket.send('').received.includes('a-life!?') || undefined;
      socket.send(pings);
      await until(answered, { what: 'an answer to a ping', timeoutMs: 5_000 });
      socket.endHalf();
      await socket.closed(5_000);
    }
  });
  expect(attacked).toEqual(survived);
});

test('what was held is given back: as many connections and as large windows as at first', async () => {
  const sessions = await Promise.all(Array.from({ length: 40 }, () => sessionOf('fast')));
  for (const session of sessions) {
    streamOf(session, produce)
      .resume()
      .write(producing({ open: { clientId: 'grown', acks: Acks.all } }));
  }
  const grown = (): true | undefined =>
    sessions.every(({ remoteSettings }) => remoteSettings.initialWindowSize === 4 * mebibyte) || undefined;
  expect(await until(grown, { what: 'windows of 4 MiB', timeoutMs: 5_000 })).toBe(true);
  for (const session of sessions) session.destroy();
});

test('no node noticed anything, and the honest lost nothing', async () => {
  await honest.acks(100);
  for (const { id } of cluster.nodes) {
    expect(logLines(cluster.directory, id).filter(({ level }) => level !== 'info')).toEqual([]);
  }
  expect(await honest.finish()).toMatchObject(unharmed);
});

test('SIGTERM in the middle of it: the node ends in order, in its time', async () => {
  await cluster.kill(node.id);
  const child = startNode(node, cluster.directory);
  try {
    await cluster.waitHealthy();
    const attack = rage(node.client, lanes, storms['windows that grow by a byte'] ?? {}, 1_000).catch(() => undefined);
    const idle = lanes.map((lane) =>
      new HostileSocket(node.client).send(Buffer.concat([hello(lane), call(produce.path, 1)])),
    );
    const greeted = (): true | undefined => idle.every(({ received }) => received !== '') || undefined;
    await until(greeted, { what: 'the settings of the node', timeoutMs: 5_000 });
    const startedMs = performance.now();
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    for (const socket of idle) socket[Symbol.dispose]();
    await attack;
  } finally {
    child.kill('SIGKILL');
  }
});
