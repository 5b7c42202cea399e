/**
 * A scripted cluster: real dispatchers over the memory transport, behind which stands a model of leaders that replicate
 * at once. Tests say what goes wrong.
 */
import { isSluiceError, SeededRandom, silentLogger, SluiceError, topicId } from '@sluice/base';
import type { BatchHeader } from '@sluice/record';
import { readBatchHeader } from '@sluice/record';
import type {
  FetchRequest,
  FetchResponse,
  FetchStart,
  MetadataUpdate,
  PartitionMetadata,
  PartitionOffsets,
  Partially,
  ProduceBatch,
  ProduceRequest,
  ProduceResponse,
  StreamReceiver,
  StreamSender,
  TopicMetadata,
} from '@sluice/wire';
import {
  defaultLimits,
  Dispatcher,
  encodeError,
  MemoryNetwork,
  MemoryTransport,
  methods,
  PartAssembler,
  SendCredit,
} from '@sluice/wire';
import { nodeCompression } from './compression.ts';
import type { SluiceOptions } from './sluice.ts';
import { Sluice } from './sluice.ts';
import type { ClientStatus } from './status.ts';
import { ManualClock } from '@sluice/wire';
import { ScriptedLog } from './scripted-log.testing.ts';

export interface Received {
  readonly node: number;
  readonly atMs: number;
  readonly topic: string | undefined;
  readonly partition: number;
  readonly header: BatchHeader;
  readonly bytes: Uint8Array;
}

/**
 * What becomes of a batch: `append` and answer, fail with an error instead or all the same, `drop` without an answer, or
 * `appendOnly`: append without an answer.
 */
export type ProduceFate = 'append' | 'drop' | 'appendOnly' | SluiceError | { readonly appendThen: SluiceError };

interface ScriptedTopic {
  metadata: TopicMetadata;
  readonly logs: ScriptedLog[];
}

export const addressOf = (node: number): string => `node-${node}:7650`;

export class ScriptedCluster {
  /** Called after the offsets were read for an answer, before it is sent. */
  onOffsetsListed: () => void = () => undefined;
  /** What a leader does with a trim beside doing it. */
  onTrim: (partition: number) => SluiceError | undefined = () => undefined;
  readonly clock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly nodes = new Map<number, ScriptedNode>();
  readonly topics = new Map<string, ScriptedTopic>();
  readonly received: Received[] = [];
  readonly statuses: ClientStatus[] = [];
  readonly fetches: FetchRequest[] = [];
  onProduce: (batch: Received) => ProduceFate = () => 'append';
  /** What a fetch sends; tests damage it. */
  onSend: (batches: Uint8Array[]) => Uint8Array[] = (batches) => batches;
  /** Answers the first part of a batch with this; the others are passed over. */
  refuseFirstParts: SluiceError | undefined;
  /** Partitions that another than the preferred replica leads. */
  misplaced = 0;
  produceWindowBytes = 1_000_000;
  clusterId = 'c'.repeat(32);
  metadataIndex = 1;
  nextProducerId = 100;
  /** Nodes whose metadata stands still. */
  readonly lagging = new Map<number, ReadonlyMap<string, ScriptedTopic>>();
  #topicCount = 0;

  /** `delayMs`: how long each message is under way; default: it arrives in the next turn. */
  constructor(delayMs?: () => number) {
    const { clock } = this;
    const connectTimeoutMs = 1_000;
    this.network = new MemoryNetwork(
      delayMs === undefined
        ? { clock, connectTimeoutMs }
        : { clock, connectTimeoutMs, schedule: (_link, deliver) => clock.setTimer(delayMs(), deliver) },
    );
  }

  static async start(nodeCount = 3, delayMs?: () => number): Promise<ScriptedCluster> {
    const cluster = new ScriptedCluster(delayMs);
    for (let id = 1; id <= nodeCount; id += 1) await cluster.startNode(id);
    return cluster;
  }

  async startNode(id: number): Promise<void> {
    const node = new ScriptedNode(this, id);
    this.nodes.set(id, node);
    await node.listen();
  }

  kill(id: number): void {
    this.network.crash(`node-${id}`);
    this.nodes.delete(id);
  }

