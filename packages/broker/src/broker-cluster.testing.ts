/**
 * Brokers over memory ports and one controller that decides at once: the same `decide` and image as the real one, its
 * entries handed to each broker's feed when the test lets them. Time moves by hand.
 */
import { brokerEpoch, directoryId, leaderEpoch, logIndex, nodeId, partitionEpoch, partitionIndex } from '@sluice/base';
import { clusterId, SeededRandom, silentLogger, SluiceError, topicId } from '@sluice/base';
import type { BrokerEpoch, NodeId, TopicId } from '@sluice/base';
import { decide, defaultNamespace, MetadataImage } from '@sluice/metadata';
import type {
  AlterPartitionResult,
  ControllerAddress,
  KnownVoter,
  MetadataFeed,
  MetadataListener,
  MetadataRecord,
  MetadataRequest,
  ResponseValues,
} from '@sluice/metadata';
import { compressionOver } from '@sluice/record';
import { DataDirectory, MemoryDisk, openNodeLog } from '@sluice/storage';
import type { FaultPlan, NodeLog, NodeLogLimits } from '@sluice/storage';
import {
  defaultLimits,
  Dispatcher,
  encodeError,
  MemoryNetwork,
  MemoryTransport,
  methods,
  inlineZlib,
  RpcClient,
} from '@sluice/wire';
import type { AlterPartitionsRequest, HeartbeatRequest, HeartbeatResponse, StreamSender } from '@sluice/wire';
import { BrokerNode } from './broker-node.ts';
import type { BrokerConfig } from './broker-node.ts';
import { ManualClock } from '@sluice/wire';
import type { NodeIdentity } from './node-identity.ts';

export const testBrokerConfig: BrokerConfig = {
  heartbeatMs: 200,
  sessionTimeoutMs: 1500,
  diskStallMs: 2000,
  replicaLagMsMax: 2000,
  producerExpiryMs: 86_400_000,
  producerCountMax: 1000,
  ackTimeoutMs: 5000,
  receiveBudgetBytes: 1024 * 1024,
  produceWindowBytesMax: 256 * 1024,
  fetchWindowBytesMax: 256 * 1024,
  replicateWindowBytes: 256 * 1024,
  catchUpBytesPerSecondMax: 1024 * 1024 * 1024,
  retentionCheckMs: 30_000,
  compactionMemoryBytesMax: 1024 * 1024,
  compactionReadBytesPerSecondMax: 1024 * 1024 * 1024,
};

const cluster = clusterId('c'.repeat(32));
const controllerAddress = '10.0.0.9:7651';
export const peerAddress = (id: number): string => `10.0.0.${id}:7651`;
export const clientAddress = (id: number): string => `10.0.0.${id}:7650`;

interface TestEntry {
  readonly index: number;
  readonly records: readonly MetadataRecord[];
}

/** One node's copy of the metadata: as far as the test lets it. */
export class TestFeed implements MetadataFeed {
  readonly image = new MetadataImage();
  held = false;
  controller: ControllerAddress | undefined = { nodeId: nodeId(9), address: controllerAddress };
  voters: readonly KnownVoter[] = [];
  readonly #entries: readonly TestEntry[];
  readonly #listeners = new Set<MetadataListener>();

  constructor(entries: readonly TestEntry[]) {
    this.#entries = entries;
  }

