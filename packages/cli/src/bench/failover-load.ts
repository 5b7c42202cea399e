/** Numbered records at an even rate while leaders fail, and the count of what became of them. */
import type { Producer, Sluice } from '@sluice/client';
import { ownLoad, producerOptions } from './options.ts';
import type { OwnTarget } from './own-cluster.ts';
import { paced, postOrWait } from './paced.ts';
import { StampedValues } from './stamped-values.ts';

export interface FailoverLoadOptions {
  readonly topic: string;
  readonly ratePerSecond: number;
  readonly onAck: () => void;
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
    const { topic, ratePerSecond, onAck } = this.#options;
    return paced({
      ratePerSecond,
      isOver: () => this.#over || stop.aborted,
      send: (index, dueMs) => {
        this.#sent = index + 1;
        return postOrWait(this.#producer, topic, { value: this.#values.make(index, dueMs) }, (error) => {
          if (error !== undefined) {
            this.#failed += 1;
            return;
          }
          this.#acked.add(index);
          onAck();
        });
      },
    });
  }

  /** How often each number is there. */
  async #readBack(): Promise<ReadonlyMap<number, number>> {
    const { topic } = this.#options;
    const [bounds] = await this.#sluice.admin.listOffsets(topic);
    const end = bounds?.highWatermark ?? 0;
    const seen = new Map<number, number>();
    await using consumer = this.#sluice.consumer({ assignments: [{ topic, partition: 0, from: 'start' }] });
    for await (const batch of consumer.batches()) {
      for (const { value } of batch.records()) {
        const index = value === null ? Number.NaN : this.#values.indexOf(value);
        seen.set(index, (seen.get(index) ?? 0) + 1);
      }
      if (batch.nextOffset >= end) break;
    }
    return seen;
  }
}
