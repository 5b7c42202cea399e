/** Sessions over a real image and real decisions; entries commit at once. The brokers' streams are a memory network's. */
import {
  brokerEpoch,
  clusterId,
  directoryId,
  logIndex,
  nodeId,
  SeededRandom,
  silentLogger,
  SluiceError,
  term,
  topicId,
} from '@sluice/base';
import { decodeRecords, MetadataImage } from '@sluice/metadata';
import type { PartitionEpoch } from '@sluice/base';
import type { HeardNode } from '@sluice/metadata';
import type { Proposal } from '@sluice/raft';
import {
  decodeError,
  defaultLimits,
  Dispatcher,
  MemoryNetwork,
  MemoryTransport,
  methods,
  RpcClient,
} from '@sluice/wire';
import type { HeartbeatRequest, HeartbeatResponse, StreamSender } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerSessions } from './broker-sessions.ts';
import { ControllerService } from './controller-service.ts';
import { Decisions } from './decisions.ts';
import { FenceCounts } from './fence-counts.ts';
import { VoterChanges } from './voter-changes.ts';
import { ManualClock } from '@sluice/wire';

const cluster = clusterId('c'.repeat(32));
const controllerAddress = '10.0.0.9:7651';
const peerAddress = (id: number): string => `10.0.0.${id}:7651`;
const identityOf = (id: number, life = 1) => ({
  clusterId: cluster as string,
  nodeId: id,
  directoryId: String(id).repeat(32),
  incarnation: String(life).repeat(32),
  protocolVersion: 1,
  brokerEpoch: 0,
});

class Controller {
  readonly clock = new ManualClock();
  readonly network = new MemoryNetwork({ clock: this.clock });
  readonly image = new MetadataImage();
  readonly rpc = new RpcClient(new MemoryTransport(this.network, 'brokers'));
  committing = true;
  /** Nodes that closed their Raft streams and answer nothing: the network knows no such machine. */
  readonly gone = new Set<number>();
  sessions: BrokerSessions | undefined;
  readonly fenceCounts = new FenceCounts();
  /** No quorum answers: what asks for one waits. */
  confirming = true;
  /** How long a quorum takes to confirm. */
  confirmationMs = 0;
  /** Undefined: now. */
  quorumContactMs: number | undefined;
  readonly #unconfirmed: number[] = [];
  readonly decisions: Decisions = new Decisions({
    image: this.image,
    propose: (payload) => this.#propose(payload),
    read: (id) => {
      this.#unconfirmed.push(id);
      if (this.confirmationMs > 0) this.clock.setTimer(this.confirmationMs, () => this.confirm());
      else if (this.confirming) this.confirm();
    },
  });
  readonly #transport = new MemoryTransport(this.network, 'controller');
  #pending = 0;

