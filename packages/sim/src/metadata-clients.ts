/**
 * Clients that ask the controller for changes, several at once and of the same few things, so that its answers can be
 * held against those of an atomic one. Every request is one attempt at one node: what a client library repeats would
 * blur who was answered what.
 */
import type { Random } from '@sluice/base';
import { methods, MemoryTransport, RpcClient } from '@sluice/wire';
import type { HistoryRecorder } from './history-recorder.ts';
import type { SimCluster } from './sim-cluster.ts';

export interface MetadataClientsOptions {
  readonly clients: number;
  /** Fewer names, more conflicts. */
  readonly names: number;
  /** The mean time a client waits between an answer and its next request. */
  readonly thinkMs: number;
  readonly timeoutMs: number;
}

type Kind = 'create' | 'delete' | 'allocate';

interface Asked {
  readonly rpc: RpcClient;
  readonly address: string;
  readonly client: string;
}

export class MetadataClients {
  readonly #cluster: SimCluster;
  readonly #recorder: HistoryRecorder;
  readonly #options: MetadataClientsOptions;
  readonly #random: Random;
  #stopped = false;
  #underWay = 0;
  #answered = 0;

  constructor(cluster: SimCluster, recorder: HistoryRecorder, options: MetadataClientsOptions) {
    this.#cluster = cluster;
    this.#recorder = recorder;
    this.#options = options;
    this.#random = cluster.simulation.random.fork('metadata clients');
    for (let client = 1; client <= options.clients; client += 1) {
      const rpc = new RpcClient(new MemoryTransport(cluster.network, `metadata-${client}`));
      this.#askLater(`metadata-${client}`, rpc);
    }
  }

  /** Requests that were answered with success, or with a refusal that says how things are. */
  get answered(): number {
    return this.#answered;
  }

  /** Asks no more, and runs until everything asked is answered or given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const limitMs = this.#options.timeoutMs + 1000;
    await this.#cluster.simulation.until('metadata clients stop', limitMs, () => this.#underWay === 0);
  }

  #askLater(client: string, rpc: RpcClient): void {
    const delayUs = this.#random.below(2 * this.#options.thinkMs * 1000 + 1);
    this.#cluster.simulation.schedule(delayUs, client, () => {
      if (this.#stopped) return;
      this.#underWay += 1;
      void this.#ask(client, rpc).finally(() => {
        this.#underWay -= 1;
        this.#askLater(client, rpc);
      });
    });
  }

  async #ask(client: string, rpc: RpcClient): Promise<void> {
    const { bootstrap } = this.#cluster;
    const dice = this.#random.below(10);
    const kind: Kind = dice < 5 ? 'create' : dice < 9 ? 'delete' : 'allocate';
    const name = `m${this.#random.below(this.#options.names)}`;
    const address = bootstrap[this.#random.below(bootstrap.length)] ?? '';
    const object = kind === 'allocate' ? 'producer-ids' : `topic/${name}`;
    const operation = this.#recorder.invoke({ action: 'admin', client, object, request: kind });
    try {
      const answer = await this.#call(kind, name, { rpc, address, client });
      this.#answered += 1;
      this.#recorder.succeeded(operation, { answer });
    } catch (error) {
      this.#recorder.failed(operation, error);
    }
  }

  async #call(kind: Kind, name: string, { rpc, address, client }: Asked): Promise<string> {
    const { timeoutMs } = this.#options;
    if (kind === 'create') {
      const request = { name, partitions: 1, replication: 1, config: {} };
      await rpc.unary(methods.admin.createTopic, address, request, { timeoutMs });
      return 'created';
    }
    if (kind === 'delete') {
      await rpc.unary(methods.admin.deleteTopic, address, { name }, { timeoutMs });
      return 'deleted';
    }
    const { producerId } = await rpc.unary(methods.broker.initProducer, address, { clientId: client }, { timeoutMs });
    return String(producerId);
  }
}
