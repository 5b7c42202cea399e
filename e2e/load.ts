/**
 * A producer under way: numbered, keyed records at an even rate with acks from all in-sync replicas, and its own book of
 * what was acked where and when.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Producer, Sluice } from '@sluice/client';
import { AckGaps } from './ack-gaps.ts';
import type { PlacedRecord } from '@sluice/sim/ledger';

export interface LoadOptions {
  readonly sluice: Sluice;
  readonly topic: string;
  /** Records a second. */
  readonly rate: number;
  /** Distinct keys, spread over the partitions. */
  readonly keys?: number;
  readonly valueBytes?: number;
}

const turnMs = 5;
const deliveryTimeoutMs = 60_000;

export class Load implements AsyncDisposable {
  readonly acked: PlacedRecord[] = [];
  readonly gaps = new AckGaps();
  /** What failed, by error code. */
  readonly failures = new Map<string, number>();
  readonly #options: LoadOptions;
  readonly #producer: Producer;
  readonly #padding: string;
  readonly #running: Promise<void>;
  #sent = 0;
  #stopped = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#padding = '.'.repeat(Math.max(0, (options.valueBytes ?? 100) - 10));
    this.#producer = options.sluice.producer({ acks: 'all', deliveryTimeoutMs });
    this.#running = this.#run();
  }

  /** Ids given out so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Sends no more, and resolves when everything sent is decided. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await this.#producer.flush();
    await this.#producer.close();
  }

  /** Ends it without waiting for what is undecided: the test has failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
    await this.#producer.close({ timeoutMs: 0 });
  }

  async #run(): Promise<void> {
    const startMs = performance.now();
    while (!this.#stopped) {
      const due = Math.floor(((performance.now() - startMs) * this.#options.rate) / 1000);
      while (this.#sent < due && !this.#stopped) await this.#sendNext();
      await sleep(turnMs);
    }
  }

  async #sendNext(): Promise<void> {
    const { topic, keys = 1000 } = this.#options;
    const id = this.#sent;
    this.#sent += 1;
    const record = { key: `key-${id % keys}`, value: `${id} ${this.#padding}` };
    const taken = (): boolean =>
      this.#producer.post(topic, record, (error, { partition, offset }) => {
        if (error !== undefined) {
          this.failures.set(error.code, (this.failures.get(error.code) ?? 0) + 1);
          return;
        }
        this.acked.push({ id, partition, offset });
        this.gaps.record(partition, performance.now());
      });
    while (!taken()) await this.#producer.ready();
  }
}

/** The id in a value that `Load` sent; NaN for any other. */
export function idOf(value: Uint8Array | null): number {
  const match = /^(\d+) \.*$/.exec(value === null ? '' : Buffer.from(value).toString('latin1'));
  return match === null ? Number.NaN : Number(match[1]);
}
