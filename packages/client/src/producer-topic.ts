/** A topic as a producer sees it, for as long as its id lives: its partitions' queues, and who gets keyless records. */
import type { Random } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import { partitionForKey } from '@sluice/record';
import type { TopicMetadata } from '@sluice/wire';
import type { NewRecord, PartitionQueue } from './partition-queue.ts';
import type { PendingBatch } from './pending-batch.ts';
import type { TopicLimits } from './record-input.ts';
import { topicLimits } from './record-input.ts';

export class ProducerTopic {
  readonly name: string;
  readonly topicId: string;
  readonly #random: Random;
  readonly #open: (topic: ProducerTopic, partition: number) => PartitionQueue;
  readonly #queues: (PartitionQueue | undefined)[] = [];
  #metadata: TopicMetadata;
  #limits: TopicLimits;
  /** Keyless records go where the last one went, until its batch is closed: large batches, evenly spread. */
  #sticky: { readonly queue: PartitionQueue; readonly batch: PendingBatch } | undefined;

  constructor(
    metadata: TopicMetadata,
    random: Random,
    open: (topic: ProducerTopic, partition: number) => PartitionQueue,
  ) {
    this.name = metadata.name;
    this.topicId = metadata.topicId;
    this.#metadata = metadata;
    this.#limits = topicLimits(metadata);
    this.#random = random;
    this.#open = open;
  }

  get metadata(): TopicMetadata {
    return this.#metadata;
  }

  get limits(): TopicLimits {
    return this.#limits;
  }

  get queues(): readonly PartitionQueue[] {
    return this.#queues.filter((queue) => queue !== undefined);
  }

  /** Returns the queues whose leader is another one now. */
  onMetadata(metadata: TopicMetadata): readonly PartitionQueue[] {
    this.#metadata = metadata;
    this.#limits = topicLimits(metadata);
    return this.queues.filter((queue) => {
      const partition = metadata.partitions[queue.partition];
      return partition !== undefined && queue.onMetadata(partition);
    });
  }

  /** Returns the batch that took the record, or `UNKNOWN_PARTITION`. */
  append(added: NewRecord, chosen: number | undefined): PendingBatch | SluiceError {
    const count = this.#metadata.partitions.length;
    if (chosen !== undefined) {
      if (!Number.isInteger(chosen) || chosen < 0 || chosen >= count) return unknownPartition(this.name, chosen, count);
      return this.#queue(chosen).append(added);
    }
    const { key } = added.record;
    if (key !== null) return this.#queue(partitionForKey(key, count)).append(added);
    return this.#appendSticky(added);
  }

  #appendSticky(added: NewRecord): PendingBatch {
    const last = this.#sticky;
    const full = last === undefined || last.queue.openBatch !== last.batch || !last.queue.fits(added.record);
    const queue = full ? this.#queue(this.#draw()) : last.queue;
    const batch = queue.append(added);
    if (batch !== last?.batch) this.#sticky = { queue, batch };
    return batch;
  }

  /** A partition that has a leader, if any has. */
  #draw(): number {
    const led = this.#metadata.partitions.filter((partition) => partition.leader !== 0);
    const candidates = led.length > 0 ? led : this.#metadata.partitions;
    return candidates[this.#random.below(candidates.length)]?.partition ?? 0;
  }

  #queue(partition: number): PartitionQueue {
    const known = this.#queues[partition];
    if (known !== undefined) return known;
    const queue = this.#open(this, partition);
    this.#queues[partition] = queue;
    return queue;
  }
}

export const unknownPartition = (topic: string, partition: number, count: number): SluiceError =>
  new SluiceError('UNKNOWN_PARTITION', {
    message: `Topic ${topic} has no partition ${partition}; it has ${count}, counted from 0.`,
    details: { topic, partition, partitions: count },
  });
