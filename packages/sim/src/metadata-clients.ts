/**
 * Clients that ask the controller for changes, several at once and of the same few things, so that its answers can be
 * held against those of an atomic one. A request is repeated at another node only while it certainly had no effect: what a
 * client library repeats beyond that would blur who was answered what. Now and then a client is replaced by a new one
 * while the old goes on for a few requests, as does a process that was thought dead. One that speaks in the name of a
 * broker does so with the epoch that it first knew, until it is told that this is over.
 */
import { isSluiceError, nodeId, SluiceError } from '@sluice/base';
import type { Random } from '@sluice/base';
import { identityMessage, methods, MemoryTransport, RpcClient } from '@sluice/wire';
import type { HistoryRecorder } from './history-recorder.ts';
import { SimClock } from './sim-clock.ts';
import { nodeAddress, type SimCluster } from './sim-cluster.ts';

export interface MetadataClientsOptions {
  readonly clients: number;
  /** Fewer names, more conflicts. */
  readonly names: number;
  /** The mean time a client waits between an answer and its next request. */
  readonly thinkMs: number;
  readonly timeoutMs: number;
  /** Default: all nodes. */
  readonly brokers?: readonly number[];
  /** Of a new topic, at most; default 1. */
  readonly replicationMax?: number;
  /** Requests in a hundred that take a block of producer ids, as a broker does: the cheapest command; default 10. */
  readonly allocatePercent?: number;
  /** While it says so clients wait much longer: enough was done for now. */
  readonly isAhead?: () => boolean;
}

interface Session {
  readonly number: number;
  readonly name: string;
  readonly random: Random;
  readonly rpc: RpcClient;
  readonly clock: SimClock;
  /** Of brokers in whose name it asks. */
  readonly epochs: Map<number, number>;
  /** Requests that it still makes: one that was replaced makes a few. */
  left: number;
}

interface Request {
  readonly object: string;
  readonly request: string;
  /** One attempt at one node. */
  readonly ask: () => Promise<string>;
}

const lastRequests = 5;
const restMs = 200;
const newSessionOneIn = 200;
const backoffMs = { min: 5, spread: 50 };

export class MetadataClients {
  readonly #cluster: SimCluster;
  readonly #recorder: HistoryRecorder;
  readonly #options: MetadataClientsOptions;
  readonly #brokers: readonly number[];
  readonly #random: Random;
  #stopped = false;
  #sessions = 0;
  #underWay = 0;
  #answered = 0;

  constructor(cluster: SimCluster, recorder: HistoryRecorder, options: MetadataClientsOptions) {
    this.#cluster = cluster;
    this.#recorder = recorder;
    this.#options = options;
    this.#brokers = options.brokers ?? cluster.ids;
    this.#random = cluster.simulation.random.fork('metadata clients');
    for (let number = 1; number <= options.clients; number += 1) this.#begin(number);
  }

  /** Requests that were answered with success. */
  get answered(): number {
    return this.#answered;
  }

  /** Asks no more, and runs until everything asked is answered or given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const limitMs = 2 * this.#options.timeoutMs + 1000;
    await this.#cluster.simulation.until('metadata clients stop', limitMs, () => this.#underWay === 0);
  }

  #begin(number: number): void {
    this.#sessions += 1;
    const name = `metadata-${number}.${this.#sessions}`;
    const { simulation, network } = this.#cluster;
    const clock = new SimClock(simulation, name);
    const rpc = new RpcClient(new MemoryTransport(network, name, clock));
    const random = this.#random.fork(name);
    this.#askLater({ number, name, random, rpc, clock, epochs: new Map(), left: Number.POSITIVE_INFINITY });
  }

  #askLater(session: Session): void {
    const { thinkMs, isAhead } = this.#options;
    const meanMs = isAhead?.() === true ? restMs : thinkMs;
    const delayUs = session.random.below(2 * meanMs * 1000 + 1);
    this.#cluster.simulation.schedule(delayUs, session.name, () => {
      if (this.#stopped || session.left <= 0) return;
      session.left -= 1;
      this.#underWay += 1;
      void this.#ask(session).finally(() => {
        this.#underWay -= 1;
        if (session.left === Number.POSITIVE_INFINITY && session.random.below(newSessionOneIn) === 0) {
          session.left = lastRequests;
          this.#begin(session.number);
        }
        this.#askLater(session);
      });
    });
  }

  async #ask(session: Session): Promise<void> {
    const { object, request, ask } = this.#draw(session);
    const operation = this.#recorder.invoke({ action: 'admin', client: session.name, object, request });
    try {
      const answer = await this.#attempts(session, ask);
      this.#answered += 1;
      this.#recorder.succeeded(operation, { answer });
    } catch (error) {
      this.#recorder.failed(operation, error);
    }
  }

  /** Asks again while the last attempt certainly had no effect. */
  async #attempts({ clock, random }: Session, ask: Request['ask']): Promise<string> {
    const deadlineMs = clock.monotonicMs() + this.#options.timeoutMs;
    for (;;) {
      try {
        return await ask();
      } catch (thrown) {
        if (!(thrown instanceof SluiceError) || !thrown.definite || !thrown.retryable || this.#stopped) throw thrown;
        const waitMs = backoffMs.min + random.below(backoffMs.spread);
        if (clock.monotonicMs() + waitMs >= deadlineMs) throw thrown;
        await new Promise<void>((resolve) => void clock.setTimer(waitMs, resolve));
      }
    }
  }

