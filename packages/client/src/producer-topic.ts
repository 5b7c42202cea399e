/** A topic as a producer sees it, for as long as its id lives: its partitions' queues, and who gets keyless records. */
import type { Random } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { RecordDraft } from '@sluice/record';
import { batchHeaderBytes } from '@sluice/record';
import type { TopicMetadata } from '@sluice/wire';
import type { PartitionQueue } from './partition-queue.ts';
import type { TopicLimits } from './record-input.ts';
import { topicLimits } from './record-input.ts';

/** Lets a trickle of records reach all partitions; at any higher rate a batch is full sooner, or hardly smaller. */
const stickyMs = 20;
/** Length, attributes, timestamp and offset of a record in a batch, roughly. */
const recordPrefixBytes = 8;

export class ProducerTopic {
  readonly name: string;
  readonly topicId: string;
  readonly #random: Random;
  readonly #open: (topic: ProducerTopic, partition: number) => PartitionQueue;
  readonly #queues: (PartitionQueue | undefined)[] = [];
  #metadata: TopicMetadata;
  #limits: TopicLimits;
  /** Where keyless records go, until that partition had a batch of them or its time: large batches, evenly spread. */
  #sticky: PartitionQueue | undefined;
  #stickyBytesLeft = 0;
  #stickyUntilMs = 0;

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

  /** The queue of the record's partition, or `UNKNOWN_PARTITION`. */
  queueFor(record: RecordDraft, chosen: number | undefined, nowMs: number): PartitionQueue | SluiceError {
    const count = this.#metadata.partitions.length;
    if (chosen !== undefined) {
      if (!Number.isInteger(chosen) || chosen < 0 || chosen >= count) return unknownPartition(this.name, chosen, count);
      return this.#queue(chosen);
    }
    return record.hasKey ? this.#queue(record.partition(count)) : this.#stickyQueue(record.contentBytes, nowMs);
  }

  #stickyQueue(bytes: number, nowMs: number): PartitionQueue {
    this.#stickyBytesLeft -= bytes + recordPrefixBytes;
    if (this.#sticky !== undefined && this.#stickyBytesLeft >= 0 && nowMs < this.#stickyUntilMs) return this.#sticky;
    // Its batch is as full as it gets.
    if (this.#stickyBytesLeft < 0) this.#sticky?.seal();
    const queue = this.#queue(this.#draw());
    this.#sticky = queue;
    this.#stickyBytesLeft = queue.options.batchBytesMax - batchHeaderBytes - bytes - recordPrefixBytes;
    this.#stickyUntilMs = nowMs + stickyMs;
    return queue;
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
