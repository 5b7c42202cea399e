/**
 * What is left to print of each partition: where to start, where to stop, how many, from which time. Pure.
 * The caller hands in batches in the order of each partition.
 */
import type { PartitionBounds } from '@sluice/client';
import { resolveOffset } from './offset-spec.ts';
import type { OffsetSpec } from './offset-spec.ts';
import type { RecordFormat } from './record-format.ts';
import type { ConsumedRecord } from './record-json.ts';

export interface ReadingOptions {
  readonly offset: OffsetSpec;
  /** In total. */
  readonly count?: number;
  /** Stop at the end as it was when the partition was added. */
  readonly until?: 'end';
}

/** What is read of a consumed batch. */
export interface ReadBatch {
  readonly topic: string;
  readonly partition: number;
  /** The offset after its last record. */
  readonly nextOffset: number;
  records(): Iterable<Omit<ConsumedRecord, 'topic' | 'partition'>>;
}

interface Progress {
  /** Where `--until end` stops; infinite without it. */
  readonly end: number;
  /** Records before this time are dropped until one is not. */
  fromMs: number | undefined;
}

/** What is left to print of each partition. */
export class Reading {
  readonly #options: ReadingOptions;
  readonly #open = new Map<string, Progress>();
  readonly assignments: { topic: string; partition: number; from: number }[] = [];
  #left: number;

  constructor(options: ReadingOptions) {
    this.#options = options;
    this.#left = options.count ?? Number.POSITIVE_INFINITY;
  }

  get finished(): boolean {
    return this.#left === 0 || this.#open.size === 0;
  }

  add(topic: string, partitions: readonly PartitionBounds[]): void {
    const { offset, until } = this.#options;
    for (const bounds of partitions) {
      const { partition, highWatermark } = bounds;
      const from = resolveOffset(offset, bounds);
      const end = until === 'end' ? highWatermark : Number.POSITIVE_INFINITY;
      if (from >= end) continue;
      this.#open.set(`${topic}/${partition}`, { end, fromMs: offset.kind === 'time' ? offset.ms : undefined });
      this.assignments.push({ topic, partition, from });
    }
  }

  /** The bytes to print for a batch. */
  take(batch: ReadBatch, format: RecordFormat): Uint8Array[] {
    const { topic, partition } = batch;
    const name = `${topic}/${partition}`;
    const progress = this.#open.get(name);
    const printed: Uint8Array[] = [];
    if (progress === undefined) return printed;
    for (const record of batch.records()) {
      if (this.#left === 0 || record.offset >= progress.end) break;
      if (progress.fromMs !== undefined && record.timestamp < progress.fromMs) continue;
      progress.fromMs = undefined;
      this.#left -= 1;
      printed.push(...format({ topic, partition, ...record }));
    }
    if (batch.nextOffset >= progress.end) this.#open.delete(name);
    return printed;
  }
}