  confirm(): void {
    this.confirming = true;
    const index = this.image.appliedIndex;
    this.decisions.onReads(this.#unconfirmed.splice(0).map((id) => ({ id, outcome: 'confirmed', index })));
  }

  #propose(payload: Uint8Array): Proposal {
    if (!this.committing) return { outcome: 'accepted', firstIndex: logIndex(9_999), term: term(1) } as Proposal;
    const index = logIndex(this.image.appliedIndex + 1 + this.#pending);
    this.#pending += 1;
    this.clock.defer(() => {
      this.#pending -= 1;
      const decoded = decodeRecords(payload);
      this.image.replayEntry(index, decoded.ok ? decoded.records : []);
      this.decisions.onApplied({ index, term: term(1), kind: 'command', payload });
    });
    return { outcome: 'accepted', firstIndex: index, term: term(1) } as Proposal;
  }

  async start(): Promise<this> {
    const { clock, image, decisions } = this;
    decisions.lead();
    void decisions.ask({ type: 'initialize', clusterId: cluster, level: 1 });
    const limits = defaultLimits.peer;
    const peers = new Dispatcher({
      face: 'peer',
      listener: 'peer',
      limits,
      logger: silentLogger,
      clock,
      authorize: () => true,
    });
    const self = {
      nodeId: nodeId(9),
      directoryId: directoryId('9'.repeat(32)),
      incarnation: '9'.repeat(32),
      clusterId: cluster,
      brokerEpoch: brokerEpoch(0),
    };
    const random = new SeededRandom(1);
    const parts = { self, image, decisions, random, logger: silentLogger };
    const voterChanges = new VoterChanges({
      raft: () => undefined,
      change: () => undefined,
      announced: () => undefined,
      addressesOf: () => [],
      nowMs: () => clock.monotonicMs(),
      contactMsMax: 2_000,
    });
    new ControllerService({ ...parts, voterChanges, sessions: () => this.sessions }).serve(peers);
    await this.#transport.listen(controllerAddress, peers.accept);
    await clock.settle();
    this.lead();
    return this;
  }

  lead(heard?: HeardNode): void {
    const { image, decisions, clock } = this;
    const times = { sessionTimeoutMs: 1_500, preferredElectionMs: 60_000, diskStallMs: 2_000 };
    const transport = this.#transport;
    this.sessions = new BrokerSessions({
      image,
      decisions,
      transport: {
        open: (...call) => transport.open(...call),
        listen: (at, accept) => transport.listen(at, accept),
        probe: async (address, timeoutMs) =>
          [...this.gone].some((id) => address === peerAddress(id)) ? 'unanswered' : transport.probe(address, timeoutMs),
        close: () => transport.close(),
      },
      clock,
      logger: silentLogger,
      isGone: (node) => this.gone.has(node),
      heard,
      describeLogs: () => Promise.reject(new SluiceError('UNREACHABLE')),
      fenceCounts: this.fenceCounts,
      quorumContactMs: () => this.quorumContactMs ?? clock.monotonicMs(),
      ...times,
    });
  }

  async register(id: number, life = 1): Promise<number> {
    const request = {
      identity: identityOf(id, life),
      version: 'test',
      listeners: [{ name: 'client', protocol: 'grpc', address: `10.0.0.${id}:7650` }],
      peerAddress: peerAddress(id),
      adminAddress: `10.0.0.${id}:7652`,
    };
    let answer: number | SluiceError | undefined;
    this.rpc.unary(methods.controller.register, controllerAddress, request, { timeoutMs: 60_000 }).then(
      (registered) => (answer = registered.brokerEpoch),
      (error: SluiceError) => (answer = error),
    );
    await this.clock.until('it is answered', () => answer !== undefined);
    if (answer instanceof SluiceError) throw answer;
    return answer ?? 0;
  }

  stateOf(id: number): string | undefined {
    return this.image.node(nodeId(id))?.state;
  }
}

/** A broker's process: it listens, and keeps a heartbeat stream when asked. */
class Process {
  readonly answers: HeartbeatResponse[] = [];
  closed: SluiceError | 'success' | undefined;
  /** How far it says that it has applied metadata; undefined: all of it. */
  appliedIndex: number | undefined;
  /** Age of its oldest write. */
  oldestUnsyncedMs = 0;
  /** How far its wall clock is ahead of the others'. */
  aheadMs = 0;
  readonly #controller: Controller;
  readonly #name: string;
  readonly #sender: StreamSender<HeartbeatRequest>;
  readonly #epoch: number;
  #beating = true;

  constructor(
    controller: Controller,
    id: number,
    epoch: number,
    { name = `node${id}`, appliedIndex }: { name?: string; appliedIndex?: number } = {},
  ) {
    this.appliedIndex = appliedIndex;
    this.#controller = controller;
    this.#name = name;
    this.#epoch = epoch;
    const transport = new MemoryTransport(controller.network, name);
    const deaf = { onMessage: () => undefined, onEnd: () => undefined, onClose: () => undefined };
    if (name === `node${id}`) void transport.listen(peerAddress(id), () => deaf);
    this.#sender = new RpcClient(transport).stream(methods.controller.heartbeat, controllerAddress, {
      onMessage: (answer) => void this.answers.push(answer),
      onClose: (error) => {
        this.closed = error ?? 'success';
      },
    });
    this.beat({ identity: identityOf(id) });
    const again = (): void => {
      if (this.#beating) this.beat({});
      controller.clock.setTimer(200, again);
    };
    controller.clock.setTimer(200, again);
  }