  client(options: Partial<SluiceOptions> = {}): Sluice {
    const transport = new MemoryTransport(this.network, 'client');
    return new Sluice({
      bootstrap: [...this.nodes.keys()].map(addressOf),
      ports: { transport, clock: this.clock, random: new SeededRandom(7), compression: nodeCompression },
      onStatus: (status) => this.statuses.push(status),
      ...options,
    });
  }

  createTopic(name: string, leaders: readonly number[] = [1], config: Readonly<Record<string, string>> = {}): void {
    this.#topicCount += 1;
    this.metadataIndex += 1;
    const partitions = leaders.map((leader, partition) => ({
      partition,
      leader,
      leaderEpoch: 0,
      replicas: [1, 2, 3],
      isr: [1, 2, 3],
      elr: [],
      partitionEpoch: 0,
    }));
    const id = topicId(this.#topicCount.toString(16).padStart(32, '0'));
    const full = { recordBytesMax: '1048576', ...config };
    this.topics.set(name, {
      metadata: { topicId: id, name, config: full, partitions },
      logs: leaders.map(() => new ScriptedLog()),
    });
    this.#push({ topics: [this.#topic(name).metadata] }, name);
  }

  deleteTopic(name: string): void {
    const { metadata } = this.#topic(name);
    this.topics.delete(name);
    this.metadataIndex += 1;
    this.#push({ deletedTopicIds: [metadata.topicId] }, name);
  }

  moveLeader(name: string, partition: number, leader: number): void {
    const topic = this.#topic(name);
    const moved = (old: PartitionMetadata): PartitionMetadata =>
      old.partition === partition
        ? { ...old, leader, leaderEpoch: old.leaderEpoch + 1, partitionEpoch: old.partitionEpoch + 1 }
        : old;
    topic.metadata = { ...topic.metadata, partitions: topic.metadata.partitions.map(moved) };
    this.metadataIndex += 1;
    this.#push({ topics: [topic.metadata] }, name);
  }

  log(name: string, partition = 0): ScriptedLog {
    const log = this.#topic(name).logs[partition];
    if (log === undefined) throw new Error(`no partition ${partition}`);
    return log;
  }

  withId(id: string): ScriptedTopic | undefined {
    return [...this.topics.values()].find((topic) => topic.metadata.topicId === id);
  }

  /** The partition if this node leads it, else what a node says that does not. */
  led(node: number, { topicId: id, partition }: { readonly topicId: string; readonly partition: number }): Led {
    const topic = this.withId(id);
    if (topic === undefined) return new SluiceError('UNKNOWN_TOPIC', { retry: 'refresh-metadata' });
    const metadata = topic.metadata.partitions[partition];
    const log = topic.logs[partition];
    if (metadata === undefined || log === undefined) return new SluiceError('UNKNOWN_PARTITION');
    return metadata.leader === node ? { metadata, log, name: topic.metadata.name } : new SluiceError('NOT_LEADER');
  }

  #topic(name: string): ScriptedTopic {
    const topic = this.topics.get(name);
    if (topic === undefined) throw new Error(`no topic ${name}`);
    return topic;
  }

  /** A node that stood still has everything now. */
  catchUp(node: number): void {
    this.lagging.delete(node);
    const topics = [...this.topics.values()].map(({ metadata }) => metadata);
    for (const topic of topics) this.nodes.get(node)?.push({ topics: [topic] }, topic.name);
  }

  #push(update: Partially<MetadataUpdate>, name: string): void {
    for (const node of this.nodes.values()) if (!this.lagging.has(node.id)) node.push(update, name);
  }
}

export type Led =
  | { readonly metadata: PartitionMetadata; readonly log: ScriptedLog; readonly name: string }
  | SluiceError;

interface Watcher {
  readonly sender: StreamSender<MetadataUpdate>;
  readonly names: Set<string>;
}

export class ScriptedNode {
  readonly id: number;
  readonly cluster: ScriptedCluster;
  readonly watchers = new Set<Watcher>();
  readonly produceStreams = new Set<ProduceStream>();
  readonly fetchStreams = new Set<FetchStream>();
  /** Says nothing on watches and produce streams. */
  silent = false;
  /** Lets nobody produce. */
  refusing = false;
  /** As it tells its watchers; 0: it knows none. */
  controllerLeader = 1;
  /** Its disk hangs. */
  isStalled = false;

