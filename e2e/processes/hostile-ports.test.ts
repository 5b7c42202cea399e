/** Whoever else speaks to the ports: the wrong method, the wrong cluster, the wrong protocol, or nothing at all. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isSluiceError, toSluiceError } from '@sluice/base';
import type { SluiceError } from '@sluice/base';
import { allMethods, methods } from '@sluice/wire';
import type { Identity, Method } from '@sluice/wire';
import { LocalCluster } from '../cluster.ts';
import { holds } from '../holds.ts';
import { HonestLoad, unharmed } from '../honest-load.ts';
import { HostileSocket } from '../hostile-socket.ts';
import { logLines, membership, stranger } from '../node-figures.ts';
import { isAlive } from '../node-processes.ts';
import { RawClient } from '../raw-client.ts';
import { until } from '../until.ts';

/** Whatever was opened, also when what comes after it could not be. */
const open = new AsyncDisposableStack();
let cluster: LocalCluster;
let honest: HonestLoad;
let raw: RawClient;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
  honest = open.use(await HonestLoad.start(cluster, { topic: 'honest' }));
  raw = open.use(new RawClient());
});
afterAll(() => open.disposeAsync());
afterEach(() => {
  expect(cluster.nodes.filter(({ pid }) => !isAlive(pid))).toEqual([]);
});

const everyPort = (): string[] => cluster.nodes.flatMap(({ client, peer, admin }) => [client, peer, admin]);
const grpcPorts = (): string[] => cluster.nodes.flatMap(({ client, peer }) => [client, peer]);

/** How a call with one message ends. */
function outcome(method: Method<unknown, unknown>, address: string, request: object): Promise<SluiceError | undefined> {
  const [message] = [method.request.encode(request as never)];
  return raw.bytes(address, method.path, [Buffer.concat(message)]);
}

describe('the wrong door', () => {
  test('client methods on the peer port, and peer methods on the client port', async () => {
    for (const method of allMethods()) {
      for (const node of cluster.nodes) {
        const error = await outcome(method, method.face === 'client' ? node.peer : node.client, {});
        expect({ path: method.path, code: error?.code, definite: error?.definite, retry: error?.retry }).toEqual({
          path: method.path,
          code: 'UNKNOWN_METHOD',
          definite: true,
          retry: 'never',
        });
        expect(error?.message).toMatch(/serves (client|peer) calls/);
      }
    }
  });

  test('garbage instead of a message, on every method', async () => {
    const garbage = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0a, 0xff]);
    for (const method of allMethods()) {
      const [node] = cluster.nodes;
      const address = method.face === 'client' ? node?.client : node?.peer;
      const error = await raw.bytes(address ?? '', method.path, [garbage]);
      expect({ path: method.path, code: error?.code, definite: error?.definite }).toEqual({
        path: method.path,
        code: 'INVALID_REQUEST',
        definite: true,
      });
    }
  });
});

describe('the wrong peer', () => {
  /** Every method by which a node speaks to another of a cluster that is born, with the least that it must say. */
  const hellos: readonly Method<unknown, unknown>[] = [
    methods.raft.exchange,
    methods.controller.register,
    methods.controller.heartbeat,
    methods.controller.alterPartitions,
    methods.controller.allocateProducerIds,
    methods.replication.replicate,
    methods.node.status,
  ] as readonly Method<unknown, unknown>[];

  const ask = async (identity: Identity | null, address: string): Promise<object[]> =>
    Promise.all(
      hellos.map(async (method) => {
        const { code, definite, message } = (await outcome(method, address, { identity })) ?? {};
        return { path: method.path, code, definite, message };
      }),
    );
  const refused = (code: string, says: RegExp): object[] =>
    hellos.map(({ path }) => ({ path, code, definite: true, message: expect.stringMatching(says) as string }));

  test('of another cluster', async () => {
    const foreign = { ...stranger, clusterId: 'c'.repeat(32) };
    for (const { peer } of cluster.nodes) {
      expect(await ask(foreign, peer)).toEqual(refused('WRONG_CLUSTER', /belongs to cluster c+, this is .*check the/));
    }
  });

  test('without an identity, with half of one, and of another protocol version', async () => {
    const [node] = cluster.nodes;
    const peer = node?.peer ?? '';
    const { identity } = await membership(raw, cluster.node(2));
    expect(await ask(null, peer)).toEqual(refused('INVALID_REQUEST', /names who speaks/));
    const halves: Partial<Identity>[] = [
      { nodeId: 0 },
      { nodeId: 2 ** 32 - 1 },
      { directoryId: 'x' },
      { incarnation: '' },
    ];
    for (const half of halves) {
      for (const answer of await ask({ ...identity, ...half }, peer)) {
        expect({ half, ...answer }).toMatchObject({ half, code: 'INVALID_REQUEST', definite: true });
      }
    }
    const newer = { ...identity, protocolVersion: 7 };
    expect(await ask(newer, peer)).toEqual(refused('UNSUPPORTED_VERSION', /speaks peer protocol 1, node 2 speaks 7/));
  });

  test('with the id of the node that it speaks to', async () => {
    for (const node of cluster.nodes) {
      const { identity } = await membership(raw, node);
      const impostor = { ...identity, directoryId: 'd'.repeat(32), incarnation: 'e'.repeat(32) };
      // A node answers anybody of its cluster about its disk, itself included.
      const answers = (await ask(impostor, node.peer)).filter(
        (answer) => !JSON.stringify(answer).includes('Node/Status'),
      );
      const wanted = refused('DUPLICATE_NODE', /give each node its own id/);
      expect(answers).toEqual(wanted.slice(0, -1));
    }
  });

  test('with the id of a node that lives: it is not let in, and the node does not notice', async () => {
    const { peer } = cluster.node(await cluster.controllerLeader());
    const node = cluster.nodes.find((each) => each.peer !== peer);
    if (node === undefined) throw new Error('no other node');
    const { identity } = await membership(raw, node);
    const registration = {
      version: '0',
      listeners: [{ name: 'client', protocol: 'grpc', address: '127.0.0.1:1' }],
      peerAddress: '127.0.0.1:1',
      adminAddress: '127.0.0.1:1',
    };
    const since = logLines(cluster.directory, node.id).length;
    for (const directoryId of ['d'.repeat(32), identity.directoryId]) {
      const impostor = { ...identity, directoryId, incarnation: 'e'.repeat(32) };
      const request = { identity: impostor, ...registration };
      const answer = await raw.rpc
        .unary(methods.controller.register, peer, request, { timeoutMs: 5000 })
        .catch(toSluiceError);
      expect(answer).toMatchObject({ code: 'DUPLICATE_NODE', definite: true });
      await outcome(methods.controller.heartbeat as Method<unknown, unknown>, peer, {
        identity: impostor,
        brokerEpoch: 1,
      });
    }
    const disturbed = async (): Promise<string | undefined> => {
      const { nodes } = await cluster.client.admin.describeCluster();
      const seen = nodes.find(({ id }) => id === node.id);
      return seen?.state === 'up' && seen.client === node.client ? undefined : JSON.stringify(seen);
    };
    await holds(disturbed, { forMs: 2000 });
    expect(logLines(cluster.directory, node.id).slice(since)).toEqual([]);
  });

  test('proposals of a cluster to nodes that have one', async () => {
    const [node] = cluster.nodes;
    if (node === undefined) throw new Error('no node');
    const before = await membership(raw, node);
    const certificate = { clusterId: 'c'.repeat(32), voters: [{ nodeId: 1, directoryId: 'd'.repeat(32) }] };
    const request = { identity: { ...before.identity, clusterId: '' }, certificate };
    const answer = await raw.rpc
      .unary(methods.birth.promise, node.peer, request, { timeoutMs: 5000 })
      .catch(toSluiceError);
    expect(isSluiceError(answer) ? answer.definite : answer.certificate).toEqual(
      isSluiceError(answer) ? true : before.certificate,
    );
    expect((await membership(raw, node)).certificate).toEqual(before.certificate);
  });
});