  beat(what: Partial<HeartbeatRequest>): void {
    const metadataIndex = this.appliedIndex ?? this.#controller.image.appliedIndex;
    const wallMs = this.#controller.clock.wallMs() + this.aheadMs;
    const { oldestUnsyncedMs } = this;
    this.#sender.send({ brokerEpoch: this.#epoch, metadataIndex, wallMs, oldestUnsyncedMs, ...what });
  }

  /** Alive, and says nothing any more. */
  hang(): void {
    this.#beating = false;
  }

  goOn(): void {
    this.#beating = true;
  }

  breakStream(): void {
    this.#beating = false;
    this.#sender.close();
  }

  die(): void {
    this.#beating = false;
    this.#controller.network.crash(this.#name);
  }

  get codes(): readonly (string | undefined)[] {
    return this.answers.map(({ error }) => (error === null ? undefined : decodeError(error).code));
  }
}

async function oneBroker() {
  const controller = await new Controller().start();
  const epoch = await controller.register(1);
  const process = new Process(controller, 1, epoch);
  await controller.clock.pass(500);
  return { controller, epoch, process };
}

test('a broker that heartbeats is let in, once it has applied its registration, and stays', async () => {
  const { controller, process } = await oneBroker();
  expect([controller.stateOf(1), process.answers.at(-1)?.up]).toEqual(['up', true]);
  await controller.clock.pass(10_000);
  expect(controller.stateOf(1)).toBe('up');
  const epoch = await controller.register(2);
  const behind = new Process(controller, 2, epoch, { appliedIndex: epoch - 1 });
  await controller.clock.pass(1_000);
  expect([controller.stateOf(2), behind.answers.at(-1)?.up]).toEqual(['fenced', false]);
  behind.appliedIndex = undefined;
  await controller.clock.pass(500);
  expect(controller.stateOf(2)).toBe('up');
});

test('every answer says whether the wall clocks of all brokers agree; one that is gone does not count', async () => {
  const { controller, process } = await oneBroker();
  const other = new Process(controller, 2, await controller.register(2));
  const said = async (): Promise<readonly unknown[]> => {
    await controller.clock.pass(500);
    return [process, other].map(({ answers }) => answers.at(-1)?.clocksAgree);
  };
  expect(await said()).toEqual([true, true]);
  other.aheadMs = 365 * 24 * 3_600_000;
  expect(await said()).toEqual([false, false]);
  other.aheadMs = -2 * 3_600_000;
  expect(await said()).toEqual([false, false]);
  other.die();
  expect((await said())[0]).toBe(true);
});

test('a process that died is fenced at once; one that hangs, after its session; a stream that only broke, not', async () => {
  const { controller, process } = await oneBroker();
  process.die();
  await controller.clock.pass(300);
  expect(controller.stateOf(1)).toBe('fenced');

  const two = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  two.hang();
  await controller.clock.pass(1_200);
  expect(controller.stateOf(2)).toBe('up');
  await controller.clock.pass(600);
  expect(controller.stateOf(2)).toBe('fenced');

  const three = new Process(controller, 3, await controller.register(3));
  await controller.clock.pass(500);
  three.breakStream();
  await controller.clock.pass(1_000);
  expect(controller.stateOf(3)).toBe('up');
});

test('who is fenced is counted by cause, once, over all leaderships; a disk that hangs is no fencing', async () => {
  const { controller, process } = await oneBroker();
  process.oldestUnsyncedMs = 9_000;
  await controller.clock.pass(500);
  const counted = () => controller.fenceCounts.figures;
  expect(counted()).toEqual({ refused: 0, unanswered: 0, silence: 0, earlier_life: 0 });
  process.die();
  await controller.clock.pass(2_000);
  const two = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  two.hang();
  await controller.clock.pass(2_000);
  const three = new Process(controller, 3, await controller.register(3));
  await controller.clock.pass(500);
  controller.gone.add(3);
  three.breakStream();
  await controller.clock.pass(2_000);
  controller.sessions?.end();
  controller.lead();
  const four = new Process(controller, 4, await controller.register(4));
  await controller.clock.pass(500);
  four.breakStream();
  await controller.clock.pass(100);
  expect(await controller.register(4, 2)).toBeGreaterThan(0);
  expect(counted()).toEqual({ refused: 1, unanswered: 1, silence: 1, earlier_life: 1 });
});

