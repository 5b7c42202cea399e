/** A consumer of all partitions of a topic from the start, and its book of what it read. */
import type { Consumer, Sluice } from '@sluice/client';
import type { PlacedRecord } from '@sluice/sim/ledger';
import { idOf } from './load.ts';
import { until } from './until.ts';

export class Reader implements AsyncDisposable {
  readonly consumed: PlacedRecord[] = [];
  readonly #sluice: Sluice;
  readonly #topic: string;
  readonly #consumer: Consumer;
  readonly #positions = new Map<number, number>();
  readonly #running: Promise<void>;
  #failure: Error | undefined;

  constructor(sluice: Sluice, topic: string, partitions: number) {
    this.#sluice = sluice;
    this.#topic = topic;
    const assignments = Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'start' as const,
    }));
    this.#consumer = sluice.consumer({ assignments });
    this.#running = this.#run().catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  /** Resolves when everything that is committed now has been read. */
  async readToEnd(timeoutMs: number): Promise<void> {
    const ends = await this.#sluice.admin.listOffsets(this.#topic);
    const look = (): true | undefined => {
      if (this.#failure !== undefined) throw this.#failure;
      const behind = ends.some((each) => (this.#positions.get(each.partition) ?? each.logStart) < each.highWatermark);
      return behind ? undefined : true;
    };
    const standing = (): string =>
      ends
        .map(({ partition, logStart, highWatermark }) => {
          const position = this.#positions.get(partition);
          return `partition ${partition}: ${position ?? 'nothing'} of ${logStart} to ${highWatermark}`;
        })
        .join(', ');
    await until(look, { what: `reading ${this.#topic} to its end`, timeoutMs, standing });
  }

  async close(): Promise<void> {
    await this.#consumer.close();
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    for await (const batch of this.#consumer.batches()) {
      const { partition } = batch;
      for (const { offset, value } of batch.records()) this.consumed.push({ id: idOf(value), partition, offset });
      this.#positions.set(partition, batch.nextOffset);
    }
  }
}
