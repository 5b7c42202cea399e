import type { Consumer, Sluice } from '@sluice/client';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import { sizeBytes, wholeNumber } from '../option-values.ts';
import { startProgress } from '../progress.ts';
import { printFigure, rates, ratesText, settingsOf } from './figure.ts';
import { sendAtFullSpeed } from './full-speed.ts';
import { addLoadOptions, addTopicOptions, fullSpeedPartitions, producerOptions, withDefaults } from './options.ts';
import type { LoadOptions, TopicOptions } from './options.ts';
import { benchPayloads } from './payload.ts';
import { onTopic } from './topic.ts';
import type { Target } from './topic.ts';
import { consumeWork } from './work.ts';

interface ConsumeOptions extends LoadOptions, TopicOptions {
  readonly records: number;
  readonly decode: boolean;
}

const examples = `
Examples:
  sluice bench consume --records 1000000
  sluice bench consume --records 1000000 --record-bytes 100 --decode --json
  sluice bench consume --records 1000000000 --topic orders       what is there, at most so many`;

export function addBenchConsume(bench: Command, run: RunCommand): void {
  const command = bench
    .command('consume')
    .description('how many records a second one consumer reads, from its first batch to its last')
    .requiredOption('--records <count>', 'read at most this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--record-bytes <size>', "bytes of a record's value", sizeBytes, 1024)
    .option('--decode', 'make every record, as a program that looks at each does; else batches are counted', false);
  addLoadOptions(addTopicOptions(command, fullSpeedPartitions))
    .addHelpText('after', examples)
    .action((options: ConsumeOptions, self: Command) =>
      run(self, async (context) => {
        await onTopic(context, options, (target) => measure(context, options, target));
        return exitCodes.done;
      }),
    );
}

async function measure(context: CommandContext, options: ConsumeOptions, target: Target): Promise<void> {
  const load = withDefaults(options);
  const { recordBytes, decode } = options;
  const settings = await settingsOf(target.sluice, target.topic, load);
  if (options.topic === undefined) await fill(context, options, target);
  const bounds = await target.sluice.admin.listOffsets(target.topic.name);
  const there = bounds.reduce((sum, { logStart, highWatermark }) => sum + highWatermark - logStart, 0);
  const wanted = Math.min(options.records, there);
  const { records, bytes, elapsedMs } = await read(context, options, { target, wanted });
  const found = rates(records, decode ? bytes : records * recordBytes, elapsedMs);
  await printFigure(context, {
    work: consumeWork({ recordBytes, decode }),
    settings: { ...settings, decode },
    found,
    text: ratesText(found),
  });
}

async function fill(context: CommandContext, options: ConsumeOptions, { sluice, topic, stop }: Target): Promise<void> {
  const { records, recordBytes } = options;
  await using producer = sluice.producer(producerOptions(withDefaults(options)));
  const payloads = benchPayloads(recordBytes);
  let acked = 0;
  const progress = progressOf(context, { label: 'fill', total: records, describe: () => `${acked} records written` });
  const onAcked = (more: number): void => {
    acked += more;
    progress.advance(acked);
  };
  try {
    const endMs = Number.POSITIVE_INFINITY;
    await sendAtFullSpeed({ producer, topic: topic.name, payloads, records, endMs, stop, onAcked });
  } finally {
    progress.stop();
  }
}

interface Read {
  readonly records: number;
  /** Of the values; 0 unless every record is made. */
  readonly bytes: number;
  /** From the first batch to the last. */
  readonly elapsedMs: number;
}

async function read(
  context: CommandContext,
  { decode }: ConsumeOptions,
  { target, wanted }: { readonly target: Target; readonly wanted: number },
): Promise<Read> {
  let [records, bytes, firstMs] = [0, 0, 0];
  if (wanted === 0) return { records, bytes, elapsedMs: 0 };
  await using consumer = consumerOf(target.sluice, target);
  const progress = progressOf(context, { label: 'bench', total: wanted, describe: () => `${records} records read` });
  try {
    for await (const batch of consumer.batches({ signal: target.stop })) {
      if (records === 0) firstMs = performance.now();
      if (decode) {
        for (const record of batch.records()) {
          records += 1;
          bytes += record.value?.length ?? 0;
        }
      } else {
        records += batch.nextOffset - batch.baseOffset;
      }
      progress.advance(Math.min(records, wanted));
      if (records >= wanted) break;
    }
  } finally {
    progress.stop();
  }
  return { records, bytes, elapsedMs: performance.now() - firstMs };
}

const consumerOf = (sluice: Sluice, { topic }: Target): Consumer =>
  sluice.consumer({
    assignments: topic.partitions.map(({ partition }) => ({ topic: topic.name, partition, from: 'start' as const })),
  });

const progressOf = (
  { terminal, output }: CommandContext,
  progress: { readonly label: string; readonly total: number; readonly describe: () => string },
): ReturnType<typeof startProgress> => startProgress({ ...progress, watched: terminal.watched, output });