test('nodes that are lost together are fenced in one decision (G2), and none before it is committed (G1)', async () => {
  const controller = await new Controller().start();
  const processes = [];
  for (const id of [1, 2]) processes.push(new Process(controller, id, await controller.register(id)));
  await controller.clock.pass(500);
  controller.committing = false;
  for (const process of processes) process.hang();
  await controller.clock.pass(5_000);
  expect([controller.stateOf(1), controller.stateOf(2)]).toEqual(['up', 'up']);
  controller.decisions.stepDown();
  controller.sessions?.end();
  controller.committing = true;
  controller.decisions.lead();
  controller.lead();
  const before = controller.image.appliedIndex;
  await controller.clock.pass(2_000);
  expect([controller.stateOf(1), controller.stateOf(2)]).toEqual(['fenced', 'fenced']);
  expect(controller.image.appliedIndex).toBe(before + 1);
});

test('a judge that is cut off from its quorum fences nobody, not even when the cut ends before the brokers are heard (G1)', async () => {
  const controller = await new Controller().start();
  const processes: Process[] = [];
  for (const id of [1, 2]) processes.push(new Process(controller, id, await controller.register(id)));
  await controller.clock.pass(500);
  const before = controller.image.appliedIndex;
  controller.confirming = false;
  controller.quorumContactMs = controller.clock.monotonicMs();
  for (const process of processes) process.hang();
  await controller.clock.pass(1_900);
  controller.confirm();
  controller.quorumContactMs = undefined;
  await controller.clock.pass(100);
  for (const process of processes) process.goOn();
  await controller.clock.pass(3_000);
  expect([controller.stateOf(1), controller.stateOf(2), controller.image.appliedIndex]).toEqual(['up', 'up', before]);
  // Who stays silent after it is fenced like anybody.
  processes[0]?.hang();
  await controller.clock.pass(2_000);
  expect([controller.stateOf(1), controller.stateOf(2)]).toEqual(['fenced', 'up']);
});

test('a silent node is fenced within its session and one confirmation, however slow the quorum always is', async () => {
  const { controller, process } = await oneBroker();
  controller.confirmationMs = 400;
  process.hang();
  await controller.clock.pass(1_500 + 150 + 400 + 50);
  expect(controller.stateOf(1)).toBe('fenced');
});

test('what was heard of the leader before counts: the rest of its session is all that it gets', async () => {
  const { controller, process } = await oneBroker();
  controller.sessions?.end();
  process.hang();
  controller.network.cut('controller', 'node1');
  const atMs = controller.clock.monotonicMs();
  await controller.clock.pass(1_400);
  controller.lead({ nodeId: nodeId(1), atMs });
  await controller.clock.pass(100);
  expect(controller.stateOf(1)).toBe('up');
  await controller.clock.pass(250);
  expect(controller.stateOf(1)).toBe('fenced');
});

test('a node whose disk hangs is marked with the next heartbeat, and unmarked when the disk answers (G3)', async () => {
  const { controller, process } = await oneBroker();
  const said = async (oldestUnsyncedMs: number): Promise<readonly unknown[]> => {
    process.oldestUnsyncedMs = oldestUnsyncedMs;
    await controller.clock.pass(300);
    return [controller.image.node(nodeId(1))?.stalled, controller.image.appliedIndex];
  };
  const before = controller.image.appliedIndex;
  expect(await said(1_900)).toEqual([false, before]);
  expect(await said(2_100)).toEqual([true, before + 1]);
  expect(await said(1_900)).toEqual([true, before + 1]);
  expect(await said(5)).toEqual([false, before + 2]);
});

test('a hang that is over when a quorum has answered was none: what the node said in between counts (G3)', async () => {
  const { controller, process } = await oneBroker();
  const before = controller.image.appliedIndex;
  controller.confirmationMs = 100;
  process.beat({ oldestUnsyncedMs: 9_000 });
  process.beat({ oldestUnsyncedMs: 0 });
  await controller.clock.pass(150);
  expect([controller.image.node(nodeId(1))?.stalled, controller.image.appliedIndex]).toEqual([false, before]);
  process.oldestUnsyncedMs = 9_000;
  await controller.clock.pass(500);
  expect([controller.image.node(nodeId(1))?.stalled, controller.image.appliedIndex]).toEqual([true, before + 1]);
});

