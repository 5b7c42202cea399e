import type { ProbeResult, Transport } from '@sluice/base';
import { brokerEpoch, clusterId, directoryId, logIndex, nodeId, silentLogger, term } from '@sluice/base';
import type { MemberId, RaftMessage } from '@sluice/raft';
import { defaultLimits, Dispatcher, MemoryNetwork, MemoryTransport, methods, RpcClient } from '@sluice/wire';
import type { PeerSelf } from '@sluice/wire';
import { expect, test } from 'vitest';
import { ManualClock } from '@sluice/wire';
import { memberOf } from './members.ts';
import { RaftPeers } from './raft-peers.ts';
import type { Remembered } from './raft-peers.ts';

const cluster = clusterId('c'.repeat(32));
const address = (id: number): string => `10.0.0.${id}:7651`;
const nothing: Remembered = { term: 0, matchIndex: 0, brokerEpoch: 0 };

class Member {
  readonly heard: { from: MemberId; message: RaftMessage }[] = [];
  readonly told: Remembered[] = [];
  readonly gone: MemberId[] = [];
  /** What the other kernel says instead of the network's. */
  probe: ProbeResult | undefined;
  readonly self: PeerSelf;
  readonly peers: RaftPeers;
  readonly id: MemberId;
  readonly transport: MemoryTransport;
  remembers = new Map<MemberId, Remembered>();
  onTold: () => void = () => undefined;

  readonly clock: ManualClock;

  constructor({ clock, network }: { clock: ManualClock; network: MemoryNetwork }, node: number, directory: string) {
    this.clock = clock;
    this.self = {
      nodeId: nodeId(node),
      directoryId: directoryId(directory.repeat(32)),
      incarnation: `${directory}${node}`.padEnd(32, '0'),
      clusterId: cluster,
      brokerEpoch: brokerEpoch(0),
    };
    this.id = memberOf(this.self);
    this.transport = new MemoryTransport(network, `node${node}`);
    this.peers = new RaftPeers({
      self: this.self,
      rpc: new RpcClient(this.transport),
      transport: this.#probing(),
      clock,
      logger: silentLogger,
      peerAddress: address(node),
      addressOf: (id) => ({ configured: id <= 3 ? address(id) : undefined, registered: undefined }),
      remembered: (member) => this.remembers.get(member) ?? nothing,
      onMessage: (from, message) => void this.heard.push({ from, message }),
      onGone: (member) => void this.gone.push(member),
      onRemembered: (remembered) => {
        this.told.push(remembered);
        this.onTold();
      },
    });
  }

  #probing(): Transport {
    const { transport } = this;
    return {
      open: (...call) => transport.open(...call),
      listen: (at, accept) => transport.listen(at, accept),
      probe: async (...where) => this.probe ?? transport.probe(...where),
      close: () => transport.close(),
    };
  }

  async listen(): Promise<this> {
    const { clock } = this;
    const limits = defaultLimits.peer;
    const dispatcher = new Dispatcher({
      face: 'peer',
      listener: 'peer',
      limits,
      logger: silentLogger,
      clock,
      authorize: () => true,
    });
    this.peers.serve(dispatcher);
    await this.transport.listen(address(this.self.nodeId), dispatcher.accept);
    return this;
  }

  get terms(): readonly number[] {
    return this.heard.map(({ message }) => message.term);
  }
}

function world() {
  const clock = new ManualClock();
  const network = new MemoryNetwork({ clock });
  return {
    clock,
    network,
    member: (node: number, directory: string) => new Member({ clock, network }, node, directory),
  };
}

const heartbeat = (number: number): RaftMessage => ({
  kind: 'heartbeat',
  term: term(number),
  session: { term: term(number), configIndex: logIndex(0), attempt: 0 },
  commitIndex: logIndex(0),
  round: 0,
});

test('messages arrive in order, under the name of who sent them', async () => {
  const { clock, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  for (const number of [1, 2, 3]) one.peers.send(two.id, heartbeat(number));
  await clock.settle();
  expect([two.terms, new Set(two.heard.map(({ from }) => from))]).toEqual([[1, 2, 3], new Set([one.id])]);
});

test('a message for a member never reaches another directory under its node id (N1)', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  one.peers.send(two.id, heartbeat(1));
  await clock.settle();
  network.crash('node2');
  await clock.pass(100);
  const wiped = await member(2, 'd').listen();
  for (let number = 2; number < 40; number += 1) {
    one.peers.send(two.id, heartbeat(number));
    await clock.pass(50);
  }
  expect([two.terms, wiped.terms]).toEqual([[1], []]);
  one.peers.send(wiped.id, heartbeat(77));
  await clock.settle();
  expect(wiped.terms).toEqual([77]);
});

