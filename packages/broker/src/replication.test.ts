/** Leader and follower sides together: real brokers; and each side against a peer that the test plays. */
import { offset } from '@sluice/base';
import type { SluiceError, TopicId } from '@sluice/base';
import { patchBatch } from '@sluice/record';
import { MemoryTransport, methods, RpcClient } from '@sluice/wire';
import type { Partially, ReplicaPush, ReplicateRequest, ReplicateResponse, StreamSender } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, peerAddress } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

interface Ready {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
  readonly leader: number;
  readonly follower: number;
}

async function ready(options: { minIsr?: number } = {}, delayMs?: number): Promise<Ready> {
  const cluster = new BrokerCluster({}, delayMs);
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic(options);
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  return { cluster, topic, leader, follower: leader === 3 ? 2 : 3 };
}

async function produce({ cluster, topic }: Ready, at: number, batches: readonly Uint8Array[]): Promise<ProduceClient> {
  const client = new ProduceClient(cluster, at);
  for (const batch of batches) {
    const id = client.send(topic, batch);
    await cluster.clock.until('it is answered', () => client.results.has(id));
  }
  return client;
}

const isrOf = ({ cluster, topic }: Ready): readonly number[] => cluster.image.topic(topic)?.partitions[0]?.isr ?? [];

function endAt({ cluster }: Ready, id: number): number {
  const { nodeLog } = cluster.at(id);
  return nodeLog.log(nodeLog.logIds()[0]!).endOffset;
}

test('a follower that restarts in the middle of its stream catches up and rejoins the ISR', async () => {
  const it = await ready();
  await produce(it, it.leader, [producedBatch(), producedBatch()]);
  it.cluster.kill(it.follower);
  it.cluster.fence(it.follower);
  await produce(it, it.leader, [producedBatch(), producedBatch()]);
  await it.cluster.start(it.follower);
  await it.cluster.clock.until('it is in sync', () => isrOf(it).includes(it.follower));
  expect(endAt(it, it.follower)).toBe(4);
});

test('a follower whose disk hangs, as metadata says, is not proposed as a member before it answers (D9)', async () => {
  const it = await ready();
  const { id: nodeId, identity } = it.cluster.at(it.follower);
  it.cluster.disks.get(it.follower)?.holdSyncs();
  new ProduceClient(it.cluster, it.leader).send(it.topic, producedBatch());
  await it.cluster.clock.until('it left', () => !isrOf(it).includes(it.follower));
  const stall = (stalled: boolean): void => {
    const about = { nodeId, brokerEpoch: identity.brokerEpoch, stalled };
    it.cluster.decide({ type: 'stallNode', ...about });
  };
  stall(true);
  it.cluster.disks.get(it.follower)?.releaseSyncs();
  const before = it.cluster.alterations.length;
  await it.cluster.clock.pass(3_000);
  expect([endAt(it, it.follower), it.cluster.alterations.length]).toEqual([1, before]);
  stall(false);
  await it.cluster.clock.until('it is in sync', () => isrOf(it).includes(it.follower));
});

test('a follower that was fenced and registers anew in one life rejoins over a stream of its new epoch (F4)', async () => {
  const it = await ready();
  await produce(it, it.leader, [producedBatch()]);
  const before = it.cluster.at(it.follower).identity.brokerEpoch;
  // Only the controller lost sight of it: its stream to the leader never closed, and it hears of it late.
  it.cluster.fence(it.follower);
  it.cluster.at(it.follower).feed.held = true;
  const incarnation = it.cluster.at(it.follower).identity.incarnation;
  const known = it.cluster.image.node(it.cluster.at(it.follower).id)!;
  it.cluster.decide({
    ...known,
    type: 'registerNode',
    incarnation: incarnation.split('').toReversed().join(''),
    lastBrokerEpoch: before,
    lossy: false,
    unclean: false,
    sessionLive: false,
  });
  await it.cluster.clock.until('it has a new epoch', () => it.cluster.at(it.follower).identity.brokerEpoch > before);
  await it.cluster.clock.pass(100);
  it.cluster.at(it.follower).feed.held = false;
  it.cluster.at(it.follower).feed.catchUp();
  await it.cluster.clock.until('it is in sync', () => isrOf(it).includes(it.follower));
  const client = await produce(it, it.leader, [producedBatch()]);
  expect(client.results.get(1)).toBe(1);
  await it.cluster.clock.pass(500);
  expect(endAt(it, it.follower)).toBe(2);
});