  constructor(cluster: ScriptedCluster, id: number) {
    this.cluster = cluster;
    this.id = id;
  }

  async listen(): Promise<void> {
    const { clock, network } = this.cluster;
    const dispatcher = new Dispatcher({
      face: 'client',
      listener: 'main',
      limits: defaultLimits.client,
      logger: silentLogger,
      clock,
      authorize: () => true,
    });
    this.#serve(dispatcher);
    const transport = new MemoryTransport(network, `node-${this.id}`);
    await transport.listen(addressOf(this.id), dispatcher.accept);
  }

  push(update: Partially<MetadataUpdate>, name: string): void {
    for (const { sender, names } of this.watchers) if (names.has(name)) sender.send(this.#update(update));
  }

  #update(update: Partially<MetadataUpdate>): Partially<MetadataUpdate> {
    const { clusterId, metadataIndex } = this.cluster;
    const index = this.cluster.lagging.has(this.id) ? 1 : metadataIndex;
    const { controllerLeader, isStalled } = this;
    return { clusterId, metadataIndex: index, controllerLeader, isStalled, ...update };
  }

  #serve(dispatcher: Dispatcher): void {
    const { cluster } = this;
    dispatcher.stream(methods.admin.watchMetadata, (_call, sender) => {
      const watcher: Watcher = { sender, names: new Set() };
      this.watchers.add(watcher);
      return {
        onMessage: ({ topicNames, allTopics }) => {
          if (this.silent) return;
          for (const name of topicNames) watcher.names.add(name);
          const topics = cluster.lagging.get(this.id) ?? cluster.topics;
          const asked = allTopics ? [...topics.keys()] : topicNames;
          sender.send(
            this.#update({
              nodes: [1, 2, 3].map((nodeId) => ({
                nodeId,
                address: addressOf(nodeId),
                rack: '',
                up: cluster.nodes.has(nodeId),
              })),
              topics: asked.flatMap((name) => topics.get(name)?.metadata ?? []),
              unknownTopicNames: asked.filter((name) => !topics.has(name)),
            }),
          );
        },
        onEnd: () => sender.end(),
        onClose: () => this.watchers.delete(watcher),
      };
    });
    dispatcher.stream(methods.broker.produce, (_call, sender) => new ProduceStream(this, sender));
    dispatcher.stream(methods.broker.fetch, (_call, sender) => new FetchStream(this, sender));
    dispatcher.unary(methods.broker.initProducer, async () => {
      cluster.nextProducerId += 1;
      return { producerId: cluster.nextProducerId, producerEpoch: 0 };
    });
    dispatcher.unary(methods.broker.listOffsets, async ({ partitions, sinceMs }) => {
      const answer = partitions.map((partition): Partially<PartitionOffsets> => {
        const led = cluster.led(this.id, partition);
        if (isSluiceError(led)) return { partition, error: encodeError(led) };
        const { logStart, highWatermark } = led.log;
        const sinceOffset = led.log.offsetSince(sinceMs);
        return { partition, logStart, highWatermark, logEnd: highWatermark, writable: true, sinceOffset };
      });
      cluster.onOffsetsListed();
      return { partitions: answer };
    });
    dispatcher.unary(methods.broker.trimPartitions, async ({ partitions }) => ({
      partitions: partitions.map(({ partition, before }) => {
        const led = cluster.led(this.id, partition ?? { topicId: '', partition: 0 });
        const error = isSluiceError(led) ? led : cluster.onTrim(partition?.partition ?? 0);
        return error === undefined ? { partition, logStart: before } : { partition, error: encodeError(error) };
      }),
    }));
    this.#serveChanges(dispatcher);
  }

  #serveChanges(dispatcher: Dispatcher): void {
    const { cluster } = this;
    dispatcher.unary(methods.admin.createTopic, async ({ name, partitions }) => {
      if (cluster.topics.has(name)) throw new SluiceError('TOPIC_EXISTS');
      cluster.createTopic(
        name,
        Array.from({ length: Math.max(1, partitions) }, (_, at) => (at % 3) + 1),
      );
      return { topic: cluster.topics.get(name)?.metadata };
    });
    dispatcher.unary(methods.admin.deleteTopic, async ({ name }) => {
      if (!cluster.topics.has(name)) throw new SluiceError('UNKNOWN_TOPIC');
      cluster.deleteTopic(name);
      return {};
    });
    dispatcher.unary(methods.admin.electPreferred, async ({ partitionsMax }) => {
      const changed = Math.min(partitionsMax, cluster.misplaced);
      cluster.misplaced -= changed;
      return { changed, remaining: cluster.misplaced };
    });
    dispatcher.unary(methods.admin.describeCluster, async () => ({
      clusterId: cluster.clusterId,
      nodes: [{ nodeId: 1, state: 'up' }],
    }));
  }
}