  subscribe(listener: MetadataListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  catchUp(): void {
    while (!this.held) {
      const entry = this.#entries[this.image.appliedIndex];
      if (entry === undefined) return;
      const index = logIndex(entry.index);
      const change = this.image.replayEntry(index, entry.records);
      for (const listener of this.#listeners) listener.onApplied(index, change);
    }
  }

  /** All there is as one change, as a node hears of it that is given a snapshot instead of entries. */
  restore(): void {
    const later = new MetadataImage();
    for (const { index, records } of this.#entries) later.replayEntry(logIndex(index), records);
    const change = this.image.become(later);
    for (const listener of this.#listeners) listener.onApplied(this.image.appliedIndex, change);
  }

  setController(controller: ControllerAddress | undefined): void {
    this.controller = controller;
    for (const listener of this.#listeners) listener.onController(controller);
  }
}

export interface TestBroker {
  readonly id: NodeId;
  readonly feed: TestFeed;
  readonly nodeLog: NodeLog;
  readonly broker: BrokerNode;
  readonly identity: NodeIdentity & { revoked: boolean; brokerEpoch: BrokerEpoch };
  readonly halts: Error[];
  /** Phrases at `warn`. */
  readonly warnings: string[];
}

export interface TestTopic {
  readonly partitions?: number;
  readonly replication?: number;
  readonly minIsr?: number;
  readonly name?: string;
  readonly config?: Readonly<Record<string, string>>;
}

export class BrokerCluster {
  readonly clock = new ManualClock();
  readonly network: MemoryNetwork;
  readonly image = new MetadataImage();
  readonly entries: TestEntry[] = [];
  readonly brokers = new Map<number, TestBroker>();
  readonly disks = new Map<number, MemoryDisk>();
  readonly rpc: RpcClient;
  /** Answers ISR proposals with this instead, when set. */
  refuseAlterations: SluiceError | undefined;
  /** What the controller says of the wall clocks. */
  clocksAgree = true;
  readonly alterations: AlterPartitionsRequest[] = [];
  /** Of the disks of nodes. */
  readonly faults = new Map<number, FaultPlan>();
  /** How long the answer to such a report is under way; metadata is not. */
  damageReplyMs = 0;
  /** Who reported damage. */
  readonly damageReports: NodeId[] = [];
  /** Of the node logs that are opened from now on. */
  logLimits: Partial<NodeLogLimits> = {};
  readonly #config: BrokerConfig;
  readonly #random = new SeededRandom(1);
  #topics = 0;
  #hasController = false;

  /** `delayMs`: how long each message is under way; default: it arrives in the next turn. */
  constructor(config: Partial<BrokerConfig> = {}, delayMs?: number) {
    const { clock } = this;
    this.network = new MemoryNetwork(
      delayMs === undefined ? { clock } : { clock, schedule: (_link, deliver) => clock.setTimer(delayMs, deliver) },
    );
    this.#config = { ...testBrokerConfig, ...config };
    this.rpc = new RpcClient(new MemoryTransport(this.network, 'client'));
    this.decide({ type: 'initialize', clusterId: cluster, level: 1 });
  }

  async start(...ids: readonly number[]): Promise<void> {
    if (!this.#hasController) await this.#startController();
    this.#hasController = true;
    for (const id of ids) await this.#startBroker(id);
    await this.clock.until('brokers are let in', () => ids.every((id) => this.image.node(nodeId(id))?.state === 'up'));
  }

  /** Ends the process; what its disk had synced stays. */
  kill(id: number): void {
    this.at(id).broker.stop();
    this.network.crash(`node${id}`);
    this.disks.get(id)?.crash({ keep: 'nothing' });
    this.brokers.delete(id);
  }

  at(id: number): TestBroker {
    const broker = this.brokers.get(id);
    if (broker === undefined) throw new Error(`broker ${id} does not run`);
    return broker;
  }

  /** Fences nodes as the controller would. */
  fence(...ids: readonly number[]): void {
    const nodes = ids.map((id) => ({ nodeId: nodeId(id), brokerEpoch: this.image.node(nodeId(id))!.brokerEpoch }));
    this.decide({ type: 'fenceNodes', nodes });
  }

  createTopic(options: TestTopic = {}): TopicId {
    this.#topics += 1;
    const { partitions = 1, replication = this.brokers.size, minIsr = Math.min(2, replication) } = options;
    const { topicId: id } = this.decide({
      type: 'createTopic',
      topicId: topicId(this.#topics.toString(16).padStart(32, '0')),
      namespace: defaultNamespace,
      name: options.name ?? `topic-${this.#topics}`,
      partitions,
      replication,
      config: { ...options.config, minIsr: String(minIsr) },
    });
    return id;
  }

  deleteTopic(name: string): void {
    this.decide({ type: 'deleteTopic', namespace: defaultNamespace, name });
  }

  /** Decided, replayed, and handed to every feed that is not held. */
  decide<Request extends MetadataRequest>(request: Request): ResponseValues[Request['type']] {
    const { records, response } = decide(this.image, request);
    if (!response.ok) {
      const { code, message } = response.error;
      throw new SluiceError(code, { message });
    }
    if (records.length > 0) {
      const index = this.image.appliedIndex + 1;
      this.image.replayEntry(logIndex(index), records);
      this.entries.push({ index, records });
      for (const { feed } of this.brokers.values()) feed.catchUp();
    }
    return response.value as ResponseValues[Request['type']];
  }

  async settled<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const watched = promise.finally(() => {
      over = true;
    });
    watched.catch(() => undefined);
    await this.clock.until('a promise settles', () => over);
    return watched;
  }

  dispatcher(face: 'client' | 'peer'): Dispatcher {
    const { clock } = this;
    const limits = defaultLimits[face];
    return new Dispatcher({ face, listener: face, limits, logger: silentLogger, clock, authorize: () => true });
  }

  async #startController(): Promise<void> {
    const peers = this.dispatcher('peer');
    const { controller } = methods;
    peers.unary(controller.register, async (request) => {
      const { identity, listeners, peerAddress: peer, adminAddress, version, lossy, unclean } = request;
      const id = nodeId(identity?.nodeId ?? 0);
      const before = this.image.node(id);
      if (before !== undefined && before.incarnation !== identity?.incarnation) this.fence(id);
      const known = identity?.brokerEpoch ?? 0;
      const registered = this.decide({
        type: 'registerNode',
        nodeId: id,
        directoryId: directoryId(identity?.directoryId ?? ''),
        incarnation: identity?.incarnation ?? '',
        softwareVersion: version,
        rack: null,
        clientListeners: listeners,
        peerAddress: peer,
        adminAddress,
        lastBrokerEpoch: known === 0 ? null : brokerEpoch(known),
        lossy,
        unclean,
        sessionLive: false,
      });
      return { ...registered, brokerEpoch: registered.brokerEpoch ?? this.image.appliedIndex };
    });
    peers.stream(controller.heartbeat, (_call, sender) => {
      let from = 0;
      return {
        onMessage: (request) => {
          from = request.identity?.nodeId ?? from;
          this.#onHeartbeat(nodeId(from), request, sender);
        },
        onEnd: () => sender.end(),
        onClose: () => undefined,
      };
    });
    peers.unary(controller.alterPartitions, async (request) => {
      this.alterations.push(request);
      if (this.refuseAlterations !== undefined) throw this.refuseAlterations;
      return { partitions: this.#alter(request).map(resultMessage) };
    });
    peers.unary(controller.reportDamage, async (request) => {
      const node = { nodeId: nodeId(request.identity?.nodeId ?? 0), brokerEpoch: brokerEpoch(request.brokerEpoch) };
      const about = { topicId: topicId(request.topicId), partition: partitionIndex(request.partition) };
      const { since } = this.decide({ type: 'reportDamage', ...node, ...about, serves: request.serves });
      this.damageReports.push(node.nodeId);
      if (this.damageReplyMs > 0) {
        await new Promise<void>((resolve) => void this.clock.setTimer(this.damageReplyMs, resolve));
      }
      return since === null ? { stays: true } : { since };
    });
    peers.unary(controller.allocateProducerIds, async (request) => {
      const id = nodeId(request.identity?.nodeId ?? 0);
      const epoch = brokerEpoch(request.brokerEpoch);
      const { first, count } = this.decide({ type: 'allocateProducerIds', nodeId: id, brokerEpoch: epoch });
      return { firstProducerId: first, count };
    });
    peers.unary(controller.createTopic, async ({ request }) => {
      const name = request?.name ?? '';
      const id = this.createTopic({ name });
      return { topic: { topicId: id, name } };
    });
    peers.unary(controller.deleteTopic, async ({ request }) =>
      this.decide({ type: 'deleteTopic', namespace: defaultNamespace, name: request?.name ?? '' }),
    );
    await new MemoryTransport(this.network, 'controller').listen(controllerAddress, peers.accept);
  }

  #onHeartbeat(id: NodeId, request: HeartbeatRequest, sender: StreamSender<HeartbeatResponse>): void {
    const known = this.image.node(id);
    if (known?.brokerEpoch !== request.brokerEpoch) {
      return sender.send({ error: encodeError(new SluiceError('STALE_BROKER_EPOCH')) });
    }
    const identity = { nodeId: id, brokerEpoch: known.brokerEpoch };
    if (request.draining) {
      const { leading } = this.decide({ type: 'drainNode', ...identity, partitionsMax: 100_000 });
      const applyIndex = this.image.appliedIndex;
      return sender.send({ up: true, mayStop: leading === 0, applyIndex, clocksAgree: this.clocksAgree });
    }
    if (known.state === 'fenced' && request.metadataIndex >= known.stateIndex) {
      this.decide({ type: 'unfenceNode', ...identity, metadataIndex: logIndex(request.metadataIndex) });
    }
    sender.send({ up: this.image.node(id)?.state !== 'fenced', clocksAgree: this.clocksAgree });
  }

  #alter(request: AlterPartitionsRequest): readonly AlterPartitionResult[] {
    return this.decide({
      type: 'alterPartitions',
      nodeId: nodeId(request.identity?.nodeId ?? 0),
      brokerEpoch: brokerEpoch(request.brokerEpoch),
      partitions: request.partitions.map((one) => ({
        topicId: topicId(one.topicId),
        partition: partitionIndex(one.partition),
        leaderEpoch: leaderEpoch(one.leaderEpoch),
        partitionEpoch: partitionEpoch(one.partitionEpoch),
        isr: one.isr.map((member) => ({
          nodeId: nodeId(member.nodeId),
          brokerEpoch: brokerEpoch(member.brokerEpoch),
          statedEpoch: partitionEpoch(member.statedEpoch),
        })),
      })),
    }).results;
  }

  async #startBroker(id: number): Promise<void> {
    const { clock } = this;
    // What ends here is killed.
    const unclean = this.disks.has(id);
    const disk =
      this.disks.get(id) ??
      new MemoryDisk({
        complete: (run) => clock.defer(run),
        faults: (operation) => this.faults.get(id)?.(operation) ?? 'run',
      });
    this.disks.set(id, disk);
    const directory = await this.settled(DataDirectory.open(disk, '/data'));
    const halts: Error[] = [];
    const warnings: string[] = [];
    const halt = { halt: (reason: Error): void => void halts.push(reason) };
    const limits = { ...this.logLimits, pendingBytesMax: this.#config.receiveBudgetBytes };
    const nodeLog = await this.settled(openNodeLog({ directory, clock, halt, logger: silentLogger, limits }));
    const transport = new MemoryTransport(this.network, `node${id}`);
    const identity = this.#identity(id);
    const feed = new TestFeed(this.entries);
    feed.catchUp();
    const broker = new BrokerNode({
      identity,
      registration: {
        version: 'test',
        rack: '',
        listeners: [{ name: 'client', protocol: 'grpc', address: clientAddress(id) }],
        peerAddress: peerAddress(id),
        adminAddress: `10.0.0.${id}:7652`,
        unclean,
      },
      config: this.#config,
      nodeLog,
      feed,
      rpc: new RpcClient(transport),
      clock,
      random: new SeededRandom(id),
      logger: { ...silentLogger, warn: (phrase) => warnings.push(phrase) },
      halt,
      stages: { observe: () => undefined },
      compression: compressionOver(inlineZlib),
      diskBytes: async () => 0,
    });
    const [clients, peers] = [this.dispatcher('client'), this.dispatcher('peer')];
    broker.serve([clients], peers);
    await transport.listen(clientAddress(id), clients.accept);
    await transport.listen(peerAddress(id), peers.accept);
    this.brokers.set(id, { id: nodeId(id), feed, nodeLog, broker, identity, halts, warnings });
    broker.start();
  }

  #identity(id: number): TestBroker['identity'] {
    const identity = {
      nodeId: nodeId(id),
      directoryId: directoryId(id.toString(16).padStart(32, 'd')),
      incarnation: this.#random.identity(),
      clusterId: cluster,
      brokerEpoch: this.image.node(nodeId(id))?.brokerEpoch ?? brokerEpoch(0),
      revoked: false,
      saveBrokerEpoch: async (epoch: BrokerEpoch) => {
        identity.brokerEpoch = epoch;
      },
      onIncomplete: async () => {
        identity.revoked = true;
      },
    };
    return identity;
  }
}

function resultMessage({ result }: AlterPartitionResult) {
  if (!result.ok) return { error: encodeError(new SluiceError(result.error.code)) };
  const { leaderEpoch: leader, partitionEpoch: partition, isr } = result.value;
  return { leaderEpoch: leader, partitionEpoch: partition, isr };
}
