/**
 * Clients that ask the controller whether a topic exists, and change nothing. They ask whoever takes itself for the
 * leader, directly, also one that was replaced and does not know it yet: the answer must not be older than what anybody
 * had been told before they asked. The question is a creation that no cluster can carry out: it is refused because the
 * topic exists, or because there are not so many nodes.
 */
import { toSluiceError } from '@sluice/base';
import type { Random } from '@sluice/base';
import { identityMessage, MemoryTransport, methods, RpcClient } from '@sluice/wire';
import type { HistoryRecorder } from './history-recorder.ts';
import { SimClock } from './sim-clock.ts';
import { nodeAddress, type SimCluster } from './sim-cluster.ts';

export interface TopicReadersOptions {
  readonly readers: number;
  /** Of the topics that others create and delete: `m0` and so on. */
  readonly names: number;
  /** The mean time a reader waits between an answer and its next question. */
  readonly thinkMs: number;
  /** Short: what was asked before others changed something may be answered as of then. */
  readonly timeoutMs: number;
}

const replicationOfNone = 1000;
const questionsAtOnce = 4;

export class TopicReaders {
  readonly #cluster: SimCluster;
  readonly #recorder: HistoryRecorder;
  readonly #options: TopicReadersOptions;
  #stopped = false;
  #underWay = 0;

  constructor(cluster: SimCluster, recorder: HistoryRecorder, options: TopicReadersOptions) {
    this.#cluster = cluster;
    this.#recorder = recorder;
    this.#options = options;
    const random = cluster.simulation.random.fork('topic readers');
    for (let number = 1; number <= options.readers; number += 1) this.#begin(`reader-${number}`, random);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const limitMs = this.#options.timeoutMs + 1000;
    await this.#cluster.simulation.until('topic readers stop', limitMs, () => this.#underWay === 0);
  }

  #begin(name: string, random: Random): void {
    const { simulation, network } = this.#cluster;
    const rpc = new RpcClient(new MemoryTransport(network, name, new SimClock(simulation, name)));
    this.#askLater({ name, rpc, random: random.fork(name) });
  }

  #askLater(reader: Reader): void {
    const { simulation } = this.#cluster;
    simulation.schedule(reader.random.below(2000 * this.#options.thinkMs), reader.name, () => {
      if (this.#stopped) return;
      this.#underWay += 1;
      void this.#ask(reader).finally(() => {
        this.#underWay -= 1;
        this.#askLater(reader);
      });
    });
  }

  /** Of several that take themselves for the leader all but one were replaced: then it asks the oldest for more. */
  async #ask(reader: Reader): Promise<void> {
    const termOf = (id: number): number => this.#cluster.inspect(id)?.raft?.term ?? 0;
    const leaders = this.#cluster.ids.filter((id) => this.#cluster.inspect(id)?.raft?.isLeader === true);
    const [oldest] = leaders.toSorted((one, other) => termOf(one) - termOf(other));
    if (oldest === undefined) return;
    const questions = leaders.length === 1 ? 1 : questionsAtOnce;
    await Promise.all(Array.from({ length: questions }, () => this.#look(reader, oldest)));
  }

  async #look({ name: client, rpc, random }: Reader, leader: number): Promise<void> {
    const name = `m${random.below(this.#options.names)}`;
    const image = this.#cluster.inspect(leader)?.image;
    const [node] = image?.nodes.values() ?? [];
    if (image === undefined || node === undefined) return;
    const identity = identityMessage({ ...node, clusterId: image.clusterId });
    const request = { name, partitions: 1, replication: replicationOfNone, config: {} };
    const operation = this.#recorder.invoke({ action: 'admin', client, object: `topic/${name}`, request: 'look' });
    try {
      const address = nodeAddress(leader, 'peer');
      await rpc.unary(methods.controller.createTopic, address, { identity, request }, this.#options);
      this.#recorder.succeeded(operation, { answer: 'created' });
    } catch (thrown) {
      const { code } = toSluiceError(thrown);
      const answer = answers[code];
      if (answer === undefined) this.#recorder.refused(operation, code);
      else this.#recorder.succeeded(operation, { answer });
    }
  }
}

interface Reader {
  readonly name: string;
  readonly rpc: RpcClient;
  readonly random: Random;
}

/** Any other error says nothing, and the question has no effect. */
const answers: Readonly<Record<string, string>> = { TOPIC_EXISTS: 'present', NOT_ENOUGH_NODES: 'absent' };