test('a member that no configuration names is answered where its hello says', async () => {
  const { clock, member } = world();
  const [one, fourth] = [await member(1, 'a').listen(), await member(4, 'f').listen()];
  one.peers.send(fourth.id, heartbeat(1));
  await clock.pass(100);
  expect(fourth.terms).toEqual([]);
  fourth.peers.send(one.id, heartbeat(2));
  await clock.pass(100);
  one.peers.send(fourth.id, heartbeat(3));
  await clock.pass(100);
  expect([one.terms, fourth.terms.at(-1)]).toEqual([[2], 3]);
});

test('a wiped directory in the place of a member is not asked all the time', async () => {
  const { clock, member } = world();
  const [one, wiped] = [await member(1, 'a').listen(), await member(2, 'd').listen()];
  const gone = memberOf({ ...wiped.self, directoryId: directoryId('b'.repeat(32)) });
  let hellos = 0;
  wiped.remembers = { get: () => void (hellos += 1) } as never;
  for (let at = 0; at < 60; at += 1) {
    one.peers.send(gone, heartbeat(1));
    await clock.pass(50);
  }
  expect(hellos).toBeLessThan(6);
});

test('what is remembered of a member is told to it before anything that waits is sent; what it withdraws then never is (N2)', async () => {
  const { clock, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  two.remembers.set(one.id, { term: 7, matchIndex: 9, brokerEpoch: 4 });
  one.onTold = () => one.peers.dropUnsent();
  one.peers.send(two.id, { kind: 'vote-reply', pre: false, term: term(5), granted: true });
  await clock.settle();
  expect([one.told, two.heard]).toEqual([[{ term: 7, matchIndex: 9, brokerEpoch: 4 }], []]);
  one.peers.send(two.id, heartbeat(6));
  await clock.settle();
  expect(two.terms).toEqual([6]);
});

test('a closed stream behind which nobody listens is told once; one that never stood is not', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  const absent = memberOf({ nodeId: nodeId(3), directoryId: directoryId('e'.repeat(32)) });
  one.peers.send(absent, heartbeat(1));
  one.peers.send(two.id, heartbeat(1));
  await clock.pass(500);
  expect(one.gone).toEqual([]);
  network.crash('node2');
  await clock.pass(500);
  expect(one.gone).toEqual([two.id]);
  await two.transport.listen(address(2), () => ({
    onMessage: () => undefined,
    onEnd: () => undefined,
    onClose: () => undefined,
  }));
});

test('a closed stream behind which nobody answers is a member that is gone, until it is heard of again', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  one.peers.send(two.id, heartbeat(1));
  await clock.settle();
  one.probe = 'unanswered';
  network.disconnect('node1', 'node2');
  await clock.pass(300);
  expect([one.gone, one.peers.isGone(nodeId(2))]).toEqual([[two.id], true]);
  two.peers.send(one.id, heartbeat(1));
  await clock.pass(100);
  expect(one.peers.isGone(nodeId(2))).toBe(false);
});

test('a stream that only broke is opened again, and nobody is called dead', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  one.peers.send(two.id, heartbeat(1));
  await clock.settle();
  network.disconnect('node1', 'node2');
  await clock.pass(300);
  one.peers.send(two.id, heartbeat(2));
  await clock.pass(100);
  expect([two.terms, one.gone]).toEqual([[1, 2], []]);
});

test.each([
  ['a node id that cannot be', { nodeId: 2 ** 31 }, [], 'INVALID_REQUEST'],
  [
    'this very node',
    { nodeId: 2, directoryId: 'b'.repeat(32), incarnation: 'b2'.padEnd(32, '0') },
    [],
    'INVALID_REQUEST',
  ],
  ['another cluster', { clusterId: 'e'.repeat(32) }, [], 'WRONG_CLUSTER'],
  ['no message', {}, [Uint8Array.of(1, 2)], 'INVALID_REQUEST'],
  ['a message of another version', {}, [Uint8Array.of(9, 0, 0, 0, 0)], 'UNSUPPORTED_VERSION'],
])('%s ends the stream with a sentence and is heard by nobody', async (_what, odd, messages, code) => {
  const { clock, network, member } = world();
  const two = await member(2, 'b').listen();
  const identity = {
    clusterId: cluster,
    nodeId: 1,
    directoryId: 'a'.repeat(32),
    incarnation: 'f'.repeat(32),
    protocolVersion: 1,
    brokerEpoch: 0,
  };
  let closed: unknown;
  const stranger = new RpcClient(new MemoryTransport(network, 'stranger'));
  const sender = stranger.stream(methods.raft.exchange, address(2), {
    onMessage: () => undefined,
    onClose: (error) => {
      closed = error;
    },
  });
  sender.send({ identity: { ...identity, ...odd }, messages });
  await clock.settle();
  expect([closed, two.heard]).toMatchObject([{ code }, []]);
});