test('a process of an earlier life is told so, and does not take the stream of the one that lives', async () => {
  const { controller, process, epoch } = await oneBroker();
  const stale = new Process(controller, 1, epoch - 1, { name: 'stale' });
  await controller.clock.pass(1_000);
  expect(new Set(stale.codes)).toEqual(new Set(['STALE_BROKER_EPOCH']));
  expect([process.closed, controller.stateOf(1)]).toEqual([undefined, 'up']);
  stale.hang();
  process.die();
  await controller.clock.pass(400);
  expect(controller.stateOf(1)).toBe('fenced');
});

test('a later life registers only when the earlier is gone; then without waiting for its session', async () => {
  const { controller, process, epoch } = await oneBroker();
  await expect(controller.register(1, 2)).rejects.toMatchObject({ code: 'DUPLICATE_NODE' });
  process.die();
  await controller.clock.pass(1);
  const beforeMs = controller.clock.monotonicMs();
  expect(await controller.register(1, 2)).toBeGreaterThan(epoch);
  expect(controller.clock.monotonicMs() - beforeMs).toBeLessThan(1_000);
});

test('a node that drains is told when it may stop', async () => {
  const { controller, process } = await oneBroker();
  process.hang();
  process.beat({ draining: true });
  await controller.clock.pass(100);
  expect([process.answers.at(-1)?.mayStop, controller.stateOf(1)]).toEqual([true, 'draining']);
});

test('a node that drains hands over in batches, and stops when all that serve have applied the last one (D20)', async () => {
  const { controller, process } = await oneBroker();
  const other = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  const create = { type: 'createTopic', namespace: 'default', name: 'many', partitions: 250, replication: 2 } as const;
  void controller.decisions.ask({ ...create, topicId: topicId('a'.repeat(32)), config: { minIsr: '1' } });
  await controller.clock.pass(300);
  const node = nodeId(1);
  expect([...controller.image.ledBy(node)].length).toBe(125);
  const before = controller.image.appliedIndex;
  other.appliedIndex = before;
  process.hang();
  process.beat({ draining: true });
  await controller.clock.pass(300);
  // 250 partitions in batches of 100: those that it led, and those whose ISR it leaves.
  const handedOver = controller.image.appliedIndex;
  expect([[...controller.image.ledBy(node)].length, handedOver - before]).toEqual([0, 3]);
  process.beat({ draining: true });
  await controller.clock.pass(400);
  expect(process.answers.some(({ mayStop }) => mayStop)).toBe(false);
  other.appliedIndex = handedOver;
  await controller.clock.pass(200);
  expect(process.answers.at(-1)).toMatchObject({ mayStop: true, applyIndex: handedOver });
});

test('a node that drains does not wait for one that is silent', async () => {
  const { controller, process } = await oneBroker();
  const other = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  other.appliedIndex = controller.image.appliedIndex;
  other.hang();
  process.beat({ draining: true });
  await controller.clock.pass(1_000);
  expect(process.answers.some(({ mayStop }) => mayStop)).toBe(false);
  await controller.clock.pass(1_000);
  expect(process.answers.some(({ mayStop }) => mayStop)).toBe(true);
});

