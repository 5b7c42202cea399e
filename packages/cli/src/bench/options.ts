/** Options that several benchmarks take, with one meaning. */
import { producerDefaults } from '@sluice/client';
import type { AcksName, ProducerOptions } from '@sluice/client';
import type { Codec } from '@sluice/record';
import { Option } from 'commander';
import type { Command } from 'commander';
import { sizeBytes, wholeNumber } from '../option-values.ts';

export interface TopicOptions {
  readonly partitions: number;
  readonly replication: number;
  readonly durability: string;
  readonly topic?: string;
}

export interface LoadOptions {
  readonly recordBytes: number;
  readonly acks: AcksName;
  readonly batchBytes?: number;
  readonly lingerMs?: number;
  readonly compression: Codec;
}

export const fullSpeedPartitions = 6;

export function addTopicOptions(command: Command, partitions: number): Command {
  return command
    .option('--partitions <count>', 'partitions of the topic', wholeNumber(1, 10_000), partitions)
    .option('--replication <count>', 'copies of each partition', wholeNumber(1, 100), 3)
    .addOption(new Option('--durability <mode>', 'of the topic').choices(['fsync', 'replicated']).default('fsync'))
    .option('--topic <name>', 'use this topic instead of making and deleting one');
}

export function addLoadOptions(command: Command): Command {
  return command
    .addOption(new Option('--acks <which>', 'when a record counts').choices(['all', 'leader', 'none']).default('all'))
    .option('--batch-bytes <size>', "instead of the client's default", sizeBytes)
    .option('--linger-ms <ms>', "instead of the client's default", wholeNumber(0, 60_000))
    .addOption(
      new Option('--compression <codec>', 'how batches are compressed')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    );
}

/** What the benchmarks with a cluster of their own send: the client at its defaults. */
export const ownLoad: FilledLoadOptions<LoadOptions> = {
  recordBytes: 1024,
  acks: 'all',
  batchBytes: producerDefaults.batchBytesMax,
  lingerMs: producerDefaults.lingerMs,
  compression: 'none',
};

export const isTuned = ({ batchBytes, lingerMs }: LoadOptions): boolean =>
  batchBytes !== undefined || lingerMs !== undefined;

export type FilledLoadOptions<Options extends LoadOptions> = Options & {
  readonly batchBytes: number;
  readonly lingerMs: number;
};

/** Said aloud, so that a figure tells what it was measured with. */
export const withDefaults = <Options extends LoadOptions>(options: Options): FilledLoadOptions<Options> => ({
  ...options,
  batchBytes: options.batchBytes ?? producerDefaults.batchBytesMax,
  lingerMs: options.lingerMs ?? producerDefaults.lingerMs,
});

export const producerOptions = ({
  acks,
  compression,
  batchBytes,
  lingerMs,
}: FilledLoadOptions<LoadOptions>): ProducerOptions => ({ acks, compression, batchBytesMax: batchBytes, lingerMs });
