/** Numbered records at an even rate, one partition after the other, while leaders fail; and what became of each. */
import type { Producer, Sluice } from '@sluice/client';
import { ownLoad, producerOptions } from './options.ts';
import type { OwnTarget } from './own-cluster.ts';
import { paced, postOrWait } from './paced.ts';
import { StampedValues } from './stamped-values.ts';

export interface FailoverLoadOptions {
  readonly topic: string;
  readonly ratePerSecond: number;
  readonly partitions: number;
  readonly onAck: (partition: number, dueMs: number) => void;
}

export interface Outcome {
  readonly sent: number;
  readonly acked: number;
  readonly failedSends: number;
  /** Acked, and not there. */
  readonly lost: number;
  readonly duplicated: number;
}

export class FailoverLoad {
  readonly #sluice: Sluice;
  readonly #options: FailoverLoadOptions;
  readonly #producer: Producer;
  readonly #values = new StampedValues(ownLoad.recordBytes);
  readonly #running: Promise<void>;
  readonly #acked = new Set<number>();
  #sent = 0;
  #failed = 0;
  #over = false;

  constructor({ sluice, stop }: OwnTarget, options: FailoverLoadOptions) {
    this.#sluice = sluice;
    this.#options = options;
    this.#producer = sluice.producer(producerOptions(ownLoad));
    this.#running = this.#run(stop);
    // Whoever finishes hears of it; a command that failed elsewhere never does.
    this.#running.catch(() => undefined);
  }

  get failedSends(): number {
    return this.#failed;
  }

  /** Sends no more, waits until all is decided, and reads everything back. */
  async finish(): Promise<Outcome> {
    this.#over = true;
    await this.#running;
    await this.#producer.flush();
    const seen = await this.#readBack();
    let [lost, duplicated] = [0, 0];
    for (const index of this.#acked) if (!seen.has(index)) lost += 1;
    for (const times of seen.values()) duplicated += times - 1;
    return { sent: this.#sent, acked: this.#acked.size, failedSends: this.#failed, lost, duplicated };
  }

  #run(stop: AbortSignal): Promise<void> {
    const { topic, ratePerSecond, partitions, onAck } = this.#options;
    return paced({
      ratePerSecond,
      isOver: () => this.#over || stop.aborted,
      send: (index, dueMs) => {
        this.#sent = index + 1;
        const partition = index % partitions;
        const record = { partition, value: this.#values.make(index, dueMs) };
        return postOrWait(this.#producer, topic, record, (error) => {
          if (error !== undefined) {
            this.#failed += 1;
            return;
          }
          this.#acked.add(index);
          onAck(partition, dueMs);
        });
      },
    });
  }

  /** How often each number is there. */
  async #readBack(): Promise<ReadonlyMap<number, number>> {
    const { topic } = this.#options;
    const ends = new Map<number, number>();
    for (const { partition, highWatermark } of await this.#sluice.admin.listOffsets(topic)) {
      if (highWatermark > 0) ends.set(partition, highWatermark);
    }
    const seen = new Map<number, number>();
    if (ends.size === 0) return seen;
    const assignments = [...ends.keys()].map((partition) => ({ topic, partition, from: 'start' as const }));
    await using consumer = this.#sluice.consumer({ assignments });
    for await (const batch of consumer.batches()) {
      for (const { value } of batch.records()) {
        const index = value === null ? Number.NaN : this.#values.indexOf(value);
        seen.set(index, (seen.get(index) ?? 0) + 1);
      }
      if (batch.nextOffset >= (ends.get(batch.partition) ?? 0)) ends.delete(batch.partition);
      if (ends.size === 0) break;
    }
    return seen;
  }
}
