/**
 * Clients of the controller: several at once create and delete topics of the same few names and take blocks of producer
 * ids, each by plain calls to one node or another, repeated while they certainly had no effect; what was asked and
 * answered goes into the history. Now and then one is replaced by a new one while the old goes on for a while, as does a
 * process that was thought dead.
 */
import { SluiceError } from '@sluice/base';
import type { Random } from '@sluice/base';
import { identityMessage, MemoryTransport, methods, RpcClient } from '@sluice/wire';
import { isAnswer } from './controller-model.ts';
import type { HistoryLine } from './history.ts';
import { SimClock } from './sim-clock.ts';
import { nodeAddress, type SimCluster } from './sim-cluster.ts';

export interface MetadataLoadOptions {
  readonly cluster: SimCluster;
  readonly history: HistoryLine[];
  readonly brokers: readonly number[];
  readonly clients: number;
  readonly names: number;
  readonly thinkMsMax: number;
}

interface Session {
  readonly number: number;
  readonly name: string;
  readonly random: Random;
  readonly rpc: RpcClient;
  readonly clock: SimClock;
  /** Requests that it still makes: one that was replaced makes a few. */
  left: number;
}

interface Request {
  readonly object: string;
  readonly request: string;
  /** One attempt; resolves to the answer. */
  readonly ask: (timeoutMs: number) => Promise<string>;
}

const requestTimeoutMs = 2000;
const attemptTimeoutMs = 1500;
const backoffMs = { min: 5, spread: 50 };
const lastRequests = 5;

export class MetadataLoad {
  answered = 0;
  inDoubt = 0;
  readonly #options: MetadataLoadOptions;
  readonly #random: Random;
  #operations = 0;
  #sessions = 0;
  #running = 0;
  #stopped = false;

  constructor(options: MetadataLoadOptions) {
    this.#options = options;
    this.#random = options.cluster.simulation.random.fork('metadata load');
    for (let number = 0; number < options.clients; number += 1) this.#begin(number);
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.#running === 0;
  }

  stop(): void {
    this.#stopped = true;
  }

  #begin(number: number): void {
    this.#sessions += 1;
    const name = `metadata-${number}.${this.#sessions}`;
    const { simulation, network } = this.#options.cluster;
    const clock = new SimClock(simulation, name);
    const rpc = new RpcClient(new MemoryTransport(network, name, clock));
    const session = { number, name, random: this.#random.fork(name), rpc, clock, left: Number.POSITIVE_INFINITY };
    this.#later(session);
  }

  #later(session: Session): void {
    if (this.#stopped || session.left <= 0) return;
    const { cluster, thinkMsMax } = this.#options;
    const waitUs = session.random.below(thinkMsMax * 1000);
    cluster.simulation.schedule(waitUs, session.name, () => void this.#next(session));
  }

  async #next(session: Session): Promise<void> {
    if (this.#stopped) return;
    session.left -= 1;
    this.#running += 1;
    await this.#asked(session, this.#draw(session));
    this.#running -= 1;
    if (session.left === Number.POSITIVE_INFINITY && session.random.below(200) === 0) {
      session.left = lastRequests;
      this.#begin(session.number);
    }
    this.#later(session);
  }

  #draw({ random, rpc }: Session): Request {
    const { brokers, names } = this.#options;
    const draw = random.below(100);
    const broker = brokers[random.below(brokers.length)] ?? 1;
    const via = nodeAddress(broker, 'client');
    if (draw < 50) return this.#ids(rpc, broker, random);
    const name = `t${random.below(names)}`;
    const object = `topic/${name}`;
    if (draw < 75) {
      const replication = 1 + random.below(Math.min(3, brokers.length));
      const partitions = 1 + (random.below(10) === 0 ? random.below(3) : 0);
      const wanted = { name, partitions, replication, config: {} };
      const ask = async (timeoutMs: number): Promise<string> => {
        await rpc.unary(methods.admin.createTopic, via, wanted, { timeoutMs });
        return 'created';
      };
      return { object, request: 'create', ask };
    }
    const ask = async (timeoutMs: number): Promise<string> => {
      await rpc.unary(methods.admin.deleteTopic, via, { name }, { timeoutMs });
      return 'deleted';
    };
    return { object, request: 'delete', ask };
  }

  /** As that broker would, of a voter that may or may not lead. */
  #ids(rpc: RpcClient, broker: number, random: Random): Request {
    const { cluster } = this.#options;
    const ask = async (timeoutMs: number): Promise<string> => {
      const voter = cluster.voterIds[random.below(cluster.voterIds.length)] ?? 1;
      const at = nodeAddress(this.#leader ?? voter, 'peer');
      const image = cluster.inspect(broker)?.image;
      const self = image === undefined ? undefined : [...image.nodes.values()].find((node) => node.nodeId === broker);
      if (image === undefined || self === undefined) throw new SluiceError('UNREACHABLE');
      const identity = identityMessage({ ...self, clusterId: image.clusterId });
      const request = { identity, brokerEpoch: self.brokerEpoch };
      const block = await rpc.unary(methods.controller.allocateProducerIds, at, request, { timeoutMs });
      return String(block.firstProducerId);
    };
    return { object: 'producer-ids', request: 'allocate', ask };
  }

  /** As the first node that knows one has it. */
  get #leader(): number | undefined {
    const { cluster } = this.#options;
    for (const id of cluster.ids) {
      const raft = cluster.inspect(id)?.raft;
      if (raft?.isLeader === true) return id;
    }
    return undefined;
  }

  async #asked(session: Session, { object, request, ask }: Request): Promise<void> {
    const { history, cluster } = this.#options;
    const { simulation } = cluster;
    const operation = this.#operations;
    this.#operations += 1;
    const { name: client } = session;
    history.push({
      event: 'invoke',
      action: 'admin',
      atMs: simulation.nowMs,
      operation,
      client,
      object,
      request,
    });
    const answer = await this.#attempts(session, ask);
    const atMs = simulation.nowMs;
    if (typeof answer === 'string' || (answer.definite && isAnswer(answer.code))) {
      this.answered += 1;
      history.push({ event: 'ok', atMs, operation, answer: typeof answer === 'string' ? answer : answer.code });
      return;
    }
    if (!answer.definite) this.inDoubt += 1;
    history.push({ event: answer.definite ? 'fail' : 'info', atMs, operation, code: answer.code });
  }

  /** Asks again while the last attempt certainly had no effect. */
  async #attempts({ clock, random }: Session, ask: Request['ask']): Promise<string | SluiceError> {
    const deadlineMs = clock.monotonicMs() + requestTimeoutMs;
    for (;;) {
      const leftMs = deadlineMs - clock.monotonicMs();
      try {
        return await ask(Math.max(1, Math.min(leftMs, attemptTimeoutMs)));
      } catch (thrown) {
        if (!(thrown instanceof SluiceError)) throw thrown;
        if (!thrown.definite || !thrown.retryable || this.#stopped) return thrown;
        const waitMs = backoffMs.min + random.below(backoffMs.spread);
        if (clock.monotonicMs() + waitMs >= deadlineMs) return thrown;
        await new Promise<void>((resolve) => void clock.setTimer(waitMs, resolve));
      }
    }
  }
}
