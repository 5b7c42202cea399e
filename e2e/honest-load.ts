/** A producer and a reader that go on beside a test, and must not notice anything of it. */
import { Sluice } from '@sluice/client';
import { verdict } from '@sluice/sim/ledger';
import type { Verdict } from '@sluice/sim/ledger';
import { ackPause } from './ack-pause.ts';
import type { TestCluster } from './cluster-inquiry.ts';
import { Load } from './load.ts';
import { Reader } from './reader.ts';
import { until } from './until.ts';

export interface HonestLoadOptions {
  readonly topic: string;
  readonly partitions?: number;
  /** Records a second. */
  readonly rate?: number;
  /** The node that its client asks first, and watches. */
  readonly watched?: number;
}

export interface HonestResult {
  /** Of the reader that read all along, and of one that read everything afterwards. */
  readonly during: Verdict;
  readonly afterwards: Verdict;
  readonly failures: Readonly<Record<string, number>>;
}

/** What `finish` must resolve to. */
export const unharmed = {
  during: { lost: 0, duplicated: 0, reordered: 0, unexpected: 0 },
  afterwards: { lost: 0, duplicated: 0, reordered: 0, unexpected: 0 },
  failures: {},
};

const waitMs = 30_000;

export class HonestLoad implements AsyncDisposable {
  readonly load: Load;
  readonly #sluice: Sluice;
  readonly #topic: string;
  readonly #partitions: number;
  readonly #reader: Reader;

  private constructor(sluice: Sluice, topic: string, partitions: number, rate: number) {
    this.#sluice = sluice;
    this.#topic = topic;
    this.#partitions = partitions;
    this.#reader = new Reader(sluice, topic, partitions);
    this.load = new Load({ sluice, topic, rate });
  }

  /** Creates the topic; resolves when records are acked. */
  static async start(
    cluster: TestCluster,
    { topic, partitions = 6, rate = 200, watched }: HonestLoadOptions,
  ): Promise<HonestLoad> {
    await cluster.client.admin.createTopic({ name: topic, partitions, replication: 3 });
    const first = cluster.nodes.filter(({ id }) => id === watched).map(({ client }) => client);
    const sluice = new Sluice({ bootstrap: [...first, ...cluster.bootstrap], clientId: 'honest' });
    const honest = new HonestLoad(sluice, topic, partitions, rate);
    try {
      await honest.acks(100);
    } catch (error) {
      await honest[Symbol.asyncDispose]();
      throw error;
    }
    return honest;
  }

  /** Resolves when so many more records are acked. */
  async acks(count: number): Promise<void> {
    const wanted = this.load.acked.length + count;
    const look = (): true | undefined => (this.load.acked.length >= wanted ? true : undefined);
    await until(look, { what: `${count} more acks`, timeoutMs: waitMs });
  }

  /** The longest pause of acks that `fault` caused; resolves when every partition was acked since. */
  ackPause(fault: () => Promise<void>): Promise<number> {
    return ackPause(this.load, fault, { partitions: this.#partitions, timeoutMs: waitMs });
  }

  /** Stops, reads everything back and counts. */
  async finish(): Promise<HonestResult> {
    await this.load.stop();
    await this.#reader.readToEnd(waitMs);
    await using fresh = new Reader(this.#sluice, this.#topic, this.#partitions);
    await fresh.readToEnd(waitMs);
    return {
      during: verdict(this.load.acked, this.#reader.consumed, this.load.sent),
      afterwards: verdict(this.load.acked, fresh.consumed, this.load.sent),
      failures: Object.fromEntries(this.load.failures),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.load[Symbol.asyncDispose]().catch(() => undefined);
    await this.#sluice.close({ timeoutMs: 0 }).catch(() => undefined);
  }
}
