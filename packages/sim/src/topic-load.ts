/** Producers and consumers of the topics of one run: `orders`, and most often one of another kind. */
import { HistoryRecorder } from './history-recorder.ts';
import { RecordClients, type RecordClientsOptions } from './record-clients.ts';
import type { Scenario } from './scenario.ts';
import { sideTopic } from './side-topic.ts';
import type { SimCluster } from './sim-cluster.ts';
import { simClient, simSurroundings } from './sim-load.ts';

export const ordersTopic = 'orders';
const partitions = 3;
const sidePartitions = 2;
const recordsAtOnceMax = 16;
const createMs = 30_000;

export class TopicLoad {
  readonly #cluster: SimCluster;
  readonly #scenario: Scenario;
  readonly #recorder: HistoryRecorder;
  /** Of what may be lost by promise nothing is judged, and nothing is written down. */
  readonly #unjudged: HistoryRecorder;
  readonly #clients: RecordClients[] = [];
  readonly #judged: RecordClients[] = [];

  constructor(cluster: SimCluster, scenario: Scenario, recorder: HistoryRecorder) {
    this.#cluster = cluster;
    this.#scenario = scenario;
    this.#recorder = recorder;
    this.#unjudged = new HistoryRecorder(
      () => cluster.simulation.nowMs,
      () => undefined,
    );
  }

  get recordsAcked(): number {
    return this.#recorder.acked + this.#unjudged.acked;
  }

  get recordsOfReplicated(): number {
    return this.#unjudged.acked;
  }

  get trims(): number {
    return this.#clients.reduce((sum, { trims }) => sum + trims, 0);
  }

  /** Whose history is judged. */
  get judgedTopics(): readonly string[] {
    const { side } = this.#scenario;
    return side === undefined || side.durability === 'replicated' ? [ordersTopic] : [ordersTopic, sideTopic];
  }

  get topics(): readonly [string, ...string[]] {
    return this.#scenario.side === undefined ? [ordersTopic] : [ordersTopic, sideTopic];
  }

  /** Nothing is wrong yet. */
  async start(brokers: number): Promise<void> {
    const { side, recordEveryMs, slowConsumerMs } = this.#scenario;
    const { simulation } = this.#cluster;
    const { admin } = simClient(this.#cluster, 'admin');
    const orders = { name: ordersTopic, partitions, replication: Math.min(3, brokers) };
    await simulation.settle('first topic', createMs, admin.createTopic(orders));
    const common = { keys: 20, newSessionOneIn: 200, deliveryTimeoutMs: 30_000, recordsAtOnceMax };
    const producers = 2;
    this.#add(this.#recorder, {
      ...common,
      topic: ordersTopic,
      partitions,
      producers,
      consumers: 1,
      everyMs: producers * recordEveryMs,
      slowMsMax: slowConsumerMs,
    });
    if (side === undefined) return;
    const { replicas, minIsr, durability, trimEveryMs } = side;
    const config = { minIsr: String(minIsr), durability };
    const made = { name: sideTopic, partitions: sidePartitions, replication: replicas, config };
    await simulation.settle('topic of another kind', createMs, admin.createTopic(made));
    this.#add(durability === 'replicated' ? this.#unjudged : this.#recorder, {
      ...common,
      topic: sideTopic,
      partitions: sidePartitions,
      producers: 1,
      consumers: 0,
      everyMs: 4 * recordEveryMs,
      slowMsMax: 0,
      ...(trimEveryMs === undefined ? {} : { trimEveryMs }),
    });
  }

  async stop(): Promise<void> {
    for (const clients of this.#clients) await clients.stop();
  }

  async readInTheEnd(limitMs: number): Promise<void> {
    for (const clients of this.#judged) await clients.readInTheEnd(limitMs);
  }

  #add(recorder: HistoryRecorder, options: RecordClientsOptions): void {
    const clients = new RecordClients(simSurroundings(this.#cluster), recorder, options);
    this.#clients.push(clients);
    if (recorder === this.#recorder) this.#judged.push(clients);
  }
}