  #draw(session: Session): Request {
    const { names, allocatePercent = 10, replicationMax = 1, timeoutMs } = this.#options;
    const { random, rpc } = session;
    const isAllocation = random.below(100) < allocatePercent;
    if (isAllocation) return this.#allocation(session);
    const name = `m${random.below(names)}`;
    const object = `topic/${name}`;
    const address = (): string => nodeAddress(this.#broker(random), 'client');
    if (random.below(9) < 5) {
      const wanted = { name, partitions: 1, replication: 1 + random.below(replicationMax), config: {} };
      const ask = async (): Promise<string> => {
        await rpc.unary(methods.admin.createTopic, address(), wanted, { timeoutMs });
        return 'created';
      };
      return { object, request: 'create', ask };
    }
    const ask = async (): Promise<string> => {
      await rpc.unary(methods.admin.deleteTopic, address(), { name }, { timeoutMs });
      return 'deleted';
    };
    return { object, request: 'delete', ask };
  }

  /** In the name of a broker, of the voter that leads as far as anybody knows, or of any. */
  #allocation({ random, rpc, epochs }: Session): Request {
    const { timeoutMs } = this.#options;
    const { ids } = this.#cluster;
    const earlier = this.#earlierLife(epochs);
    const ask = async (): Promise<string> => {
      const broker = earlier ?? this.#broker(random);
      const guess = ids[random.below(ids.length)] ?? 1;
      const { leader } = this.#cluster;
      // A broker that is thought dead has its own image no more.
      const image = this.#cluster.inspect(earlier === undefined ? broker : (leader ?? guess))?.image;
      const self = image?.node(nodeId(broker));
      if (image === undefined || self === undefined) throw new SluiceError('UNREACHABLE');
      const epoch = epochs.get(broker) ?? self.brokerEpoch;
      epochs.set(broker, epoch);
      const request = { identity: identityMessage({ ...self, clusterId: image.clusterId }), brokerEpoch: epoch };
      try {
        const to = nodeAddress(leader ?? guess, 'peer');
        const block = await rpc.unary(methods.controller.allocateProducerIds, to, request, { timeoutMs });
        return String(block.firstProducerId);
      } catch (thrown) {
        if (isSluiceError(thrown) && thrown.code === 'STALE_BROKER_EPOCH') epochs.delete(broker);
        throw thrown;
      }
    };
    return { object: 'producer-ids', request: earlier === undefined ? 'allocate' : 'allocate in an earlier life', ask };
  }

  /** A broker that is registered anew, as some node knows already, and this session not. */
  #earlierLife(epochs: ReadonlyMap<number, number>): number | undefined {
    for (const id of this.#cluster.ids) {
      const image = this.#cluster.inspect(id)?.image;
      for (const [broker, epoch] of epochs) {
        if ((image?.node(nodeId(broker))?.brokerEpoch ?? 0) > epoch) return broker;
      }
    }
    return undefined;
  }

  #broker(random: Random): number {
    return this.#brokers[random.below(this.#brokers.length)] ?? 1;
  }
}
