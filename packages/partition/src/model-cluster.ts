/**
 * Three replicas, their disks, a controller and producers under a random schedule of faults: messages lost, doubled and
 * reordered, ISR proposals decided long after they were given up, leaders deposed that hear of it late, processes crashed
 * with what they had not synced, all of them at once, a directory wiped, leaders moved.
 * After every event the promises of `ModelHistory` are checked; the same seed gives the same run.
 *
 * With durability `replicated` there is no power cut of all, and of the in-sync replicas one always is left that did not
 * lose its memory; nor is that one fenced or voted out before those that did have come back. Short of that, nothing acked
 * may be lost.
 */
import { SeededRandom, nodeId, offset, offsetAfter, producerEpoch, producerId } from '@sluice/base';
import type {
  BrokerEpoch,
  Durability,
  NodeId,
  Offset,
  PartitionEpoch,
  ProducerId,
  Random,
  SessionNumber,
} from '@sluice/base';
import type { PartitionConfig } from './config.ts';
import type {
  IsrProposal,
  PartitionEffects,
  ProduceReply,
  TrimReply,
  ReloadProducers,
  ReplicationMessage,
  StartPush,
} from './effects.ts';
import type {
  AppendEvent,
  AssignedEvent,
  FollowerAckEvent,
  IsrChangeOutcome,
  PartitionEvent,
  PushedEvent,
} from './events.ts';
import { LogScan } from './log-scan.ts';
import { ModelController } from './model-controller.ts';
import type { ModelMetadata } from './model-controller.ts';
import { ModelHistory, Violation } from './model-history.ts';
import { ModelLog } from './model-log.ts';
import type { ModelBatch } from './model-log.ts';
import { PartitionReplica } from './replica.ts';

const config: PartitionConfig = {
  sessionTimeoutMs: 1_500,
  replicaLagMsMax: 2_000,
  producerExpiryMs: 86_400_000,
  producerCountMax: 1_000,
};
const minIsr = 2;
/** Five to ten records reach the bound of what may be acked from memory. */
const recordBytes = 40_000;

export interface ModelOptions {
  readonly durability?: Durability;
  /** A replica that lost its memory stays in sync: what must be found. */
  readonly uncleanStaysInSync?: boolean;
}

interface ModelNode {
  readonly id: NodeId;
  log: ModelLog;
  replica: PartitionReplica | undefined;
  brokerEpoch: BrokerEpoch | undefined;
  metadata: ModelMetadata[];
  readonly pushes: Map<NodeId, StartPush & { cursor: Offset; brokerEpoch: BrokerEpoch }>;
  readonly requests: Map<number, ModelRequest>;
  reloads: ReloadProducers[];
  /** It lost what was in memory, and did not register since. */
  unclean: boolean;
  /** Until then it hears of no metadata: a leader that was deposed goes on appending. */
  deafUntilMs: number;
  damage: Damage | undefined;
}

/** The log is damaged from `intactEnd` on, and has left the ISR at this partition epoch. */
interface Damage {
  readonly intactEnd: Offset;
  readonly since: PartitionEpoch;
}

interface ModelProducer {
  readonly id: ProducerId | undefined;
  readonly acks: 'all' | 'leader';
  epoch: number;
  /** Sent or to be sent, not yet known to be in the log; at most five. */
  open: ModelRequest[];
  nextSequence: number;
  made: number;
}

interface ModelRequest {
  readonly producer: ModelProducer;
  /** Counted from 1. */
  readonly ordinal: number;
  readonly epoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  readonly value: string;
}

interface Asked {
  readonly proposal: IsrProposal;
  readonly from: NodeId;
  readonly incarnation: BrokerEpoch;
}

type Envelope =
  | {
      readonly to: NodeId;
      readonly incarnation: BrokerEpoch;
      readonly event: PartitionEvent;
      readonly bytes?: readonly ModelBatch[];
    }
  | Asked;

export interface ModelReport {
  readonly acked: number;
  readonly committed: number;
  /** What happened how often, so that a run without its faults proves nothing. */
  readonly seen: ReadonlyMap<string, number>;
}

