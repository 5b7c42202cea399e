import type { ConsumedBatch, PartitionBounds } from '@sluice/client';
import { SluiceError } from '@sluice/base';
import { Option } from 'commander';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { offsetGrammar, resolveOffset } from './offset-spec.ts';
import type { OffsetSpec } from './offset-spec.ts';
import { offsetSpec, wholeNumber } from './option-values.ts';
import { recordJson } from './record-json.ts';

interface ConsumeOptions {
  readonly partition?: number;
  readonly offset: OffsetSpec;
  readonly count?: number;
  readonly until?: 'end';
}

const examples = `
Examples:
  sluice consume orders                      from the first record, until Ctrl-C
  sluice consume orders --until end          what is there now
  sluice consume orders --offset -10 --json  the last ten records of each partition, and what follows
  sluice consume orders --offset @2026-01-31T12:00:00Z --count 100`;

export function addConsumeCommand(program: Command, run: RunCommand): void {
  program
    .command('consume')
    .argument('<topics...>', 'one or more topics')
    .description('print records as they come')
    .option('--partition <number>', 'only this partition', wholeNumber(0, 9_999))
    .addOption(
      new Option('--offset <where>', `where to start: ${offsetGrammar}`)
        .argParser(offsetSpec)
        .default({ kind: 'start' }, 'start'),
    )
    .option('--count <records>', 'stop after this many in total', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addOption(new Option('--until <where>', 'stop at the end as it is now').choices(['end']))
    .addHelpText('after', examples)
    .action((topics: string[], options: ConsumeOptions, command: Command) =>
      run(command, (context) => consume(context, topics, options)),
    );
}

async function consume(context: CommandContext, topics: string[], options: ConsumeOptions): Promise<ExitCode> {
  const { output, terminal } = context;
  const stop = terminal.interruption();
  await using sluice = connect(context);
  const reading = new Reading(options);
  for (const name of new Set(topics)) reading.add(name, await sluice.admin.listOffsets(name));
  if (reading.finished) return exitCodes.done;
  await using consumer = sluice.consumer({ assignments: reading.assignments });
  const close = (): void => void consumer.close();
  stop.addEventListener('abort', close);
  if (stop.aborted) close();
  for await (const batch of consumer.batches()) {
    const printed = reading.take(batch, output.json);
    if (printed.length > 0) await output.raw(Buffer.concat(printed));
    if (reading.finished || stop.aborted) break;
  }
  stop.removeEventListener('abort', close);
  return exitCodes.done;
}

interface Progress {
  /** Where `--until end` stops; infinite without it. */
  readonly end: number;
  /** Records before this time are dropped until one is not. */
  fromMs: number | undefined;
}

const newline = Uint8Array.of(0x0a);

/** What is left to print of each partition. */
class Reading {
  readonly #options: ConsumeOptions;
  readonly #open = new Map<string, Progress>();
  readonly assignments: { topic: string; partition: number; from: number }[] = [];
  #left: number;

  constructor(options: ConsumeOptions) {
    this.#options = options;
    this.#left = options.count ?? Number.POSITIVE_INFINITY;
  }

  get finished(): boolean {
    return this.#left === 0 || this.#open.size === 0;
  }

  add(topic: string, partitions: readonly PartitionBounds[]): void {
    const { partition: only, offset, until } = this.#options;
    if (only !== undefined && only >= partitions.length) {
      throw new SluiceError('UNKNOWN_PARTITION', {
        message: `Topic ${topic} has no partition ${only}; it has 0 to ${partitions.length - 1}.`,
        details: { topic, partition: only },
      });
    }
    for (const bounds of partitions) {
      const { partition, highWatermark } = bounds;
      if (only !== undefined && partition !== only) continue;
      const from = resolveOffset(offset, bounds);
      const end = until === 'end' ? highWatermark : Number.POSITIVE_INFINITY;
      if (from >= end) continue;
      this.#open.set(`${topic}/${partition}`, { end, fromMs: offset.kind === 'time' ? offset.ms : undefined });
      this.assignments.push({ topic, partition, from });
    }
  }

  /** The bytes to print for a batch. */
  take(batch: ConsumedBatch, json: boolean): Uint8Array[] {
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
      if (json) printed.push(Buffer.from(`${JSON.stringify(recordJson({ topic, partition, ...record }))}\n`));
      else if (record.value !== null) printed.push(record.value, newline);
    }
    if (batch.nextOffset >= progress.end) this.#open.delete(name);
    return printed;
  }
}