test('leaderships go back a hundred at a time, a second apart while there are more, and rarely when there are none (D19)', async () => {
  const { controller, epoch, process } = await oneBroker();
  const other = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  const id = topicId('a'.repeat(32));
  const create = { type: 'createTopic', namespace: 'default', name: 'many', partitions: 500, replication: 2 } as const;
  void controller.decisions.ask({ ...create, topicId: id, config: { minIsr: '1' } });
  process.oldestUnsyncedMs = 9_000;
  await controller.clock.pass(500);
  process.oldestUnsyncedMs = 0;
  await controller.clock.pass(500);
  // The disk of the first hung, and the second leads everything; then it takes the first in again.
  const [one, two] = [nodeId(1), nodeId(2)];
  const led = (): number => [...controller.image.ledBy(one)].length;
  expect(led()).toBe(0);
  const otherEpoch = controller.image.node(two)?.brokerEpoch ?? brokerEpoch(0);
  const isr = (statedEpoch: PartitionEpoch) => [
    { nodeId: two, brokerEpoch: otherEpoch, statedEpoch },
    { nodeId: one, brokerEpoch: brokerEpoch(epoch), statedEpoch },
  ];
  const partitions = (controller.image.topic(id)?.partitions ?? []).map(
    ({ partition, leaderEpoch, partitionEpoch }) => ({
      topicId: id,
      partition,
      leaderEpoch,
      partitionEpoch,
      isr: isr(partitionEpoch),
    }),
  );
  void controller.decisions.ask({ type: 'alterPartitions', nodeId: two, brokerEpoch: otherEpoch, partitions });
  await controller.clock.pass(35_000);
  await controller.clock.until('the first batch', () => led() > 0);
  const batches = [led()];
  for (let at = 0; at < 3; at += 1) {
    await controller.clock.pass(1_000);
    batches.push(led());
  }
  expect(batches).toEqual([100, 200, 250, 250]);
  expect(other.closed).toBeUndefined();
});

test('the end of leadership closes every stream with NOT_CONTROLLER, and leaves no timer', async () => {
  const { controller, process } = await oneBroker();
  process.hang();
  controller.sessions?.end();
  controller.sessions = undefined;
  await controller.clock.pass(500);
  expect(process.closed).toMatchObject({ code: 'NOT_CONTROLLER' });
  // Only the process' own.
  expect(controller.clock.timers).toBe(1);
  await expect(controller.register(2)).rejects.toMatchObject({ code: 'NOT_CONTROLLER' });
});

test('a new leader asks at once who is dead', async () => {
  const { controller, process } = await oneBroker();
  controller.sessions?.end();
  process.die();
  await controller.clock.pass(1);
  controller.lead();
  await controller.clock.pass(400);
  expect(controller.stateOf(1)).toBe('fenced');
});

test('a new leader fences at once who closed its Raft stream and does not answer, and who is silent after its session', async () => {
  const { controller, process } = await oneBroker();
  const silent = new Process(controller, 2, await controller.register(2));
  await controller.clock.pass(500);
  controller.sessions?.end();
  process.hang();
  silent.hang();
  controller.gone.add(1);
  controller.network.cut('controller', 'node2');
  controller.lead();
  await controller.clock.pass(400);
  expect([controller.stateOf(1), controller.stateOf(2)]).toEqual(['fenced', 'up']);
  await controller.clock.pass(1_500);
  expect(controller.stateOf(2)).toBe('fenced');
});

test('numbers that cannot be are refused with a sentence', async () => {
  const { controller, epoch } = await oneBroker();
  const topic = 'a'.repeat(32);
  const change = {
    topicId: topic,
    partition: 0,
    leaderEpoch: 0,
    partitionEpoch: 0,
    isr: [{ nodeId: 1, brokerEpoch: epoch }],
  };
  const bad = [
    { partition: 2 ** 31 },
    { leaderEpoch: 2 ** 31 },
    { partitionEpoch: 2 ** 32 - 1 },
    { topicId: 'x' },
    { isr: [{ nodeId: 0, brokerEpoch: 1 }] },
  ];
  const codes: string[] = [];
  const asks = [
    ...bad.map((odd) => ({ identity: identityOf(1), brokerEpoch: epoch, partitions: [{ ...change, ...odd }] })),
    { identity: { ...identityOf(1), nodeId: 2 ** 31 }, brokerEpoch: epoch, partitions: [] },
  ];
  for (const request of asks) {
    controller.rpc.unary(methods.controller.alterPartitions, controllerAddress, request, { timeoutMs: 60_000 }).then(
      () => codes.push('taken'),
      (error: SluiceError) => codes.push(error.code),
    );
  }
  await controller.clock.until('all are answered', () => codes.length === asks.length);
  expect(new Set(codes)).toEqual(new Set(['INVALID_REQUEST']));
});