export class ModelCluster {
  readonly #random: Random;
  readonly #nodes: readonly ModelNode[];
  readonly #controller: ModelController;
  readonly #producers: readonly ModelProducer[];
  readonly #history = new ModelHistory();
  /** What the newest answered trim removed lies below. */
  #trimmedTo = offset(0);
  readonly #seen = new Map<string, number>();
  #network: Envelope[] = [];
  /** Proposals that were answered TIMEOUT and are still on their way. */
  #late: Asked[] = [];
  #nowMs = 1_000_000;
  #lastRequest = 0;
  #faults = true;
  readonly #quietness: number;

  readonly #durability: Durability;
  readonly #uncleanStaysInSync: boolean;

  constructor(seed: number, { durability = 'fsync', uncleanStaysInSync = false }: ModelOptions = {}) {
    this.#random = new SeededRandom(seed);
    this.#durability = durability;
    this.#uncleanStaysInSync = uncleanStaysInSync;
    this.#quietness = 1 + this.#random.below(12);
    const ids = [1, 2, 3].map(nodeId);
    this.#nodes = ids.map((id) => ({
      id,
      log: new ModelLog(offset(0)),
      replica: undefined,
      brokerEpoch: undefined,
      metadata: [],
      pushes: new Map(),
      requests: new Map(),
      reloads: [],
      unclean: false,
      deafUntilMs: 0,
      damage: undefined,
    }));
    this.#controller = new ModelController(ids, minIsr, (metadata) => {
      const before = this.#nodes[0]?.metadata.at(-1) ?? metadata;
      if (metadata.isr.length === 0) this.#count('isrEmpty');
      if (before.isr.length === 0 && metadata.isr.length > 0) this.#count('electedFromElr');
      for (const node of this.#nodes) node.metadata.push(metadata);
    });
    const producer = (id: number | undefined, acks: 'all' | 'leader'): ModelProducer => ({
      id: id === undefined ? undefined : producerId(id),
      acks,
      epoch: 0,
      open: [],
      nextSequence: 0,
      made: 0,
    });
    this.#producers = [producer(1, 'all'), producer(2, 'all'), producer(3, 'leader'), producer(undefined, 'all')];
  }

  /** Faults for `steps` random actions, then none until everything is the same everywhere. Throws `Violation`. */
  run(steps: number): ModelReport {
    for (const node of this.#nodes) this.#start(node, false);
    for (let step = 0; step < steps; step += 1) {
      this.#act();
      this.#checkTrimmed();
      this.#checkCandidates();
      this.#checkSuperset();
    }
    this.#heal();
    return { acked: this.#history.ackedCount, committed: this.#history.committedEnd, seen: this.#seen };
  }

  #act(): void {
    this.#nowMs += this.#random.below(20);
    const node = this.#any(this.#nodes);
    const draw = this.#random.below(1_000);
    if (draw < 400) return this.#deliver();
    if (draw < 540) return this.#produce();
    if (draw < 700) return this.#sync(node);
    if (draw < 800) return this.#pump(node);
    if (draw < 860) return this.#hearMetadata(node);
    if (draw < 910) return this.#tick(node);
    if (draw < 930) return this.#finishReload(node);
    if (draw < 955) return node.replica === undefined ? this.#start(node, false) : this.#unfence(node);
    if (draw < 962) return this.#step(node, { kind: 'restate' });
    if (draw < 966) return this.#trim(this.#leader() ?? node);
    if (draw < 968) return this.#decideLate();
    if (draw < 970) return this.#blink(node);
    if (draw < 971) return this.#deafen();
    // Quiet runs get far, wild ones get into corners.
    if (this.#random.below(this.#quietness) > 0) return this.#deliver();
    if (draw < 975) return this.#controller.move(node.id);
    if (draw < 983) return this.#crash(node);
    if (draw < 985) return this.#fence(node);
    if (draw < 986) return this.#damage(node);
    if (draw < 988) return this.#wipe(node);
    if (draw < 990) {
      if (this.#durability === 'replicated') return this.#stop(node);
      this.#count('powerCut');
      for (const one of this.#nodes) this.#crash(one);
      return undefined;
    }
    this.#nowMs += this.#random.below(1_500);
    return undefined;
  }

  #start(node: ModelNode, lossy: boolean): void {
    const isUnclean = this.#durability === 'replicated' && node.unclean && !this.#uncleanStaysInSync;
    node.unclean = false;
    node.brokerEpoch = this.#controller.register(node.id, lossy || isUnclean);
    const { start, end } = node.log.current;
    const scan = this.#scan(node);
    node.replica = new PartitionReplica({
      self: node.id,
      config,
      liveness: {
        heardAtMs: (other) => (this.#node(other).replica === undefined ? Number.NEGATIVE_INFINITY : this.#nowMs),
        controllerHeardAtMs: () => this.#nowMs,
      },
      loaded: {
        logStart: start,
        logEnd: end,
        highWatermark: undefined,
        epochs: scan.epochs,
        producers: scan.producers(),
        nowMs: this.#nowMs,
      },
    });
    node.reloads = [];
  }

  #scan(node: ModelNode): LogScan {
    const scan = new LogScan(config.producerCountMax);
    for (const batch of node.log.current.batches) scan.add(batch);
    return scan;
  }

  /** Some, all or none of what was not synced survives. */
  #crash(node: ModelNode): void {
    if (node.replica === undefined || this.#isLastWithMemory(node)) return;
    this.#count('crash');
    node.log.crash(this.#random.below(node.log.unsyncedCount + 1));
    node.unclean = true;
    this.#end(node);
  }

  /** In order: everything is synced. */
  #stop(node: ModelNode): void {
    if (node.replica === undefined) return;
    this.#count('stop');
    node.log.sync(node.log.unsyncedCount);
    this.#end(node);
  }

  #end(node: ModelNode): void {
    node.replica = undefined;
    node.deafUntilMs = 0;
    node.damage = undefined;
    node.pushes.clear();
    node.requests.clear();
    if (this.#random.below(2) === 0) this.#fence(node);
  }

  /** A node that is no member is fenced, and unfenced soon: neither epoch moves by it. */
  #blink(node: ModelNode): void {
    if (node.replica !== undefined && !this.#controller.complete.includes(node.id)) this.#controller.fence(node.id);
  }

  /** The leader is missed, and hears of it late: others commit, and trim, while it appends what nobody else will have. */
  #deafen(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    this.#count('deaf');
    leader.deafUntilMs = this.#nowMs + this.#random.below(10_000);
    this.#fence(leader);
  }

  #leader(): ModelNode | undefined {
    const { leader } = this.#controller.metadata;
    return leader === undefined ? undefined : this.#node(leader);
  }

  #fence(node: ModelNode): void {
    if (!this.#isLastWithMemory(node)) this.#controller.fence(node.id);
  }

  /** Every other in-sync replica has lost its memory already: with this one, acked records may go. */
  #isLastWithMemory(node: ModelNode): boolean {
    if (this.#durability === 'fsync') return false;
    const { complete } = this.#controller;
    return complete.includes(node.id) && !this.#hasMemory(complete.filter((id) => id !== node.id));
  }

  #hasMemory(members: readonly NodeId[]): boolean {
    return members.some((id) => !this.#node(id).unclean);
  }

  #isLastComplete(node: ModelNode): boolean {
    return this.#controller.complete.every((id) => id === node.id);
  }

  /** A new disk under an old name. f = minISR − 1: only while another member is known to be complete. */
  #wipe(node: ModelNode): void {
    if (this.#isLastComplete(node) || this.#isLastWithMemory(node)) return;
    this.#crash(node);
    this.#count('wipe');
    node.log = new ModelLog(offset(0));
    this.#start(node, true);
  }

  /** A read meets damage somewhere. f = minISR − 1, as for a wipe. */
  #damage(node: ModelNode): void {
    if (node.replica === undefined || node.damage !== undefined) return;
    if (this.#isLastComplete(node) || this.#isLastWithMemory(node)) return;
    const { batches } = node.log.current;
    const at = batches[this.#random.below(batches.length + 1)];
    const since = at && this.#controller.damage(node.id);
    if (at === undefined || since === undefined) return;
    this.#count('damage');
    node.damage = { intactEnd: at.baseOffset, since };
  }

  #unfence(node: ModelNode): void {
    if (node.brokerEpoch === undefined || !this.#controller.fenced(node.id)) return;
    this.#controller.unfence(node.id);
  }

  #hearMetadata(node: ModelNode): void {
    if (node.replica === undefined || node.brokerEpoch === undefined || node.metadata.length === 0) return;
    if (this.#faults && this.#nowMs < node.deafUntilMs) return;
    // Several changes may arrive as one image; only the last is seen then.
    const upTo = 1 + this.#random.below(node.metadata.length);
    const metadata = node.metadata.splice(0, upTo).at(-1);
    if (metadata === undefined) return;
    const before = node.replica.role;
    const damage = node.damage !== undefined && metadata.partitionEpoch >= node.damage.since ? node.damage : undefined;
    if (damage !== undefined) node.damage = undefined;
    const about = this.#topic(node.brokerEpoch);
    this.#step(node, { kind: 'assigned', ...metadata, ...about, ...(damage && { intactEnd: damage.intactEnd }) });
    if (node.replica.role === 'leader' && before !== 'leader') {
      this.#count('elected');
      if (this.#controller.metadata.leaderEpoch === metadata.leaderEpoch) this.#history.complete(node.id, node.log);
    }
  }

  /** Nothing is ever recovered here: somebody complete is always left. */
  #topic(
    selfBrokerEpoch: BrokerEpoch,
  ): Pick<AssignedEvent, 'minIsr' | 'durability' | 'selfBrokerEpoch' | 'recoveredEpoch' | 'nowMs'> {
    return { minIsr, durability: this.#durability, selfBrokerEpoch, recoveredEpoch: undefined, nowMs: this.#nowMs };
  }

  #tick(node: ModelNode): void {
    this.#step(node, { kind: 'tick', nowMs: this.#nowMs });
  }

  #sync(node: ModelNode): void {
    const durable = node.log.sync(this.#random.below(node.log.unsyncedCount + 1));
    if (durable !== undefined) this.#step(node, { kind: 'durable', ...durable, nowMs: this.#nowMs });
  }

  /** In half of the runs, because it makes divergence rarer. By retention, or by a request for any offset. */
  #trim(node: ModelNode): void {
    if (this.#quietness % 2 === 0 || node.replica === undefined) return;
    const upTo = this.#trimmable(node.replica);
    if (this.#random.below(2) === 0) return this.#step(node, { kind: 'trim', logStart: upTo });
    const { logStart } = node.replica;
    const before = offset(logStart + this.#random.below(Math.max(0, upTo - logStart) + 1));
    this.#lastRequest += 1;
    const requestId = this.#lastRequest;
    this.#step(node, { kind: 'trimRequest', requestId, before, deadlineMs: this.#nowMs + 1_000, nowMs: this.#nowMs });
  }

  #trimmable(replica: PartitionReplica): Offset {
    // Retention is longer than any producer goes on trying: what is still open must be known by its sequence.
    let upTo = replica.highWatermark;
    for (const { value } of this.#producers.flatMap((producer) => producer.open)) {
      const at = this.#history.offsetOf(value);
      if (at !== undefined && at < upTo) upTo = at;
    }
    return upTo;
  }

  #onTrimReply(reply: TrimReply): void {
    if (reply.error !== undefined) return this.#count(`trim ${reply.error}`);
    this.#count('trim answered');
    if (reply.logStart > this.#trimmedTo) this.#trimmedTo = reply.logStart;
  }

  /** What a trim removed, once that was answered, nobody may serve who leads or may lead next, whatever crashes. */
  #checkTrimmed(): void {
    for (const id of this.#controller.complete) {
      const { log, replica } = this.#node(id);
      const start = Math.min(log.durableStart, replica?.logStart ?? log.durableStart);
      if (start < this.#trimmedTo) {
        throw new Violation(`node ${id} may lead and starts at ${start}, below ${this.#trimmedTo}, which was trimmed`);
      }
    }
  }

  /** LeaderCandidateCompleteness: whoever may lead next holds, after any crash, all that any high watermark covers. */
  #checkCandidates(): void {
    if (this.#durability === 'replicated') return;
    for (const id of this.#controller.complete) {
      const end = this.#node(id).log.durableEnd;
      if (end < this.#history.committedEnd) {
        throw new Violation(`node ${id} may lead and holds up to ${end}, committed are ${this.#history.committedEnd}`);
      }
    }
  }

  /** D14: a leader that may commit counts everybody who may lead after it. */
  #checkSuperset(): void {
    const { leaderEpoch } = this.#controller.metadata;
    for (const { id, replica } of this.#nodes) {
      if (replica?.role !== 'leader' || replica.leaderEpoch !== leaderEpoch || replica.isr.length < minIsr) continue;
      const missed = this.#controller.complete.filter((each) => !replica.maximalIsr.includes(each));
      if (missed.length > 0) throw new Violation(`leader ${id} does not count ${missed}, who may lead next`);
    }
  }

  #finishReload(node: ModelNode): void {
    const reload = node.reloads.shift();
    if (reload === undefined) return;
    this.#count('reload');
    this.#step(node, {
      kind: 'producersReloaded',
      generation: reload.generation,
      producers: this.#scan(node).producers(),
    });
  }

  #produce(): void {
    const producer = this.#any(this.#producers);
    const leader = this.#nodes.find((node) => node.replica?.role === 'leader' && this.#random.below(4) > 0);
    if (leader?.replica === undefined) return;
    // I3: the oldest open one must still be in the window of five.
    const oldest = producer.open[0]?.ordinal ?? producer.made + 1;
    if (producer.made - oldest < 4 && this.#random.below(2) === 0) producer.open.push(this.#make(producer));
    // Any of the open ones may be sent, or sent again, in any order.
    const request = producer.open[this.#random.below(producer.open.length + 1)];
    if (request !== undefined) this.#send(leader, request);
  }

  #make(producer: ModelProducer): ModelRequest {
    const recordCount = 1 + this.#random.below(3);
    producer.made += 1;
    const request = {
      producer,
      ordinal: producer.made,
      epoch: producer.epoch,
      baseSequence: producer.nextSequence,
      recordCount,
      value: `p${producer.id ?? 'x'}.${producer.made}`,
    };
    producer.nextSequence += recordCount;
    return request;
  }

  #send(node: ModelNode, request: ModelRequest): void {
    const { id, acks } = request.producer;
    this.#lastRequest += 1;
    const requestId = this.#lastRequest;
    node.requests.set(requestId, request);
    // Without sequences nothing can be sent twice.
    if (id === undefined) request.producer.open = request.producer.open.filter((one) => one !== request);
    this.#step(node, {
      kind: 'append',
      requestId,
      recordCount: request.recordCount,
      bytes: request.recordCount * recordBytes,
      producer:
        id === undefined
          ? undefined
          : { producerId: id, producerEpoch: producerEpoch(request.epoch), baseSequence: request.baseSequence },
      acks,
      deadlineMs: this.#nowMs + 5_000,
      nowMs: this.#nowMs,
    });
  }

  #step(node: ModelNode, event: PartitionEvent, bytes: readonly ModelBatch[] = []): void {
    const { replica } = node;
    if (replica === undefined) return;
    if (event.kind === 'followerPosition' && event.leaderEpoch > (replica.leaderEpoch ?? 0)) this.#count('early');
    const before = replica.highWatermark;
    const fx = replica.step(event);
    this.#carryOut(node, event, { fx, bytes, generation: replica.generation });
    if (replica.role === 'failed') throw new Violation(`node ${node.id} gave up`);
    if (fx.trace.some((entry) => entry.kind === 'takenBack')) throw new Violation(`node ${node.id} took back`);
    if (replica.ackEnd > replica.durableEnd) this.#count('ackedFromMemory');
    if (this.#durability === 'replicated' && replica.ackEnd < replica.logEnd) this.#count('ackWithheld');
    if (replica.highWatermark > before) this.#history.committed(node.id, node.log, before, replica.highWatermark);
    for (const reply of fx.replies) this.#onReply(node, reply.requestId, reply);
    for (const reply of fx.trimReplies) this.#onTrimReply(reply);
  }

  #carryOut(
    node: ModelNode,
    event: PartitionEvent,
    done: { readonly fx: PartitionEffects; readonly bytes: readonly ModelBatch[]; readonly generation: number },
  ): void {
    const { fx } = done;
    for (const entry of fx.trace) this.#count(entry.kind === 'isrProposalEnded' ? entry.outcome : entry.kind);
    if (fx.log?.kind === 'append') {
      const batches = event.kind === 'append' ? [this.#batchOf(node, event, fx.log)] : done.bytes;
      node.log.apply(fx.log, batches);
    } else if (fx.log !== undefined) node.log.apply(fx.log, []);
    if (fx.reloadProducers !== undefined) node.reloads.push(fx.reloadProducers);
    if (fx.trimTo !== undefined) {
      this.#count('trimmed');
      node.log.trim(fx.trimTo, done.generation);
    }
    if (node.damage !== undefined) node.damage = movedWith(node.log, node.damage);
    for (const to of fx.stopPush) node.pushes.delete(to);
    for (const message of fx.sendNow) this.#post(node, message);
    for (const push of fx.startPush) {
      const follower = this.#node(push.to);
      if (follower.brokerEpoch === undefined) continue;
      node.pushes.set(push.to, { ...push, cursor: push.from, brokerEpoch: follower.brokerEpoch });
      this.#push(node, push.to);
    }
    if (fx.ack !== undefined && node.brokerEpoch !== undefined) {
      const { to, ...ack } = fx.ack;
      const event: FollowerAckEvent = {
        kind: 'followerAck',
        replica: node.id,
        brokerEpoch: node.brokerEpoch,
        ...ack,
        nowMs: this.#nowMs,
      };
      this.#enqueue(to, event);
    }
    if (fx.isrChange !== undefined && node.brokerEpoch !== undefined) {
      this.#network.push({ proposal: fx.isrChange, from: node.id, incarnation: node.brokerEpoch });
    }
  }

  #batchOf(
    node: ModelNode,
    event: AppendEvent,
    place: { readonly baseOffset: Offset; readonly leaderEpoch: ModelBatch['leaderEpoch'] },
  ): ModelBatch {
    return {
      baseOffset: place.baseOffset,
      endOffset: offsetAfter(place.baseOffset, event.recordCount),
      bytes: event.bytes,
      leaderEpoch: place.leaderEpoch,
      producer: event.producer,
      value: node.requests.get(event.requestId)?.value ?? 'unknown',
    };
  }

  #onReply(node: ModelNode, requestId: number, reply: ProduceReply): void {
    const request = node.requests.get(requestId);
    node.requests.delete(requestId);
    if (request === undefined) return;
    const { producer } = request;
    if (reply.error === undefined) {
      producer.open = producer.open.filter((one) => one !== request);
      if (producer.acks === 'all') this.#history.acked(request.value, reply.baseOffset, node.log);
      return;
    }
    this.#count(reply.error);
    if (reply.error !== 'OUT_OF_ORDER_SEQUENCE' || request !== producer.open[0]) return;
    // An ack by the leader alone may be lost with it, and retention drops what is known of a producer with its batches;
    // the producer then begins anew, giving up what is open. A leader that has lost its post must not cause it.
    if (producer.acks === 'all' && this.#faults) return;
    if (producer.acks === 'all' && !this.#seen.has('trimmed')) throw new Violation(`${request.value} is out of order`);
    producer.epoch += 1;
    producer.nextSequence = 0;
    producer.open = [];
  }

  #post(node: ModelNode, message: ReplicationMessage): void {
    const { to, leaderEpoch, session } = message;
    const nowMs = this.#nowMs;
    switch (message.kind) {
      case 'position': {
        if (node.brokerEpoch === undefined) return;
        const { kind: _kind, to: _to, ...stated } = message;
        const about = { replica: node.id, brokerEpoch: node.brokerEpoch, nowMs };
        return this.#enqueue(to, { kind: 'followerPosition', ...about, ...stated });
      }
      case 'divergence': {
        const { epoch, endOffset } = message;
        return this.#enqueue(to, { kind: 'diverged', leaderEpoch, session, epoch, endOffset });
      }
      case 'refusal': {
        const { error, logStart } = message;
        return this.#enqueue(to, { kind: 'positionRefused', leaderEpoch, session, error, logStart });
      }
    }
  }

  #pump(node: ModelNode): void {
    for (const to of node.pushes.keys()) this.#push(node, to);
  }

  #push(node: ModelNode, to: NodeId): void {
    const push = node.pushes.get(to);
    const { replica } = node;
    if (push === undefined || replica === undefined) return;
    const { leaderEpoch, session, cursor } = push;
    if (cursor < replica.logStart) {
      node.pushes.delete(to);
      const event = { leaderEpoch, session, error: 'OFFSET_OUT_OF_RANGE' as const, logStart: replica.logStart };
      return this.#enqueue(to, { kind: 'positionRefused', ...event });
    }
    const ready = node.log.current.batches.filter((batch) => batch.endOffset > cursor);
    const batches = ready.slice(0, 1 + this.#random.below(3));
    push.cursor = batches.at(-1)?.endOffset ?? cursor;
    const event: PushedEvent = {
      kind: 'pushed',
      leaderEpoch,
      session: session satisfies SessionNumber,
      batches,
      highWatermark: replica.highWatermark,
      logStart: replica.logStart,
      nowMs: this.#nowMs,
    };
    this.#enqueue(to, event, batches);
  }

  /** To the life of the node that is there now: a connection dies with the process that held it. */
  #enqueue(to: NodeId, event: PartitionEvent, bytes: readonly ModelBatch[] = []): void {
    const incarnation = this.#node(to).brokerEpoch;
    if (incarnation !== undefined) this.#network.push({ to, incarnation, event, bytes });
  }

  #deliver(): void {
    if (this.#network.length === 0) return;
    // Mostly in order, as on one stream; sometimes a message of another stream or an old copy comes first.
    const at = this.#faults && this.#random.below(6) === 0 ? this.#random.below(this.#network.length) : 0;
    const envelope = this.#network[at];
    if (envelope === undefined) return;
    const fate = this.#faults ? this.#random.below(40) : 2;
    // The shell asks once, and answers its own question when nobody else did: of proposals and results each comes once.
    if (fate !== 0 || isAboutIsr(envelope)) this.#network.splice(at, 1);
    if (fate === 1 && !isAboutIsr(envelope)) return;
    if ('proposal' in envelope) {
      if (fate > 10 || !this.#faults) return this.#decide(envelope);
      this.#late.push(envelope);
      return this.#answer(envelope, { kind: 'failed', error: 'TIMEOUT' });
    }
    const node = this.#node(envelope.to);
    if (node.brokerEpoch !== envelope.incarnation) return;
    const event = 'nowMs' in envelope.event ? { ...envelope.event, nowMs: this.#nowMs } : envelope.event;
    this.#step(node, event, envelope.bytes);
  }

  #decide(asked: Asked): void {
    const outcome = this.#outcomeOf(asked);
    if (outcome === undefined) return;
    const lost = this.#faults && this.#random.below(10) === 0;
    this.#answer(asked, lost ? { kind: 'failed', error: 'TIMEOUT' } : outcome);
  }

  /** Nobody waits for the answer any more. */
  #decideLate(): void {
    const [asked] = this.#late.splice(this.#random.below(this.#late.length + 1), 1);
    if (asked === undefined) return;
    if (this.#outcomeOf(asked)?.kind === 'applied') this.#count('appliedLate');
  }

  #outcomeOf({ proposal, from, incarnation }: Asked): IsrChangeOutcome | undefined {
    if (this.#node(from).brokerEpoch !== incarnation) return undefined;
    const members = proposal.isr.map((member) => member.nodeId);
    if (this.#durability === 'replicated' && !this.#hasMemory(members)) return undefined;
    return this.#controller.alter(from, proposal);
  }

  #answer({ proposal, from }: Asked, outcome: IsrChangeOutcome): void {
    const { leaderEpoch, partitionEpoch } = proposal;
    this.#enqueue(from, { kind: 'isrChangeResult', leaderEpoch, partitionEpoch, outcome, nowMs: this.#nowMs });
  }

  /** Liveness: without faults every replica comes to hold the same, and every open batch is acked. */
  #heal(): void {
    while (this.#late.length > 0) this.#decideLate();
    this.#faults = false;
    this.#network = this.#network.filter(isAboutIsr);
    for (const node of this.#nodes) if (node.replica === undefined) this.#start(node, false);
    for (const node of this.#nodes) this.#unfence(node);
    for (const node of this.#nodes) this.#step(node, { kind: 'restate' });
    for (let round = 0; round < 2_000 && !this.#settled(); round += 1) this.#calmRound();
    if (!this.#settled())
      throw new Violation(
        `not settled: ${JSON.stringify([this.#nodes.map(describe), this.#producers.map((one) => [one.id, one.epoch, one.open.map((open) => open.baseSequence)])])}`,
      );
    for (const node of this.#nodes) this.#history.complete(node.id, node.log);
  }

  #calmRound(): void {
    this.#nowMs += 100;
    for (const node of this.#nodes) {
      while (node.metadata.length > 0) this.#hearMetadata(node);
      this.#sync(node);
      while (node.reloads.length > 0) this.#finishReload(node);
      this.#pump(node);
      this.#tick(node);
    }
    for (let left = this.#network.length * 4; left > 0; left -= 1) this.#deliver();
    const leader = this.#nodes.find((node) => node.replica?.role === 'leader');
    if (leader === undefined) return;
    for (const producer of this.#producers) {
      for (const request of producer.open.slice()) this.#send(leader, request);
    }
  }

  #settled(): boolean {
    const [first] = this.#nodes;
    return (
      this.#producers.every((producer) => producer.open.length === 0) &&
      this.#controller.metadata.isr.length === this.#nodes.length &&
      this.#nodes.every(
        ({ log, replica, pushes }) =>
          replica?.highWatermark === first?.log.current.end &&
          log.current.end === first?.log.current.end &&
          replica?.durableEnd === log.current.end &&
          (replica.role !== 'leader' || pushes.size === 2),
      )
    );
  }

  #node(id: NodeId): ModelNode {
    const node = this.#nodes.find((one) => one.id === id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  #any<T>(items: readonly T[]): T {
    const item = items[this.#random.below(items.length)];
    if (item === undefined) throw new Error('nothing to choose from');
    return item;
  }

  #count(what: string): void {
    this.#seen.set(what, (this.#seen.get(what) ?? 0) + 1);
  }
}

/** What cuts the log cuts the damage with it. */
function movedWith({ current: { start, end } }: ModelLog, { intactEnd, since }: Damage): Damage {
  return { intactEnd: offset(Math.min(Math.max(intactEnd, start), end)), since };
}

const isAboutIsr = (envelope: Envelope): boolean => 'proposal' in envelope || envelope.event.kind === 'isrChangeResult';

const describe = ({ id, log, replica }: ModelNode): unknown => ({
  id,
  end: log.current.end,
  role: replica?.role,
  epoch: replica?.leaderEpoch,
  highWatermark: replica?.highWatermark,
  durableEnd: replica?.durableEnd,
  logEnd: replica?.logEnd,
  isr: replica?.isr,
});