test('a leader that is fenced loses what only it had, and follows the new one', async () => {
  const it = await ready();
  await produce(it, it.leader, [producedBatch()]);
  for (const id of [1, 2, 3]) if (id !== it.leader) it.cluster.network.cut(`node${it.leader}`, `node${id}`);
  const lonely = new ProduceClient(it.cluster, it.leader);
  lonely.send(it.topic, producedBatch({ valueBytes: 50 }));
  await it.cluster.clock.settle();
  expect(endAt(it, it.leader)).toBe(2);
  it.cluster.fence(it.leader);
  const next = it.cluster.image.topic(it.topic)?.partitions[0]?.leader ?? 0;
  await it.cluster.clock.pass(300);
  const client = await produce(it, next, [producedBatch({ records: 3 })]);
  expect(client.results.get(1)).toBe(1);
  for (const id of [1, 2, 3]) if (id !== it.leader) it.cluster.network.heal(`node${it.leader}`, `node${id}`);
  await it.cluster.clock.until('it is in sync', () => isrOf(it).includes(it.leader));
  expect([endAt(it, it.leader), lonely.results.get(1)]).toEqual([4, 'LEADERSHIP_LOST']);
  for (const { halts } of it.cluster.brokers.values()) expect(halts).toEqual([]);
});

test.each([0, 60, 120, 180])(
  'a position that comes before the leader knows of its partition is judged then, not at the next tick (L5), %d ms',
  async (laterMs) => {
    const cluster = new BrokerCluster();
    await cluster.start(1, 2);
    await cluster.clock.pass(1_000 + laterMs);
    for (const { feed } of cluster.brokers.values()) feed.held = true;
    const topic = cluster.createTopic();
    const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
    const [early, late] = [cluster.at(3 - leader).feed, cluster.at(leader).feed];
    early.held = false;
    early.catchUp();
    await cluster.clock.pass(30);
    late.held = false;
    late.catchUp();
    const sinceMs = cluster.clock.monotonicMs();
    await cluster.clock.settle();
    await produce({ cluster, topic, leader, follower: 3 - leader }, leader, [producedBatch()]);
    expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(10);
  },
);

/** A follower node that the test plays, on a stream of its own. */
class PlayedFollower {
  readonly heard: ReplicateResponse[] = [];
  closed: SluiceError | 'success' | undefined;
  readonly sender: StreamSender<ReplicateRequest>;

  constructor(it: Ready, hello: Partially<ReplicateRequest['identity']> = {}) {
    const { identity } = it.cluster.at(it.follower);
    const rpc = new RpcClient(new MemoryTransport(it.cluster.network, 'played'));
    this.sender = rpc.stream(methods.replication.replicate, peerAddress(it.leader), {
      onMessage: (response) => void this.heard.push(response),
      onClose: (error) => {
        this.closed = error ?? 'success';
      },
    });
    const { nodeId, directoryId, clusterId, incarnation, brokerEpoch } = identity;
    const self = { nodeId, directoryId, clusterId: clusterId ?? '', incarnation, brokerEpoch, protocolVersion: 1 };
    this.sender.send({ identity: { ...self, ...hello }, creditBytes: 3_000 });
  }

  get pushedBytes(): number {
    const batches = this.heard.flatMap((response) => response.pushes.flatMap((push) => push.batches));
    return batches.reduce((sum, batch) => sum + batch.byteLength, 0);
  }

  get refusals(): readonly (string | undefined)[] {
    return this.heard.flatMap((response) => response.refusals.map((refusal) => refusal.error?.code));
  }
}

const positionOf = (it: Ready) => ({
  slot: 1,
  topicId: it.topic,
  partition: 0,
  leaderEpoch: it.cluster.image.topic(it.topic)?.partitions[0]?.leaderEpoch ?? 0,
  session: 1_000,
  fetchOffset: 0,
  lastEpoch: -1,
  durableOffset: 0,
});

test('a leader pushes in order, each batch once, within the credit but for one push (L1, L2)', async () => {
  const it = await ready();
  await produce(
    it,
    it.leader,
    Array.from({ length: 8 }, () => producedBatch({ valueBytes: 60_000 })),
  );
  const played = new PlayedFollower(it);
  await it.cluster.clock.settle();
  played.sender.send({ positions: [positionOf(it)] });
  await it.cluster.clock.settle();
  const first = played.pushedBytes;
  expect(first).toBeGreaterThan(3_000);
  expect(first).toBeLessThan(3_000 + 256 * 1024);
  await it.cluster.clock.pass(1_000);
  expect(played.pushedBytes).toBe(first);
  played.sender.send({ creditBytes: 1_000_000 });
  await it.cluster.clock.pass(50);
  expect(played.heard.flatMap((response) => response.pushes).at(-1)).toMatchObject({ highWatermark: 8 });
});

