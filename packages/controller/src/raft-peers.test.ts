import type { Listening, LogFields, ProbeResult, Transport } from '@sluice/base';
import { brokerEpoch, clusterId, directoryId, logIndex, nodeId, silentLogger, term } from '@sluice/base';
import { defaultRaftConfig, entriesMax } from '@sluice/raft';
import type { MemberId, RaftMessage } from '@sluice/raft';
import { defaultLimits, Dispatcher, MemoryNetwork, MemoryTransport, methods, RpcClient } from '@sluice/wire';
import type { PeerSelf } from '@sluice/wire';
import { expect, test } from 'vitest';
import { ManualClock } from '@sluice/wire';
import { emptyAppend } from './empty-append.testing.ts';
import { memberOf, parseMember } from './members.ts';
import { encodeRaftMessage } from './raft-codec.ts';
import { RaftPeers } from './raft-peers.ts';
import type { Remembered } from './raft-peers.ts';

/** Each process draws its own. */
const incarnations = (
  (drawn) => () =>
    `${(drawn += 1)}`.padStart(32, '0')
)(0);
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

  durableIndex = 0;
  votesRevoked = false;
  readonly said: { readonly phrase: string; readonly fields: LogFields }[] = [];
  readonly #address: string;
  #listening: Listening | undefined;

  constructor(
    { clock, network }: { clock: ManualClock; network: MemoryNetwork },
    node: number,
    directory: string,
    place: { readonly machine: string; readonly address: string } = { machine: `node${node}`, address: address(node) },
  ) {
    this.clock = clock;
    this.#address = place.address;
    this.self = {
      nodeId: nodeId(node),
      directoryId: directoryId(directory.repeat(32)),
      incarnation: incarnations(),
      clusterId: cluster,
      brokerEpoch: brokerEpoch(0),
    };
    this.id = memberOf(this.self);
    this.transport = new MemoryTransport(network, place.machine);
    this.peers = new RaftPeers({
      self: this.self,
      rpc: new RpcClient(this.transport),
      transport: this.#probing(),
      clock,
      logger: { ...silentLogger, error: (phrase, fields = {}) => void this.said.push({ phrase, fields }) },
      peerAddress: place.address,
      isController: true,
      durableIndex: () => this.durableIndex,
      votesRevoked: () => this.votesRevoked,
      addressesOf: (member) => {
        const { nodeId: id } = parseMember(member);
        return { given: id <= 3 ? [address(id)] : [], heard: [] };
      },
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
    this.#listening = await this.transport.listen(this.#address, dispatcher.accept);
    return this;
  }

  /** Listens no more, and closes nothing. */
  silence(): void {
    void this.#listening?.close(60_000);
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

test('what a member stated with what it sent is told to its next life: a leader acknowledges nothing (N2)', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  two.durableIndex = 40;
  two.peers.send(one.id, heartbeat(1));
  await clock.pass(100);
  const copy = await copyOf(two, { clock, network });
  copy.durableIndex = 99;
  copy.peers.send(one.id, heartbeat(2));
  await clock.pass(100);
  network.crash('node2');
  network.crash('copy');
  const again = await member(2, 'b').listen();
  again.peers.send(one.id, heartbeat(3));
  await clock.pass(1_000);
  expect([one.terms, again.told]).toEqual([[1, 3], [{ ...nothing, matchIndex: 40 }]]);
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

/** The same node and directory in another process, on a machine of its own. */
async function copyOf(original: Member, at: { readonly clock: ManualClock; readonly network: MemoryNetwork }) {
  const { nodeId: node, directoryId: directory } = original.self;
  const copy = new Member(at, node, directory[0] ?? '', { machine: 'copy', address: address(9) });
  await copy.listen();
  expect([copy.id, copy.self.incarnation === original.self.incarnation]).toEqual([original.id, false]);
  return copy;
}

const refusals = ({ said }: Member) => said.filter(({ phrase }) => phrase === 'another node refuses this one');

test('a copy of a directory is not heard while the original answers at its address, and is told so (N6)', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  two.peers.send(one.id, heartbeat(1));
  await clock.pass(100);
  const copy = await copyOf(two, { clock, network });
  for (const number of [50, 51, 52]) {
    copy.peers.send(one.id, heartbeat(number));
    await clock.pass(400);
  }
  expect(one.terms).toEqual([1]);
  const [refusal] = refusals(copy);
  expect(refusal?.fields['code']).toBe('DUPLICATE_NODE');
  expect(refusal?.fields['reason']).toContain(address(2));
  two.peers.send(one.id, heartbeat(2));
  await clock.pass(100);
  expect([one.terms, refusals(two)]).toEqual([[1, 2], []]);
});

test('a copy is not heard before the original either: nobody answers for it at the address (N6)', async () => {
  const { clock, network, member } = world();
  const one = await member(1, 'a').listen();
  const copy = await copyOf(member(2, 'b'), { clock, network });
  for (const number of [50, 51, 52]) {
    copy.peers.send(one.id, heartbeat(number));
    await clock.pass(400);
  }
  expect(one.terms).toEqual([]);
  const two = await member(2, 'b').listen();
  two.peers.send(one.id, heartbeat(1));
  await clock.pass(200);
  expect(one.terms).toEqual([1]);
});

test('a member without a given address that moved is heard once nobody answers at the old one (N6)', async () => {
  const { clock, network, member } = world();
  const [one, fourth] = [await member(1, 'a').listen(), await member(4, 'f').listen()];
  fourth.peers.send(one.id, heartbeat(1));
  await clock.pass(100);
  const moved = await copyOf(fourth, { clock, network });
  moved.peers.send(one.id, heartbeat(50));
  await clock.pass(1_000);
  expect(one.terms).toEqual([1]);
  network.crash('node4');
  for (const number of [2, 3, 4, 5]) {
    moved.peers.send(one.id, heartbeat(number));
    await clock.pass(500);
  }
  expect(one.terms.at(-1)).toBe(5);
  one.peers.send(fourth.id, heartbeat(6));
  await clock.pass(100);
  expect([moved.terms, one.peers.announced(fourth.id)?.address]).toEqual([[6], address(9)]);
});

test('a member that started again is heard at once, though the stream to its earlier life still stands (N6)', async () => {
  const { clock, network, member } = world();
  const [one, two] = [await member(1, 'a').listen(), await member(2, 'b').listen()];
  one.peers.send(two.id, heartbeat(1));
  two.peers.send(one.id, heartbeat(1));
  await clock.pass(100);
  // The machine lost its power: no stream is closed, and nobody knows.
  two.silence();
  const again = new Member({ clock, network }, 2, 'b', { machine: 'node2-again', address: address(2) });
  await again.listen();
  again.peers.send(one.id, heartbeat(2));
  await clock.pass(100);
  one.peers.send(two.id, heartbeat(3));
  await clock.pass(100);
  expect([one.terms, again.terms]).toEqual([[1, 2], [3]]);
});

test('a request to observe is heard at once: it promises nothing (N6)', async () => {
  const { clock, member } = world();
  const [one, fourth] = [await member(1, 'a').listen(), member(4, 'f')];
  const observe: RaftMessage = { kind: 'observe', term: term(3), lastIndex: logIndex(0), lastTerm: term(0) };
  fourth.peers.send(one.id, observe);
  await clock.pass(100);
  fourth.peers.send(one.id, heartbeat(4));
  await clock.pass(100);
  expect(one.terms).toEqual([3]);
});

const entriesOfOne = entriesMax(defaultRaftConfig.appendBytesMax);
const crowded = encodeRaftMessage(emptyAppend(entriesOfOne + 1));

test('what is held of a member that is not confirmed counts by what it takes, not by its bytes (N6)', async () => {
  const { clock, member } = world();
  const two = await member(2, 'b').listen();
  const one = member(1, 'a');
  for (let sent = 0; sent < 20; sent += 1) one.peers.send(two.id, emptyAppend(entriesOfOne));
  await clock.pass(500);
  expect(two.heard.length).toBe(0);
  await one.listen();
  await clock.pass(500);
  // 8 MiB, of which each takes more than one.
  expect(two.heard.length).toBe(7);
});

test.each([
  ['a node id that cannot be', { nodeId: 2 ** 31 }, [], 'INVALID_REQUEST'],
  ['this very node', { nodeId: 2, directoryId: 'b'.repeat(32), incarnation: 'own' }, [], 'INVALID_REQUEST'],
  ['another cluster', { clusterId: 'e'.repeat(32) }, [], 'WRONG_CLUSTER'],
  ['no message', {}, [Uint8Array.of(2, 200)], 'INVALID_REQUEST'],
  ['more entries than anybody sends', {}, [crowded], 'INVALID_REQUEST'],
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
    ...odd,
  };
  if (identity.incarnation === 'own') identity.incarnation = two.self.incarnation;
  let closed: unknown;
  const stranger = new RpcClient(new MemoryTransport(network, 'stranger'));
  const sender = stranger.stream(methods.raft.exchange, address(2), {
    onMessage: () => undefined,
    onClose: (error) => {
      closed = error;
    },
  });
  sender.send({ identity, messages });
  await clock.settle();
  expect([closed, two.heard]).toMatchObject([{ code }, []]);
});
