/**
 * Random request sequences over the real `decide` and `replay`, with a small model of the data beside them. The model
 * writes as the protocol does (D1, D2): a leader's log is committed when every member of the ISR holds it, and only with
 * `minIsr` members. A node may be behind with the metadata: it leads, follows and proposes by what it knew last. Where
 * durability is `replicated` a process that dies loses its last record; once everybody who could lead has, what they had
 * acked from memory alone is gone.
 */
import { brokerEpoch, clusterId, directoryId, invariant, logIndex, nodeId, offset, topicId } from '@sluice/base';
import type { BrokerEpoch, NodeId } from '@sluice/base';
import { decide } from './decide.ts';
import { MetadataImage } from './image.ts';
import { ModelLogs } from './model-logs.testing.ts';
import { partitionFault } from './partition-rules.ts';
import { decodeRecords, encodeRecords } from './records.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, MetadataRequest, NodeIdentity, PartitionAltered } from './requests.ts';
import { isElectable } from './standing.ts';
import type { PartitionState } from './state.ts';

export const nodeCount = 4;
const hex = (value: number): string => value.toString(16).padStart(32, '0');

interface Process {
  alive: boolean;
  directory: number;
  incarnation: number;
  lastBrokerEpoch: BrokerEpoch | null;
  unclean: boolean;
  /** It lost records, and has not registered since. */
  lost: boolean;
  /** It copies nothing: its disk or its stream is slow. */
  lags: boolean;
  /** The partitions as it knew them last; undefined while it is up to date. */
  known: Map<string, PartitionState> | undefined;
}