describe('the wrong protocol', () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const noise: readonly (readonly [string, () => Uint8Array])[] = [
    ['random bytes', () => randomBytes(4096)],
    ['a preface and random bytes', () => Buffer.concat([Buffer.from(preface), randomBytes(4096)])],
    ['random bytes after the settings', () => Buffer.concat([Buffer.from(preface), settings, randomBytes(65_536)])],
    ['a TLS hello', () => Buffer.from('16030100c8010000c40303'.padEnd(400, '0'), 'hex')],
  ];

  test.each(noise)('%s', async (_name, bytes) => {
    for (const address of everyPort()) {
      using socket = await new HostileSocket(address).connected();
      socket.send(bytes());
      await socket.closed(12_000);
      expect(socket.isOpen).toBe(false);
    }
  });

  test('HTTP/1 gets words from the admin port and the door from the others', async () => {
    for (const { admin } of cluster.nodes) {
      expect((await fetch(`http://${admin}/livez`)).status).toBe(200);
      expect((await fetch(`http://${admin}/nowhere`)).status).toBe(404);
      expect((await fetch(`http://${admin}/livez`, { method: 'POST', body: 'x' })).status).toBe(405);
      using socket = await new HostileSocket(admin).connected();
      await socket.send('GET //// HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n').closed(5000);
      expect(socket.received).toMatch(/^HTTP\/1\.1 4\d\d /);
    }
    for (const address of grpcPorts()) {
      using socket = await new HostileSocket(address).connected();
      await socket.send('GET / HTTP/1.1\r\nhost: x\r\n\r\n').closed(12_000);
    }
  });

  test('connections that say nothing, and half of a preface, are closed in time', async () => {
    const silent = await Promise.all(grpcPorts().map((address) => new HostileSocket(address).connected()));
    const halves = await Promise.all(grpcPorts().map((address) => new HostileSocket(address).connected()));
    for (const half of halves) half.send(preface.slice(0, 10));
    const all = [...silent, ...halves];
    await Promise.all(all.map((socket) => socket.closed(12_000)));
    expect(all.filter((socket) => socket.isOpen)).toEqual([]);
    for (const socket of all) socket[Symbol.dispose]();
  });

  test('200 idle connections to each port', async () => {
    const idle = everyPort().flatMap((address) => Array.from({ length: 200 }, () => new HostileSocket(address)));
    await honest.acks(200);
    for (const { admin } of cluster.nodes) {
      // It takes 64 at a time, and lets go of those that ask nothing.
      const ready = async (): Promise<true | undefined> =>
        (await fetch(`http://${admin}/readyz`)).status === 200 ? true : undefined;
      await until(ready, { what: 'an answer beside idle connections', timeoutMs: 15_000 });
    }
    expect((await cluster.client.admin.describeCluster()).nodes.map(({ state }) => state)).toEqual(['up', 'up', 'up']);
    for (const socket of idle) socket[Symbol.dispose]();
  });
});

test('no node met anything that it did not expect, and the honest producer lost nothing', async () => {
  await honest.acks(100);
  expect(await honest.finish()).toMatchObject(unharmed);
  for (const { id } of cluster.nodes) {
    const bugs = logLines(cluster.directory, id).filter(({ level }) => level !== 'info');
    expect(bugs).toEqual([]);
  }
});
