/**
 * Random request sequences over the real `decide` and `replay`, with a small model of the data beside them: what each
 * replica holds and what was acked. The model writes as the protocol does (D1, D2): a record is acked when every member
 * of the committed ISR holds it, and only with minIsr members. Where durability is `replicated` a process that dies loses
 * its last record; once every member of an ISR has, what they had acked from memory alone is gone.
 */
import { brokerEpoch, clusterId, directoryId, invariant, logIndex, nodeId, topicId } from '@sluice/base';
import type { BrokerEpoch, NodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import type { PartitionState } from './state.ts';
import { decodeRecords, encodeRecords } from './records.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, MetadataRequest } from './requests.ts';

const nodeCount = 4;
const hex = (value: number): string => value.toString(16).padStart(32, '0');

interface Process {
  alive: boolean;
  directory: number;
  incarnation: number;
  lastBrokerEpoch: BrokerEpoch | null;
  unclean: boolean;
}

export class Cluster {
  readonly image = new MetadataImage();
  readonly entries: { index: number; records: readonly MetadataRecord[] }[] = [];
  readonly #processes = new Map<NodeId, Process>();
  /** Records held by each replica, and acked, of each partition; by `topicId/partition`. */
  readonly #held = new Map<string, Map<NodeId, number>>();
  readonly #acked = new Map<string, number>();
  acks = 0;
  forgiven = 0;
  #topics = 0;
  #incarnations = 0;
  #index = 0;

  constructor() {
    this.ask({ type: 'initialize', clusterId: clusterId(hex(1)), level: 1 });
    for (let id = 1; id <= nodeCount; id += 1) {
      this.#processes.set(nodeId(id), {
        alive: false,
        directory: id,
        incarnation: 0,
        lastBrokerEpoch: null,
        unclean: false,
      });
      this.start(nodeId(id), false);
      this.admit(nodeId(id));
    }
  }

  ask<Request extends MetadataRequest>(request: Request): DecisionFor<Request> {
    const decision = decide(this.image, request);
    if (decision.records.length > 0) {
      this.#index += 1;
      const before = snapshot(this.image);
      const decoded = decodeRecords(encodeRecords(decision.records));
      if (!decoded.ok) throw new Error(decoded.failure.message);
      const change = this.image.replayEntry(logIndex(this.#index), decoded.records);
      this.entries.push({ index: this.#index, records: decoded.records });
      this.#check(before, new Set(change.partitions.map((key) => `${key.topicId}/${key.partition}`)));
    }
    return decision;
  }

  #check(before: ReadonlyMap<string, PartitionState>, changed: ReadonlySet<string>): void {
    let partitions = 0;
    const led = new Map<NodeId, number>();
    for (const topic of this.image.topics.values()) {
      for (const state of topic.partitions) {
        partitions += 1;
        const key = keyOf(state);
        if (state.leader !== null) led.set(state.leader, (led.get(state.leader) ?? 0) + 1);
        this.#checkPartition(state);
        const old = before.get(key);
        invariant(changed.has(key) === (old !== state), 'the change names what changed', { old, state });
        if (old === undefined) continue;
        invariant(state.leaderEpoch >= old.leaderEpoch, 'leader epochs grow', { old, state });
        invariant(state.partitionEpoch >= old.partitionEpoch, 'partition epochs grow', { old, state });
      }
    }
    invariant(this.image.partitionCount === partitions, 'partitions are counted', { partitions });
    for (const node of this.image.nodes.keys()) {
      invariant(this.image.leaderCount(node) === (led.get(node) ?? 0), 'M6: leaders are indexed', { node });
    }
  }

  #checkPartition(state: PartitionState): void {
    const { leader, isr, replicas, lossy } = state;
    invariant(isr.length > 0 && isr.every((member) => replicas.includes(member)), 'M2: isr', { state });
    invariant(lossy.length === 0 || lossy.join() === isr.join(), 'E3: only where all are lossy', { state });
    if (leader === null) {
      const passedOver = isr.find((member) => !lossy.includes(member) && this.image.node(member)?.state === 'up');
      invariant(passedOver === undefined, 'nobody who could lead is passed over', { state });
      return;
    }
    invariant(isr.includes(leader) && this.image.node(leader)?.state !== 'fenced', 'M3: leader', { state });
    // What a process had in memory went with it; that it leads in name is harmless.
    if (this.image.topic(state.topicId)?.config.durability === 'replicated' && !this.#acts(leader)) return;
    const held = this.#held.get(keyOf(state))?.get(leader) ?? 0;
    const acked = this.#acked.get(keyOf(state)) ?? 0;
    invariant(held >= acked, 'whoever leads holds every acked record', { state, held, acked });
  }

  /** The process that the controller knows of runs. */
  #acts(id: NodeId): boolean {
    const process = this.#processes.get(id)!;
    return process.alive && this.image.node(id)?.incarnation === hex(process.incarnation);
  }

  start(id: NodeId, lossy: boolean): void {
    const process = this.#processes.get(id)!;
    if (!process.alive) {
      this.#incarnations += 1;
      process.incarnation = this.#incarnations;
      process.alive = true;
    }
    this.ask({
      type: 'registerNode',
      nodeId: id,
      directoryId: directoryId(hex(process.directory)),
      incarnation: hex(process.incarnation),
      softwareVersion: '0',
      rack: id % 2 === 0 ? 'even' : null,
      clientListeners: [{ name: 'client', protocol: 'grpc', address: 'n:1' }],
      peerAddress: 'n:2',
      adminAddress: 'n:3',
      lastBrokerEpoch: process.lastBrokerEpoch,
      lossy,
      unclean: process.unclean,
      sessionLive: false,
    });
  }

  admit(id: NodeId): void {
    const process = this.#processes.get(id)!;
    const node = this.image.node(id);
    if (!process.alive || node?.incarnation !== hex(process.incarnation)) return;
    process.lastBrokerEpoch = node.brokerEpoch;
    this.ask({ type: 'unfenceNode', nodeId: id, brokerEpoch: node.brokerEpoch, metadataIndex: logIndex(this.#index) });
  }

  fence(ids: readonly NodeId[]): void {
    const nodes = [...new Set(ids)].map((id) => ({
      nodeId: id,
      brokerEpoch: this.image.node(id)?.brokerEpoch ?? brokerEpoch(0),
    }));
    this.ask({ type: 'fenceNodes', nodes });
  }

  kill(id: NodeId, damage: 'none' | 'wiped' | 'corrupt'): void {
    const process = this.#processes.get(id)!;
    this.#die(id);
    if (damage === 'none') return this.fence([id]);
    this.#lose(id);
    this.fence([id]);
    if (damage === 'wiped') {
      process.directory += nodeCount;
      process.lastBrokerEpoch = null;
    }
    this.start(id, damage === 'corrupt');
  }

  /** Dies without anybody noticing yet. */
  vanish(id: NodeId): void {
    this.#die(id);
  }

  /** Stops in order: it has everything on its disk. */
  stop(id: NodeId): void {
    const process = this.#processes.get(id)!;
    if (!process.alive) return;
    // What the controller has not heard of must not be hidden from it.
    if (this.#acts(id)) process.unclean = false;
    process.alive = false;
    this.fence([id]);
  }

  #die(id: NodeId): void {
    const process = this.#processes.get(id)!;
    if (!process.alive) return;
    process.alive = false;
    process.unclean = true;
    for (const state of this.#replicated()) {
      const held = this.#held.get(keyOf(state));
      const end = held?.get(id) ?? 0;
      if (end > 0) held?.set(id, end - 1);
    }
    this.#forgive();
  }

  #lose(id: NodeId): void {
    for (const held of this.#held.values()) held.delete(id);
    this.#processes.get(id)!.unclean = true;
    this.#forgive();
  }

  /** Every in-sync replica lost its memory: whoever of them leads, what it lacks is gone. */
  #forgive(): void {
    for (const state of this.#replicated()) {
      if (state.isr.some((id) => this.#hasMemory(id))) continue;
      const key = keyOf(state);
      const left = Math.min(...state.isr.map((id) => this.#held.get(key)?.get(id) ?? 0));
      if (left >= (this.#acked.get(key) ?? 0)) continue;
      this.forgiven += 1;
      this.#acked.set(key, left);
    }
  }

  #hasMemory(id: NodeId): boolean {
    const process = this.#processes.get(id)!;
    return process.alive ? this.#acts(id) : !process.unclean;
  }

  #replicated(): readonly PartitionState[] {
    return this.#partitions().filter(({ topicId: id }) => this.image.topic(id)?.config.durability === 'replicated');
  }

  create(partitions: number, replication: number, config: Readonly<Record<string, string>> = {}): void {
    this.#topics += 1;
    const name = `t${this.#topics % 3}`;
    // In no order: images must not depend on when a topic was made.
    const id = topicId(hex((this.#topics * 40_503) % 65_536));
    this.ask({ type: 'createTopic', topicId: id, namespace: 'default', name, partitions, replication, config });
  }

  /** One record to every partition that can ack one, whatever the controller decides meanwhile. */
  write(): void {
    for (const state of this.#partitions()) {
      const topic = this.image.topic(state.topicId)!;
      const isAlive = (id: NodeId): boolean => this.#acts(id) && this.image.node(id)!.state !== 'fenced';
      if (state.leader === null || !isAlive(state.leader)) continue;
      const key = keyOf(state);
      const held = this.#held.get(key) ?? new Map<NodeId, number>();
      const end = (held.get(state.leader) ?? 0) + 1;
      for (const id of state.isr) if (isAlive(id)) held.set(id, end);
      this.#held.set(key, held);
      if (!state.isr.every(isAlive) || state.isr.length < topic.config.minIsr) continue;
      this.#acked.set(key, end);
      this.acks += 1;
    }
  }

  /** Leaders take back whoever can be in sync and drop who is away (D9, D10). */
  alter(): void {
    for (const state of this.#partitions()) {
      const { topicId: id, partition, leader, leaderEpoch, partitionEpoch } = state;
      if (leader === null || !this.#acts(leader)) continue;
      const key = keyOf(state);
      const held = this.#held.get(key) ?? new Map<NodeId, number>();
      this.#held.set(key, held);
      const isActive = (replica: NodeId): boolean => this.image.node(replica)?.state === 'up' && this.#acts(replica);
      const active = state.replicas.filter((replica) => replica === leader || isActive(replica));
      for (const replica of active) held.set(replica, held.get(leader) ?? 0);
      const isr = active.map((replica) => ({
        nodeId: replica,
        brokerEpoch: this.image.node(replica)!.brokerEpoch,
        statedEpoch: partitionEpoch,
      }));
      this.ask({
        type: 'alterPartitions',
        nodeId: leader,
        brokerEpoch: this.image.node(leader)!.brokerEpoch,
        partitions: [{ topicId: id, partition, leaderEpoch, partitionEpoch, isr }],
      });
    }
  }

  /** Faults are over: everybody comes back undamaged, followers catch up, leaders return. */
  heal(): void {
    this.fence([...this.#processes.keys()]);
    for (const id of this.#processes.keys()) {
      this.start(id, false);
      this.admit(id);
    }
    this.alter();
    this.ask({ type: 'electPreferred', partitionsMax: 1_000 });
  }

  /** Partitions that are not whole although nobody lost what they need. */
  unhealed(): readonly PartitionState[] {
    return this.#partitions().filter(
      (state) =>
        state.lossy.length === 0 && (state.leader !== state.replicas[0] || state.isr.length !== state.replicas.length),
    );
  }

  #partitions(): readonly PartitionState[] {
    return [...this.image.topics.values()].flatMap((topic) => topic.partitions);
  }
}

const keyOf = (state: PartitionState): string => `${state.topicId}/${state.partition}`;

function snapshot(image: MetadataImage): ReadonlyMap<string, PartitionState> {
  const partitions = [...image.topics.values()].flatMap((topic) => topic.partitions);
  return new Map(partitions.map((state) => [keyOf(state), state]));
}

export const replicated = { durability: 'replicated' };
const id = fc.integer({ min: 1, max: nodeCount }).map(nodeId);
export const action: fc.Arbitrary<(cluster: Cluster) => void> = fc.oneof(
  { weight: 3, arbitrary: id.map((node) => (cluster: Cluster) => cluster.kill(node, 'none')) },
  {
    weight: 1,
    arbitrary: fc.tuple(id, fc.constantFrom<'wiped' | 'corrupt'>('wiped', 'corrupt')).map(
      ([node, damage]) =>
        (cluster: Cluster) =>
          cluster.kill(node, damage),
    ),
  },
  { weight: 1, arbitrary: fc.array(id).map((nodes) => (cluster: Cluster) => cluster.fence(nodes)) },
  {
    weight: 4,
    arbitrary: id.map((node) => (cluster: Cluster) => {
      cluster.start(node, false);
      cluster.admit(node);
    }),
  },
  { weight: 2, arbitrary: id.map((node) => (cluster: Cluster) => cluster.admit(node)) },
  { weight: 1, arbitrary: id.map((node) => (cluster: Cluster) => cluster.vanish(node)) },
  { weight: 1, arbitrary: id.map((node) => (cluster: Cluster) => cluster.stop(node)) },
  {
    weight: 1,
    arbitrary: id.map((node) => (cluster: Cluster) => {
      const epoch = cluster.image.node(node)?.brokerEpoch ?? brokerEpoch(0);
      cluster.ask({ type: 'drainNode', nodeId: node, brokerEpoch: epoch, partitionsMax: 100 });
    }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 5 }), fc.boolean()).map(
      ([partitions, replication, inMemory]) =>
        (cluster: Cluster) =>
          cluster.create(partitions, replication, inMemory ? replicated : {}),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('t0', 't1', 't2')
      .map((name) => (cluster: Cluster) => void cluster.ask({ type: 'deleteTopic', namespace: 'default', name })),
  },
  { weight: 6, arbitrary: fc.constant((cluster: Cluster) => cluster.write()) },
  { weight: 4, arbitrary: fc.constant((cluster: Cluster) => cluster.alter()) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 0, max: 3 })
      .map((partitionsMax) => (cluster: Cluster) => void cluster.ask({ type: 'electPreferred', partitionsMax })),
  },
);
