import type { SluiceError } from '@sluice/base';
import type { Sluice } from '@sluice/client';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import { positiveNumber, wholeNumber } from '../option-values.ts';
import { startProgress } from '../progress.ts';
import { sleep } from '../sleep.ts';
import { printFigure, rates, ratesText, settingsOf } from './figure.ts';
import { Latencies } from './latencies.ts';
import { addLoadOptions, addTopicOptions, producerOptions, withDefaults } from './options.ts';
import type { LoadOptions, TopicOptions } from './options.ts';
import { paced, postOrWait } from './paced.ts';
import { StampedValues } from './stamped-values.ts';
import { onTopic } from './topic.ts';
import type { Target } from './topic.ts';
import { endToEndWork } from './work.ts';

interface EndToEndOptions extends LoadOptions, TopicOptions {
  readonly rate: number;
  readonly seconds: number;
  readonly warmupSeconds: number;
}

const examples = `
Examples:
  sluice bench end-to-end --rate 1000 --seconds 20
  sluice bench end-to-end --rate 100 --seconds 20 --record-bytes 100 --json`;

/** After the last record was sent; what has not come by then is said to be missing. */
const patienceMs = 15_000;

export function addBenchEndToEnd(bench: Command, run: RunCommand): void {
  const command = bench
    .command('end-to-end')
    .description('how long from when a record is due to be sent until a consumer has it')
    .requiredOption('--rate <records>', 'records a second', positiveNumber)
    .requiredOption('--seconds <seconds>', 'measure for this long', positiveNumber)
    .option('--record-bytes <size>', "bytes of a record's value, at least 16", wholeNumber(16, 2 ** 30), 1024)
    .option('--warmup-seconds <seconds>', 'load before the measurement, discarded', wholeNumber(0, 3600), 3);
  addLoadOptions(addTopicOptions(command, 1))
    .addHelpText('after', examples)
    .action((options: EndToEndOptions, self: Command) =>
      run(self, async (context) => {
        await onTopic(context, options, (target) => measure(context, options, target));
        return exitCodes.done;
      }),
    );
}

async function measure(context: CommandContext, options: EndToEndOptions, target: Target): Promise<void> {
  const { recordBytes, rate, seconds } = options;
  const { terminal, output } = context;
  const settings = await settingsOf(target.sluice, target.topic, withDefaults(options));
  const latencies = new Latencies();
  const progress = startProgress({
    label: 'bench',
    total: Math.round(rate * seconds),
    watched: terminal.watched,
    output,
    describe: () => `${latencies.count} records received`,
  });
  try {
    await run(options, target, (tookMs) => {
      latencies.record(tookMs);
      progress.advance(latencies.count);
    });
  } finally {
    progress.stop();
  }
  const missing = Math.round(rate * seconds) - latencies.count;
  if (missing > 0) output.note(`${missing} records had not arrived after ${patienceMs / 1000} s.`);
  const found = {
    ...rates(latencies.count, latencies.count * recordBytes, seconds * 1000),
    latencyMs: latencies.summary(),
  };
  await printFigure(context, { work: endToEndWork(options), settings, found, text: ratesText(found) });
}

/** Sends and receives in this process: both ends read one clock. */
async function run(options: EndToEndOptions, target: Target, onReceived: (tookMs: number) => void): Promise<void> {
  const { rate, seconds, warmupSeconds } = options;
  const { sluice, stop } = target;
  const warm = Math.round(rate * warmupSeconds);
  const total = warm + Math.round(rate * seconds);
  const values = new StampedValues(options.recordBytes);
  const over = new AbortController();
  const end = (): void => over.abort();
  const received = receive(sluice, await ends(target), {
    signal: AbortSignal.any([stop, over.signal]),
    total,
    onValue: (value) => {
      if (values.indexOf(value) >= warm) onReceived(performance.now() - values.dueMsOf(value));
    },
  });
  const sent = send(options, target, { total, values }).then(() => sleep(patienceMs, over.signal));
  await Promise.all([received.finally(end), sent.finally(end)]);
}

interface Sending {
  readonly total: number;
  readonly values: StampedValues;
}

/** Resolves when all are acked. */
async function send(options: EndToEndOptions, target: Target, { total, values }: Sending): Promise<void> {
  const { sluice, topic, stop } = target;
  await using producer = sluice.producer(producerOptions(withDefaults(options)));
  let failure: SluiceError | undefined;
  await paced({
    ratePerSecond: options.rate,
    isOver: (sent) => sent >= total || stop.aborted || failure !== undefined,
    send: (index, dueMs) =>
      postOrWait(producer, topic.name, { value: values.make(index, dueMs) }, (error) => {
        failure ??= error;
      }),
  });
  await producer.flush();
  if (failure !== undefined) throw failure;
}

type Ends = readonly { readonly topic: string; readonly partition: number; readonly from: number }[];

/** Where the topic ends now: what is sent from now on is read, and nothing else. */
const ends = async ({ sluice, topic }: Target): Promise<Ends> =>
  (await sluice.admin.listOffsets(topic.name)).map(({ partition, highWatermark }) => ({
    topic: topic.name,
    partition,
    from: highWatermark,
  }));

interface Receiving {
  readonly signal: AbortSignal;
  readonly total: number;
  readonly onValue: (value: Uint8Array) => void;
}

async function receive(sluice: Sluice, assignments: Ends, { signal, total, onValue }: Receiving): Promise<void> {
  await using consumer = sluice.consumer({ assignments });
  const close = (): void => void consumer.close();
  signal.addEventListener('abort', close);
  let received = 0;
  for await (const batch of consumer.batches()) {
    for (const { value } of batch.records()) {
      received += 1;
      if (value !== null) onValue(value);
    }
    if (received >= total) break;
  }
}