class ProduceStream implements StreamReceiver<ProduceRequest> {
  readonly sender: StreamSender<ProduceResponse>;
  readonly #node: ScriptedNode;
  /** Of batches in parts: the first of them, and all that came. */
  readonly #begun = new Map<number, { readonly first: ProduceBatch; readonly assembler: PartAssembler }>();
  readonly #refused = new Set<number>();
  /** Batches under way on this stream, and the most there ever were. */
  heldBytes = 0;
  creditBytes = 0;

  constructor(node: ScriptedNode, sender: StreamSender<ProduceResponse>) {
    this.#node = node;
    this.sender = sender;
    node.produceStreams.add(this);
  }

  onMessage(request: ProduceRequest): void {
    const { cluster, id } = this.#node;
    if (this.#node.silent) return;
    if (this.#node.refusing) throw new SluiceError('PERMISSION_DENIED');
    if (request.open !== null) {
      this.creditBytes = cluster.produceWindowBytes;
      this.sender.send({ opened: { nodeId: id, batchBytesMax: 9_000_000 }, creditBytes: this.creditBytes });
    }
    const seen = new Set<string>();
    for (const part of request.batches) {
      const batch = this.#whole(part);
      if (batch === undefined) continue;
      const key = `${batch.topicId}/${batch.partition}`;
      if (seen.has(key)) throw new SluiceError('INVALID_REQUEST', { message: 'two batches of one partition' });
      seen.add(key);
      this.#take(batch);
    }
  }

  onClose(): void {
    this.#node.produceStreams.delete(this);
  }

  #whole(part: ProduceBatch): ProduceBatch | undefined {
    const { requestId, batch: bytes, moreBytes } = part;
    let begun = this.#begun.get(requestId);
    if (begun === undefined && moreBytes === 0) return part;
    begun ??= { first: part, assembler: new PartAssembler({ bytes, moreBytes }, 9_000_000) };
    const { refuseFirstParts } = this.#node.cluster;
    if (part === begun.first && refuseFirstParts !== undefined) {
      this.#refused.add(requestId);
      this.sender.send({ results: [{ requestId, error: encodeError(refuseFirstParts) }] });
    }
    this.#begun.set(requestId, begun);
    const batch = begun.assembler.add({ bytes, moreBytes });
    if (batch === undefined) return undefined;
    this.#begun.delete(requestId);
    if (this.#refused.delete(requestId)) return undefined;
    return { ...begun.first, batch, moreBytes: 0 };
  }

  #take(request: ProduceBatch): void {
    const { cluster, id } = this.#node;
    const { requestId, topicId: topic, partition } = request;
    // A Buffer's `slice` would not copy.
    const bytes = new Uint8Array(request.batch);
    if (this.creditBytes <= 0) throw new SluiceError('CREDIT_EXCEEDED');
    this.creditBytes -= bytes.length;
    const header = readBatchHeader(bytes);
    if (!header.ok) throw new Error(header.problem.message);
    const name = cluster.withId(topic)?.metadata.name;
    const atMs = cluster.clock.monotonicMs();
    const received = { node: id, atMs, topic: name, partition, header: header.value, bytes: bytes.slice() };
    cluster.received.push(received);
    const fate = cluster.onProduce(received);
    if (fate === 'drop') return;
    const led = isSluiceError(fate) ? fate : cluster.led(id, request);
    const appended = isSluiceError(led) ? led : led.log.append(bytes, led.metadata.leaderEpoch);
    const outcome =
      typeof fate === 'object' && 'appendThen' in fate && !isSluiceError(appended) ? fate.appendThen : appended;
    if (!isSluiceError(led))
      for (const node of cluster.nodes.values()) node.fetchStreams.forEach((each) => each.pump());
    if (fate === 'appendOnly') return;
    this.creditBytes += bytes.length;
    const result =
      typeof outcome === 'number'
        ? { requestId, baseOffset: outcome, error: null }
        : { requestId, baseOffset: 0, error: encodeError(outcome) };
    this.sender.send({ results: [result], creditBytes: bytes.length });
  }
}

export class FetchStream implements StreamReceiver<FetchRequest> {
  readonly #sender: StreamSender<FetchResponse>;
  readonly #node: ScriptedNode;
  readonly #credit = new SendCredit();
  readonly #subscriptions = new Map<number, { readonly start: FetchStart; next: number; confirmed: boolean }>();
  readonly #used = new Set<number>();