test('a new position voids the rest of a batch in parts: it begins anew, and is whole (L3, L4)', async () => {
  const it = await ready({}, 10);
  const batch = producedBatch({ valueBytes: 1_000_000 });
  await produce(it, it.leader, [batch]);
  const played = new PlayedFollower(it);
  await it.cluster.clock.settle();
  played.sender.send({ positions: [positionOf(it)], creditBytes: 10_000_000 });
  // The first part is there, and no other yet.
  await it.cluster.clock.pass(25);
  const partsOf = (session: number) =>
    played.heard.flatMap(({ pushes }) => pushes.filter((push) => push.session === session && push.batches.length > 0));
  expect(partsOf(1_000).at(-1)?.moreBytes).toBeGreaterThan(0);
  played.sender.send({ positions: [{ ...positionOf(it), session: 1_001 }] });
  await it.cluster.clock.pass(100);
  const parts = partsOf(1_001);
  expect(parts.map(({ continues }) => continues)).toEqual([false, true, true, true]);
  expect(parts.at(-1)?.moreBytes).toBe(0);
  const whole = Buffer.concat(parts.flatMap(({ batches }) => batches));
  expect(Buffer.compare(whole.subarray(61), batch.subarray(61))).toBe(0);
  expect(partsOf(1_000).at(-1)?.moreBytes).toBeGreaterThan(0);
});

test.each([
  ['a partition', { positions: [{ partition: 2 ** 31 }] }],
  ['an epoch', { positions: [{ leaderEpoch: 2 ** 32 - 1 }] }],
  ['no topic', { positions: [{ topicId: 'x' }] }],
  ['the epoch of an ack', { acks: [{ slot: 1, leaderEpoch: 2 ** 31 }] }],
])('%s that cannot be ends the stream with a sentence, and the leader goes on', async (_what, request) => {
  const it = await ready();
  const played = new PlayedFollower(it);
  await it.cluster.clock.settle();
  const positions = 'positions' in request ? request.positions.map((odd) => ({ ...positionOf(it), ...odd })) : [];
  played.sender.send({ ...request, positions });
  await it.cluster.clock.settle();
  expect(played.closed).toMatchObject({ code: 'INVALID_REQUEST' });
  expect(it.cluster.at(it.leader).halts).toEqual([]);
});

test.each([
  ['an earlier life', { brokerEpoch: 1 }, 'STALE_BROKER_EPOCH'],
  ['a node of another cluster', { clusterId: 'e'.repeat(32) }, 'WRONG_CLUSTER'],
  ['a node id that cannot be', { nodeId: 2 ** 32 - 1 }, 'INVALID_REQUEST'],
])('%s is refused at its hello, and the stream of the one that lives stays', async (_what, hello, code) => {
  const it = await ready();
  const played = new PlayedFollower(it, hello);
  await it.cluster.clock.settle();
  expect(played.closed).toMatchObject({ code });
  await produce(it, it.leader, [producedBatch()]);
  await it.cluster.clock.pass(100);
  expect(endAt(it, it.follower)).toBe(1);
});

test('a position that repeats a partition under another slot replaces the first', async () => {
  const it = await ready();
  const played = new PlayedFollower(it);
  await it.cluster.clock.settle();
  played.sender.send({
    positions: [positionOf(it), { ...positionOf(it), slot: 2, session: 1_001 }],
    creditBytes: 100_000,
  });
  await it.cluster.clock.settle();
  await produce(it, it.leader, [producedBatch()]);
  await it.cluster.clock.settle();
  const slots = played.heard.flatMap(({ pushes }) =>
    pushes.filter((push) => push.batches.length > 0).map((push) => push.slot),
  );
  expect(slots).toEqual([2]);
});

