/** Brings producer ids: one that all partitions of a producer share, and fresh ones where its epochs are used up. */
import type { SluiceError } from '@sluice/base';
import { toSluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { NodeCalls } from './node-calls.ts';
import type { PartitionQueue } from './partition-queue.ts';

export interface ProducerIdsOptions {
  readonly calls: NodeCalls;
  readonly clientId: string;
  /** No id will be had, for a reason that no waiting changes. */
  readonly onRefused: (queue: PartitionQueue, error: SluiceError) => void;
}

const askTimeoutMs = 10_000;

export class ProducerIds {
  readonly #options: ProducerIdsOptions;
  readonly #waiting = new Set<PartitionQueue>();
  /** Queues for which a fresh id is being asked. */
  readonly #asking = new Set<PartitionQueue>();
  readonly #stop = new AbortController();
  #shared: number | undefined;
  #askingShared = false;

  constructor(options: ProducerIdsOptions) {
    this.#options = options;
  }

  request(queue: PartitionQueue, fresh: boolean): void {
    if (fresh) {
      if (this.#asking.has(queue)) return;
      this.#asking.add(queue);
      void this.#bringFresh(queue);
    } else if (this.#shared !== undefined) {
      queue.begin(this.#shared);
    } else {
      this.#waiting.add(queue);
      if (!this.#askingShared) void this.#bringShared();
    }
  }

  close(): void {
    this.#waiting.clear();
    this.#asking.clear();
    this.#stop.abort();
  }

  async #bringShared(): Promise<void> {
    this.#askingShared = true;
    const answer = await this.#ask();
    this.#askingShared = false;
    if (typeof answer === 'number') this.#shared = answer;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const queue of waiting) this.#answer(queue, answer);
  }

  async #bringFresh(queue: PartitionQueue): Promise<void> {
    const answer = await this.#ask();
    if (this.#asking.delete(queue)) this.#answer(queue, answer);
  }

  #answer(queue: PartitionQueue, answer: number | SluiceError | undefined): void {
    if (typeof answer === 'number') queue.begin(answer);
    else if (answer !== undefined) this.#options.onRefused(queue, answer);
  }

  /** Goes on until there is an answer; records that wait too long for it expire on their own. */
  async #ask(): Promise<number | SluiceError | undefined> {
    const { calls, clientId } = this.#options;
    while (!this.#stop.signal.aborted) {
      try {
        const limits = { timeoutMs: askTimeoutMs, signal: this.#stop.signal };
        const granted = await calls.ask(methods.broker.initProducer, { clientId }, limits);
        return granted.producerId;
      } catch (thrown) {
        const error = toSluiceError(thrown);
        if (!error.retryable && error.code !== 'TIMEOUT' && error.code !== 'CANCELLED') return error;
      }
    }
    return undefined;
  }
}