  constructor(node: ScriptedNode, sender: StreamSender<FetchResponse>) {
    this.#node = node;
    this.#sender = sender;
    node.fetchStreams.add(this);
  }

  onMessage(request: FetchRequest): void {
    this.#node.cluster.fetches.push(request);
    if (request.open !== null) this.#sender.send({ nodeId: this.#node.id });
    for (const number of request.stop) this.#subscriptions.delete(number);
    for (const start of request.start) this.#start(start);
    this.#credit.grant(request.creditBytes);
    this.pump();
  }

  onClose(): void {
    this.#node.fetchStreams.delete(this);
  }

  fail(error: SluiceError): void {
    for (const subscription of this.#subscriptions.keys()) this.#refuse(subscription, error);
  }

  pump(): void {
    const { cluster, id } = this.#node;
    for (const [subscription, state] of this.#subscriptions) {
      for (;;) {
        const led = cluster.led(id, state.start);
        if (isSluiceError(led)) {
          this.#refuse(subscription, led);
          break;
        }
        const { highWatermark, logStart } = led.log;
        const behind = state.next < highWatermark;
        if ((behind && !this.#credit.canSend) || (!behind && state.confirmed)) break;
        const batches = behind ? led.log.read(state.next, 300) : [];
        for (const batch of batches) this.#credit.take(batch.length);
        const last = batches.at(-1);
        const header = last === undefined ? undefined : readBatchHeader(last);
        if (header?.ok === true) state.next = header.value.baseOffset + header.value.lastOffsetDelta + 1;
        state.confirmed = true;
        const sent = cluster.onSend(batches);
        const run = { subscription, batches: sent, nextOffset: state.next, highWatermark, logStart };
        this.#sender.send({ runs: [run] });
      }
    }
  }

  #start(start: FetchStart): void {
    const { cluster, id } = this.#node;
    if (this.#used.has(start.subscription)) throw new SluiceError('INVALID_REQUEST', { message: 'number used twice' });
    this.#used.add(start.subscription);
    const led = cluster.led(id, start);
    if (isSluiceError(led)) return this.#refuse(start.subscription, led);
    const { leaderEpoch } = led.metadata;
    if (start.leaderEpoch >= 0 && start.leaderEpoch < leaderEpoch) {
      return this.#refuse(start.subscription, new SluiceError('FENCED_LEADER_EPOCH'));
    }
    const { logStart, highWatermark } = led.log;
    if (start.fromOffset < logStart || start.fromOffset > highWatermark) {
      return this.#refuse(start.subscription, new SluiceError('OFFSET_OUT_OF_RANGE'));
    }
    this.#subscriptions.set(start.subscription, { start, next: start.fromOffset, confirmed: false });
  }

  #refuse(subscription: number, error: SluiceError): void {
    this.#subscriptions.delete(subscription);
    this.#sender.send({ failures: [{ subscription, error: encodeError(error) }] });
  }
}