/** A leader node that the test plays: the follower's own link comes to it. */
async function playedLeader() {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const topic = cluster.createTopic({ replication: 2, minIsr: 1 });
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const follower = leader === 1 ? 2 : 1;
  const real = cluster.at(leader).identity;
  cluster.kill(leader);
  const heard: ReplicateRequest[] = [];
  let sender: StreamSender<ReplicateResponse> | undefined;
  let opened = 0;
  const hello = { nodeId: leader as number };
  const peers = cluster.dispatcher('peer');
  peers.stream(methods.replication.replicate, (_call, answer) => {
    sender = answer;
    opened += 1;
    return {
      onMessage: (request) => {
        if (request.identity !== null) {
          const { directoryId, clusterId, incarnation, brokerEpoch } = real;
          const self = { directoryId, clusterId: clusterId ?? '', incarnation, brokerEpoch, protocolVersion: 1 };
          answer.send({ identity: { ...self, ...hello } });
        }
        heard.push(request);
      },
      onClose: () => undefined,
    };
  });
  await new MemoryTransport(cluster.network, `node${leader}`).listen(peerAddress(leader), peers.accept);
  const positions = () => heard.flatMap((request) => request.positions);
  const it: Ready = { cluster, topic, leader, follower };
  const stated = () => cluster.clock.until('a position is stated', () => positions().length > 0);
  const push = (batches: readonly Uint8Array[], odd: Partially<ReplicaPush> = {}): void => {
    const { slot, leaderEpoch, session } = positions().at(-1)!;
    sender?.send({ pushes: [{ slot, leaderEpoch, session, batches, highWatermark: 0, logStart: 0, ...odd }] });
  };
  return {
    it,
    heard,
    positions,
    push,
    stated,
    hello,
    opened: () => opened,
    send: (what: Partially<ReplicateResponse>) => sender?.send(what),
  };
}

function placed(base: number, epoch = 0): Uint8Array {
  const batch = producedBatch({ valueBytes: 100 });
  patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: epoch as never });
  return batch;
}

test('a follower appends what continues its log and acks it once it is durable', async () => {
  const { it, heard, push, stated } = await playedLeader();
  await stated();
  it.cluster.disks.get(it.follower)?.holdSyncs();
  push([placed(0), placed(1)]);
  await it.cluster.clock.pass(100);
  expect([endAt(it, it.follower), heard.flatMap((request) => request.acks)]).toEqual([2, []]);
  it.cluster.disks.get(it.follower)?.releaseSyncs();
  await it.cluster.clock.pass(100);
  expect(heard.flatMap((request) => request.acks).at(-1)).toMatchObject({ durableOffset: 2 });
});

test('a replica that differs below what was committed is left alone, and counted (D8)', async () => {
  const { it, push, stated, positions, send } = await playedLeader();
  await stated();
  push([placed(0), placed(1)], { highWatermark: 2 });
  await it.cluster.clock.pass(50);
  const { broker } = it.cluster.at(it.follower);
  expect(broker.partitionFigures().failed).toBe(0);
  const { slot, leaderEpoch, session } = positions().at(-1)!;
  send({ divergences: [{ slot, leaderEpoch, session, epoch: 0, endOffset: 1 }] });
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), broker.partitionFigures().failed]).toEqual([2, 1]);
});

test('a batch in parts is appended with its last; another push of the slot voids what is there (F5)', async () => {
  const { it, heard, push, stated, opened } = await playedLeader();
  await stated();
  const batch = producedBatch({ valueBytes: 200_000 });
  patchBatch(batch, 0, { baseOffset: offset(0), leaderEpoch: 0 as never });
  const part = (from: number, to: number, odd: Partially<ReplicaPush> = {}): void =>
    push([batch.subarray(from, to)], { moreBytes: batch.length - to, continues: from > 0, ...odd });
  const granted = (): number => heard.reduce((sum, { creditBytes }) => sum + creditBytes, 0);
  const windowBytes = granted();
  part(0, 100_000);
  await it.cluster.clock.settle();
  // Taken from the leader's credit whole, and granted again.
  expect(granted()).toBe(windowBytes + batch.length);
  push([]);
  part(100_000, batch.length);
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), granted()]).toEqual([0, windowBytes + batch.length]);
  part(0, 100_000);
  part(100_000, batch.length);
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), granted()]).toEqual([1, windowBytes + 2 * batch.length]);
  expect([opened(), it.cluster.at(it.follower).halts]).toEqual([1, []]);
});

test.each([
  ['do not add up', [{ moreBytes: 5 }, { moreBytes: 6, continues: true }]],
  ['promise too much', [{ moreBytes: 2 ** 40 }]],
  ['change their session', [{ moreBytes: 50 }, { moreBytes: 40, continues: true, session: 2 ** 40 }]],
])('parts that %s end the stream; the follower comes back and goes on (F5)', async (_, pushes) => {
  const { it, push, stated, opened, positions } = await playedLeader();
  await stated();
  const before = positions().length;
  for (const odd of pushes) push([new Uint8Array(10)], odd);
  // Sooner than a silent leader is left.
  await it.cluster.clock.pass(300);
  expect([opened(), positions().length > before]).toEqual([2, true]);
  push([placed(0)]);
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), it.cluster.at(it.follower).halts]).toEqual([1, []]);
});