export class Cluster {
  readonly image = new MetadataImage();
  readonly entries: { index: number; records: readonly MetadataRecord[] }[] = [];
  readonly #processes = new Map<NodeId, Process>();
  readonly #logs = new ModelLogs();
  /** Fenced because they came back: they may be in sync (`fenceEarlierLife`). */
  readonly #comingBack = new Set<NodeId>();
  forgiven = 0;
  recovered = 0;
  lost = 0;
  ledFromElr = 0;
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
        lost: false,
        lags: false,
        known: undefined,
      });
      this.start(nodeId(id), false);
      this.admit(nodeId(id));
    }
  }

  get acks(): number {
    return this.#logs.acks;
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
      for (const id of change.nodes) if (this.image.node(id)?.state === 'up') this.#comingBack.delete(id);
      if (request.type !== 'recoverPartition') {
        this.#check(before, new Set(change.partitions.map((key) => `${key.topicId}/${key.partition}`)));
      }
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
        if (state.leader !== null && old.elr.includes(state.leader)) this.ledFromElr += 1;
      }
    }
    invariant(this.image.partitionCount === partitions, 'partitions are counted', { partitions });
    const leaderless = partitions - [...led.values()].reduce((sum, count) => sum + count, 0);
    invariant(this.image.leaderlessCount === leaderless, 'partitions without a leader are counted', { leaderless });
    for (const node of this.image.nodes.keys()) {
      invariant(this.image.leaderCount(node) === (led.get(node) ?? 0), 'M6: leaders are indexed', { node });
    }
  }

  #checkPartition(state: PartitionState): void {
    const { leader, isr, elr, lossy } = state;
    const config = this.image.topic(state.topicId)!.config;
    invariant(partitionFault(state, config.minIsr) === undefined, 'M2, M3', { state });
    for (const id of isr) {
      const node = this.image.node(id)!;
      const isOnlyOne = leader === null || id === leader;
      const isFree = isElectable(node) || node.state === 'draining' || isOnlyOne || this.#comingBack.has(id);
      invariant(isFree, 'nobody is in sync who is gone or hangs', { state, node });
    }
    const passedOver = leader === null && [...isr, ...elr].find((id) => isElectable(this.image.node(id)!));
    invariant(passedOver === undefined || passedOver === false, 'nobody who could lead is passed over', { state });
    for (const id of [...isr, ...elr]) {
      invariant(!lossy.includes(id), 'E3: a lossy one is neither', { state });
      // What a process had in memory went with it, and what a directory lost is told by its next registration.
      if (this.#processes.get(id)!.lost || (config.durability === 'replicated' && !this.#hasMemory(id))) continue;
      const holds = this.#logs.holdsAcked(keyOf(state), id);
      invariant(holds, 'whoever may lead holds every acked record', {
        state,
        id,
        logs: this.#logs.describe(keyOf(state)),
      });
    }
  }

  /** The process that the controller knows of runs. */
  #acts(id: NodeId): boolean {
    const process = this.#processes.get(id)!;
    return process.alive && this.image.node(id)?.incarnation === hex(process.incarnation);
  }

  start(id: NodeId, lossy: boolean): void {
    const process = this.#processes.get(id)!;
    process.known = undefined;
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

  identity(id: NodeId): NodeIdentity {
    return { nodeId: id, brokerEpoch: this.image.node(id)?.brokerEpoch ?? brokerEpoch(0) };
  }

  fence(ids: readonly NodeId[]): void {
    this.ask({ type: 'fenceNodes', nodes: [...new Set(ids)].map((id) => this.identity(id)) });
  }

  kill(id: NodeId, damage: 'none' | 'wiped' | 'corrupt'): void {
    const process = this.#processes.get(id)!;
    this.#die(id);
    if (damage === 'none') return this.fence([id]);
    this.#logs.lose(id, damage === 'wiped');
    process.unclean = true;
    process.lost = true;
    this.#forgive();
    this.fence([id]);
    process.lost = false;
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

  /** Dies, and is back before anybody noticed. */
  comeBack(id: NodeId): void {
    this.#die(id);
    if (this.image.node(id)?.state !== 'fenced') this.#comingBack.add(id);
    this.ask({ type: 'fenceEarlierLife', node: this.identity(id) });
    this.start(id, false);
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

  stall(id: NodeId, stalled: boolean): void {
    this.ask({ type: 'stallNode', ...this.identity(id), stalled });
  }

  drain(id: NodeId, partitionsMax: number): void {
    this.ask({ type: 'drainNode', ...this.identity(id), partitionsMax });
  }

  /** The node hears no more of the metadata, or catches up with it. */
  fallBehind(id: NodeId, isBehind: boolean): void {
    const process = this.#processes.get(id)!;
    process.known = isBehind ? (process.known ?? snapshot(this.image)) : undefined;
  }

  lag(id: NodeId, lags: boolean): void {
    this.#processes.get(id)!.lags = lags;
  }

  /** A log of the node is found damaged while it runs (E6); it is cut when others have the rest, or nobody serves anyway. */
  damage(id: NodeId, at: number, serves: boolean): void {
    const states = this.#partitions().filter(({ replicas }) => replicas.includes(id));
    const state = states[at % Math.max(1, states.length)];
    if (state === undefined || !this.#acts(id)) return;
    const { topicId: topic, partition } = state;
    const request = { type: 'reportDamage', ...this.identity(id), topicId: topic, partition, serves } as const;
    const { response } = this.ask(request);
    if (!response.ok || response.value.since === null) return;
    this.fallBehind(id, false);
    this.#logs.cut(keyOf(state), id);
    if (this.#isReplicated(state)) this.#forgive();
  }

  #die(id: NodeId): void {
    const process = this.#processes.get(id)!;
    if (!process.alive) return;
    process.alive = false;
    process.unclean = true;
    for (const state of this.#replicated()) this.#logs.loseLast(keyOf(state), id);
    this.#forgive();
  }

  /** Nobody who could lead has its memory: whoever of them leads, what it lacks is gone. */
  #forgive(): void {
    for (const state of this.#replicated()) {
      const left = [...state.isr, ...state.elr];
      if (left.length === 0 || left.some((id) => this.#hasMemory(id))) continue;
      if (this.#logs.forgive(keyOf(state), left)) this.forgiven += 1;
    }
  }

  #hasMemory(id: NodeId): boolean {
    const process = this.#processes.get(id)!;
    return process.alive ? this.#acts(id) : !process.unclean;
  }

  #isReplicated({ topicId: id }: PartitionState): boolean {
    return this.image.topic(id)?.config.durability === 'replicated';
  }

  #replicated(): readonly PartitionState[] {
    return this.#partitions().filter((state) => this.#isReplicated(state));
  }

  create(partitions: number, replication: number, config: Readonly<Record<string, string>> = {}): void {
    this.#topics += 1;
    const name = `t${this.#topics % 3}`;
    // In no order: images must not depend on when a topic was made.
    const id = topicId(hex((this.#topics * 40_503) % 65_536));
    this.ask({ type: 'createTopic', topicId: id, namespace: 'default', name, partitions, replication, config });
  }

  /** The partition as the node knows it. */
  #known(id: NodeId, state: PartitionState): PartitionState | undefined {
    const { known } = this.#processes.get(id)!;
    return known === undefined ? this.image.partition(state.topicId, state.partition) : known.get(keyOf(state));
  }

  /** It runs and follows or leads in the epoch of `leading`. */
  #isIn(leading: PartitionState, id: NodeId): boolean {
    return this.#acts(id) && this.#known(id, leading)?.leaderEpoch === leading.leaderEpoch;
  }

  /** What each leads who believes that it leads, an earlier leader that has not heard of the next one included. */
  #leaderships(): readonly { readonly leader: NodeId; readonly leading: PartitionState }[] {
    return this.#partitions().flatMap((state) =>
      state.replicas.flatMap((leader) => {
        const leading = this.#known(leader, state);
        return leading?.leader === leader && this.#acts(leader) ? [{ leader, leading }] : [];
      }),
    );
  }

  #copyAll(leading: PartitionState, leader: NodeId): void {
    for (const id of leading.replicas) {
      if (this.#isIn(leading, id) && !this.#processes.get(id)!.lags) this.#logs.copy(keyOf(leading), leader, id);
    }
  }

  /** One record to every leader, and it is acked where all in sync have it. */
  write(): void {
    for (const { leader, leading } of this.#leaderships()) {
      const key = keyOf(leading);
      this.#logs.append(key, leader, leading.leaderEpoch);
      this.#copyAll(leading, leader);
      const { minIsr } = this.image.topic(leading.topicId)!.config;
      const isCommitted = leading.isr.every((id) => this.#isIn(leading, id) && this.#logs.isCopy(key, leader, id));
      if (isCommitted && leading.isr.length >= minIsr) this.#logs.ack(key, leader);
    }
  }

  /** Leaders take in whoever keeps up and drop who does not, below `minIsr`, too (D9, D10). */
  alter(): void {
    for (const { leader, leading } of this.#leaderships()) {
      const { topicId: id, partition, leaderEpoch, partitionEpoch } = leading;
      const key = keyOf(leading);
      this.#copyAll(leading, leader);
      const keepsUp = (replica: NodeId): boolean =>
        this.#isIn(leading, replica) &&
        this.#logs.isCopy(key, leader, replica) &&
        isElectable(this.image.node(replica)!);
      const isr = leading.replicas
        .filter((replica) => replica === leader || keepsUp(replica))
        .map((replica) => ({
          ...this.identity(replica),
          statedEpoch: this.#known(replica, leading)?.partitionEpoch ?? partitionEpoch,
        }));
      const proposal = { topicId: id, partition, leaderEpoch, partitionEpoch, isr };
      const { response } = this.ask({ type: 'alterPartitions', ...this.identity(leader), partitions: [proposal] });
      const result = response.ok ? response.value.results[0]?.result : undefined;
      if (result?.ok === true) this.#learn(leader, leading, result.value);
    }
  }

  /** A leader that hears of no metadata knows what it was answered; of a later epoch it counts whom it proposed, too (D11). */
  #learn(leader: NodeId, leading: PartitionState, altered: PartitionAltered): void {
    const isSame = altered.leaderEpoch === leading.leaderEpoch;
    const isr = isSame ? altered.isr : [...new Set([...leading.isr, ...altered.isr])];
    const partitionEpoch = isSame ? altered.partitionEpoch : leading.partitionEpoch;
    this.#processes.get(leader)!.known?.set(keyOf(leading), { ...leading, isr, partitionEpoch });
  }

  /** Asks everybody who is there for the logs that nobody leads, and lets the longest lead. */
  recover(): void {
    for (const state of this.#partitions()) {
      const key = keyOf(state);
      const found = state.replicas
        .filter((id) => this.#acts(id) && this.image.node(id)!.state !== 'fenced')
        .map((id) => {
          const { lastEpoch, logEnd } = this.#logs.end(key, id);
          return { ...this.identity(id), lastEpoch, logEnd: offset(logEnd) };
        });
      const { topicId: topic, partition } = state;
      const { response } = this.ask({ type: 'recoverPartition', topicId: topic, partition, found });
      if (!response.ok || !response.value.mayHaveLost) continue;
      invariant(state.isr.length + state.elr.length === 0, 'D17b: nobody else could lead', { state });
      const left = response.value.leader!;
      const most = Math.max(...found.map(({ nodeId: id }) => this.#logs.ackedCount(key, id)));
      invariant(this.#logs.ackedCount(key, left) === most, 'D17b: nobody who is there has more', { state, left });
      this.recovered += 1;
      if (this.#logs.forgive(key, [left])) this.lost += 1;
      this.#checkPartition(this.image.partition(topic, partition)!);
    }
  }

  /** Faults are over: everybody comes back undamaged, followers catch up, leaders return. */
  heal(): void {
    this.fence([...this.#processes.keys()]);
    for (const [id, process] of this.#processes) {
      process.lags = false;
      this.start(id, false);
      this.admit(id);
      this.stall(id, false);
    }
    this.recover();
    this.alter();
    this.ask({ type: 'electPreferred', partitionsMax: 1_000 });
  }

  /** Partitions that are not whole. */
  unhealed(): readonly PartitionState[] {
    return this.#partitions().filter(
      (state) => state.leader !== state.replicas[0] || state.isr.length !== state.replicas.length,
    );
  }

  #partitions(): readonly PartitionState[] {
    return [...this.image.topics.values()].flatMap((topic) => topic.partitions);
  }
}

const keyOf = (state: PartitionState): string => `${state.topicId}/${state.partition}`;

function snapshot(image: MetadataImage): Map<string, PartitionState> {
  const partitions = [...image.topics.values()].flatMap((topic) => topic.partitions);
  return new Map(partitions.map((state) => [keyOf(state), state]));
}
