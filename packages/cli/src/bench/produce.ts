import type { SluiceError } from '@sluice/base';
import type { Producer } from '@sluice/client';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import { positiveNumber, sizeBytes, wholeNumber } from '../option-values.ts';
import { startProgress } from '../progress.ts';
import { printFigure, rates, ratesText, settingsOf } from './figure.ts';
import { sendAtFullSpeed } from './full-speed.ts';
import { Latencies } from './latencies.ts';
import {
  addLoadOptions,
  addTopicOptions,
  fullSpeedPartitions,
  isTuned,
  producerOptions,
  withDefaults,
} from './options.ts';
import type { LoadOptions, TopicOptions } from './options.ts';
import { paced, postOrWait } from './paced.ts';
import { benchPayloads } from './payload.ts';
import { onTopic } from './topic.ts';
import type { Target } from './topic.ts';
import { produceWork } from './work.ts';

interface ProduceOptions extends LoadOptions, TopicOptions {
  readonly records?: number;
  readonly seconds?: number;
  readonly rate?: number;
  readonly warmupSeconds: number;
}

const examples = `
Examples:
  sluice bench produce --record-bytes 1024 --seconds 15
  sluice bench produce --record-bytes 1024 --records 100000 --rate 1000 --json
  sluice bench produce --record-bytes 1024 --seconds 15 --batch-bytes 128KiB --linger-ms 10`;

export function addBenchProduce(bench: Command, run: RunCommand): void {
  const command = bench
    .command('produce')
    .description('how many records a second, and how long each takes until it is acked')
    .requiredOption('--record-bytes <size>', "bytes of a record's value", sizeBytes)
    .option('--records <count>', 'measure this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--seconds <seconds>', 'measure for this long', positiveNumber)
    .option('--rate <records>', 'records a second; latency then counts from when a record was due', positiveNumber)
    .option('--warmup-seconds <seconds>', 'load before the measurement, discarded', wholeNumber(0, 3600), 4);
  addLoadOptions(addTopicOptions(command, fullSpeedPartitions))
    .addHelpText('after', examples)
    .action((options: ProduceOptions, self: Command) => {
      if ((options.records === undefined) === (options.seconds === undefined)) {
        self.error('error: give either --records or --seconds');
      }
      return run(self, async (context) => {
        await onTopic(context, options, (target) => measure(context, options, target));
        return exitCodes.done;
      });
    });
}

async function measure(context: CommandContext, options: ProduceOptions, target: Target): Promise<void> {
  const load = withDefaults(options);
  const { recordBytes, rate } = load;
  const settings = await settingsOf(target.sluice, target.topic, load);
  await using producer = target.sluice.producer(producerOptions(load));
  const payloads = benchPayloads(recordBytes);
  const phase = { producer, topic: target.topic.name, payloads, rate, stop: target.stop };
  await send({ ...phase, seconds: options.warmupSeconds, onAcked: () => undefined });
  const latencies = new Latencies();
  const { terminal, output } = context;
  const progress = startProgress({
    label: 'bench',
    total: options.records,
    watched: terminal.watched,
    output,
    describe: () => `${latencies.count} records acked`,
  });
  const startMs = performance.now();
  let lastAckMs = startMs;
  const onAcked = (records: number, tookMs: number): void => {
    latencies.record(tookMs, records);
    lastAckMs = performance.now();
    progress.advance(latencies.count);
  };
  try {
    await send({ ...phase, records: options.records, seconds: options.seconds, onAcked });
  } finally {
    progress.stop();
  }
  const found = {
    ...rates(latencies.count, latencies.count * recordBytes, lastAckMs - startMs),
    latencyMs: latencies.summary(),
  };
  const work = produceWork({ recordBytes, rate, tuned: isTuned(options) });
  const api = rate === undefined ? 'sendMany' : 'post';
  await printFigure(context, { work, settings: { ...settings, api }, found, text: ratesText(found) });
}

interface Phase {
  readonly producer: Producer;
  readonly topic: string;
  readonly payloads: readonly Uint8Array[];
  readonly rate: number | undefined;
  readonly records?: number | undefined;
  readonly seconds?: number | undefined;
  readonly stop: AbortSignal;
  readonly onAcked: (records: number, tookMs: number) => void;
}

/** Resolves when all that it sent is acked. */
async function send(phase: Phase): Promise<void> {
  const { rate, seconds = Number.POSITIVE_INFINITY, records = Number.POSITIVE_INFINITY } = phase;
  if (rate === undefined) {
    return sendAtFullSpeed({ ...phase, records, endMs: performance.now() + seconds * 1000 });
  }
  return sendAtRate(phase, rate, Math.min(records, Math.round(rate * seconds)));
}

async function sendAtRate(
  { producer, topic, payloads, stop, onAcked }: Phase,
  ratePerSecond: number,
  records: number,
): Promise<void> {
  let failure: SluiceError | undefined;
  await paced({
    ratePerSecond,
    isOver: (sent) => sent >= records || stop.aborted || failure !== undefined,
    send: (index, dueMs) =>
      postOrWait(producer, topic, { value: payloads[index % payloads.length] ?? null }, (error) => {
        if (error === undefined) onAcked(1, performance.now() - dueMs);
        else failure ??= error;
      }),
  });
  await producer.flush();
  if (failure !== undefined) throw failure;
}