test('a batch with a wrong CRC is not appended, nor what follows it, and is asked for again, not at once (F2)', async () => {
  const { it, positions, push, stated } = await playedLeader();
  await stated();
  const damaged = placed(0);
  damaged[80]! ^= 4;
  push([damaged, placed(1)]);
  await it.cluster.clock.settle();
  const before = positions().length;
  expect(endAt(it, it.follower)).toBe(0);
  await it.cluster.clock.pass(1_000);
  expect(positions().length).toBeGreaterThan(before);
  expect(positions().length).toBeLessThan(before + 6);
  push([placed(0)]);
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), it.cluster.at(it.follower).halts]).toEqual([1, []]);
});

test('a deposed leader with an old epoch, or an old session, cannot push', async () => {
  const { it, push, stated, positions } = await playedLeader();
  await stated();
  const { leaderEpoch, session } = positions().at(-1)!;
  push([placed(0)], { leaderEpoch: leaderEpoch + 1 });
  push([placed(0)], { session: session - 1 });
  await it.cluster.clock.settle();
  expect(endAt(it, it.follower)).toBe(0);
  it.cluster.fence(it.leader);
  await it.cluster.clock.settle();
  push([placed(0)]);
  await it.cluster.clock.settle();
  expect([endAt(it, it.follower), it.cluster.at(it.follower).halts]).toEqual([0, []]);
});

test('numbers that cannot be, and a node that is another, end the stream; the follower comes back and goes on', async () => {
  const { it, push, stated, opened, send, hello, positions } = await playedLeader();
  await stated();
  const { slot, leaderEpoch, session } = positions().at(-1)!;
  send({ divergences: [{ slot, leaderEpoch, session, epoch: -2, endOffset: 0 }] });
  await it.cluster.clock.pass(100);
  expect(opened()).toBe(2);
  send({ refusals: [{ slot, leaderEpoch: 2 ** 31, session, logStart: 0 }] });
  hello.nodeId = 77;
  await it.cluster.clock.pass(300);
  expect(opened()).toBeGreaterThan(3);
  hello.nodeId = it.leader;
  await it.cluster.clock.pass(200);
  push([placed(0)]);
  await it.cluster.clock.pass(50);
  expect([endAt(it, it.follower), it.cluster.at(it.follower).halts]).toEqual([1, []]);
});

test('credit of one stream is never given back on the next (F3)', async () => {
  const { it, heard, push, stated, opened } = await playedLeader();
  await stated();
  it.cluster.disks.get(it.follower)?.holdSyncs();
  // More than the node log takes without a sync: its credit waits for room.
  const big = (base: number): Uint8Array => {
    const batch = producedBatch({ valueBytes: 600_000 });
    patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: 0 as never });
    return batch;
  };
  push([big(0), big(1)]);
  await it.cluster.clock.settle();
  expect(it.cluster.at(it.follower).nodeLog.hasRoom).toBe(false);
  it.cluster.network.disconnect(`node${it.leader}`, `node${it.follower}`);
  await it.cluster.clock.until('a new stream', () => opened() === 2);
  heard.length = 0;
  await it.cluster.clock.pass(100);
  it.cluster.disks.get(it.follower)?.releaseSyncs();
  await it.cluster.clock.pass(1_000);
  expect(it.cluster.at(it.follower).nodeLog.hasRoom).toBe(true);
  expect(
    heard
      .filter((request) => request.identity === null)
      .map((request) => request.creditBytes)
      .filter((bytes) => bytes > 0),
  ).toEqual([]);
});

test('a node that leads does not keep calling the leader that died', async () => {
  const it = await ready();
  const opens: string[] = [];
  it.cluster.kill(it.leader);
  it.cluster.fence(it.leader);
  await it.cluster.clock.pass(1_000);
  const peers = it.cluster.dispatcher('peer');
  peers.stream(methods.replication.replicate, (call) => {
    opens.push(call.remote);
    return { onMessage: () => undefined, onClose: () => undefined };
  });
  await new MemoryTransport(it.cluster.network, `node${it.leader}`).listen(peerAddress(it.leader), peers.accept);
  await it.cluster.clock.pass(3_000);
  expect(opens).toEqual([]);
});
