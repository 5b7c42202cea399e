import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { SluiceError, toSluiceError } from '@sluice/base';
import type { AcksName, Producer, ProducerRecord } from '@sluice/client';
import type { Codec } from '@sluice/record';
import { Option } from 'commander';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import type { ExitCode } from './exit-code.ts';
import { splitKey } from './key-separator.ts';
import { isOverlong, linesOf } from './line-splitter.ts';
import type { Line } from './line-splitter.ts';
import { pairs, positiveNumber, wholeNumber } from './option-values.ts';
import type { Pair } from './option-values.ts';
import { OrderedResults } from './ordered-results.ts';
import type { Outcome } from './ordered-results.ts';
import { errorJson } from './output.ts';
import type { Output } from './output.ts';
import { Pace } from './pace.ts';
import { startProgress } from './progress.ts';

interface ProduceOptions {
  readonly file?: string;
  readonly keySeparator?: string;
  readonly partition?: number;
  readonly acks: AcksName;
  readonly header: readonly Pair[];
  readonly compression: Codec;
  readonly rate?: number;
}

/** No topic takes a record this long, so a longer line is refused here and costs no memory. */
const lineBytesMax = 8 * 1024 * 1024;

/** Records whose outcome is open or unwritten. */
const windowMax = 50_000;

/** Failures that are spelled out for people; the rest is a count. */
const failuresShown = 5;

const examples = `
Examples:
  echo hello | sluice produce orders
  sluice produce orders --file orders.txt --key-separator :
  sluice produce orders --header source=web --rate 1000 --json < lines.txt`;

export function addProduceCommand(program: Command, run: RunCommand): void {
  program
    .command('produce')
    .argument('<topic>', 'an existing topic; producing never creates one')
    .description('one record a line, from a file or standard input')
    .option('--file <path>', 'read this file instead of standard input')
    .option('--key-separator <text>', 'the text before the first separator is the key')
    .option('--partition <number>', 'send everything to this partition', wholeNumber(0, 9_999))
    .addOption(
      new Option('--acks <which>', 'replicas that must have a record before it counts')
        .choices(['all', 'leader', 'none'])
        .default('all'),
    )
    .addOption(
      new Option('--header <key=value>', 'put on every record; may be repeated').argParser(pairs).default([], 'none'),
    )
    .addOption(
      new Option('--compression <codec>', 'how batches are compressed')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    )
    .option('--rate <records>', 'records a second', positiveNumber)
    .addHelpText('after', examples)
    .action((topic: string, options: ProduceOptions, command: Command) =>
      run(command, (context) => produce(context, topic, options)),
    );
}

async function produce(context: CommandContext, topic: string, options: ProduceOptions): Promise<ExitCode> {
  const { output, terminal } = context;
  const source = await openSource(context, options);
  await using sluice = connect(context);
  // One answer for a topic that is not there, instead of one for each line.
  await sluice.admin.describeTopic(topic);
  await using producer = sluice.producer({
    acks: options.acks,
    compression: options.compression,
    deliveryTimeoutMs: context.timeoutMs,
  });
  const report = new FailureReport(output);
  const results = new OrderedResults({ windowMax, write: (outcomes) => report.write(outcomes) });
  const startMs = performance.now();
  const progress = startProgress({
    label: 'produced',
    total: source.totalBytes,
    watched: terminal.watched,
    output,
    describe: () => `${results.succeeded} records, ${results.failed} failed`,
  });
  const send = sender({ producer, topic, results, toRecord: recordMaker(options) });
  const pace = options.rate === undefined ? undefined : new Pace(options.rate);
  const stop = terminal.interruption();
  for await (const lines of linesOf(counted(untilAborted(source.chunks, stop), progress.advance), lineBytesMax)) {
    for (const line of lines) {
      if (stop.aborted) break;
      await pace?.turn(stop);
      await results.room();
      await send(line);
    }
    if (stop.aborted) break;
  }
  await producer.flush();
  await results.drained();
  progress.stop();
  const seconds = (performance.now() - startMs) / 1000;
  output.note(summary(results, seconds));
  return results.exit;
}

function summary({ succeeded, failed }: OrderedResults, seconds: number): string {
  const rate = Math.round(succeeded / Math.max(seconds, 0.001));
  return `${succeeded} records produced, ${failed} failed, in ${seconds.toFixed(2)} s (${rate} records/s)`;
}

interface SenderOptions {
  readonly producer: Producer;
  readonly topic: string;
  readonly results: OrderedResults;
  readonly toRecord: (line: Uint8Array) => ProducerRecord;
}

/** Resolves when the producer has taken the line: a full buffer holds the reader. */
function sender({ producer, topic, results, toRecord }: SenderOptions): (line: Line) => Promise<void> | undefined {
  const nowhere = { partition: -1, offset: -1 };
  return (line) => {
    const decide = results.add();
    if (isOverlong(line)) {
      const details = { bytes: line.overlongBytes, limit: lineBytesMax };
      const message = `The line has ${line.overlongBytes} bytes; no topic takes more than ${lineBytesMax}.`;
      decide(new SluiceError('RECORD_TOO_LARGE', { message, details }), nowhere);
      return undefined;
    }
    const record = toRecord(line);
    try {
      return producer.post(topic, record, decide) ? undefined : postLater();
    } catch (error) {
      // Not a record that any topic takes; nothing was sent.
      decide(toSluiceError(error), nowhere);
      return undefined;
    }

    async function postLater(): Promise<void> {
      do await producer.ready();
      while (!producer.post(topic, record, decide));
    }
  };
}

function recordMaker(options: ProduceOptions): (line: Uint8Array) => ProducerRecord {
  const separator = options.keySeparator === undefined ? undefined : Buffer.from(options.keySeparator);
  const headers = options.header.map(([key, value]) => ({ key, value }));
  const target = options.partition === undefined ? {} : { partition: options.partition };
  return (line) => ({ ...splitKey(line, separator), headers, ...target });
}

/** JSON: a line for each record. For people: nothing on stdout, the first failures on stderr. */
class FailureReport {
  readonly #output: Output;
  #shown = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  async write(outcomes: readonly Outcome[]): Promise<void> {
    if (this.#output.json) return this.#output.raw(outcomes.map(outcomeLine).join(''));
    for (const outcome of outcomes) {
      if (!('failure' in outcome) || this.#shown >= failuresShown) continue;
      this.#shown += 1;
      await this.#output.failure(outcome.failure);
    }
  }
}

function outcomeLine(outcome: Outcome): string {
  if ('failure' in outcome) return `${JSON.stringify(errorJson(outcome.failure))}\n`;
  return `{"partition":${outcome.partition},"offset":${outcome.offset}}\n`;
}

interface Source {
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly totalBytes: number | undefined;
}

async function openSource({ terminal }: CommandContext, { file }: ProduceOptions): Promise<Source> {
  if (file === undefined) return { chunks: terminal.stdin, totalBytes: undefined };
  try {
    const found = await stat(file);
    if (found.isDirectory()) throw new Error('it is a directory');
    const chunks: AsyncIterable<Uint8Array> = createReadStream(file, { highWaterMark: 256 * 1024 });
    return { chunks, totalBytes: found.isFile() ? found.size : undefined };
  } catch (error) {
    throw new SluiceError('INVALID_REQUEST', {
      message: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      cause: error,
    });
  }
}

async function* counted(chunks: AsyncIterable<Uint8Array>, advance: (to: number) => void): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    advance(bytes);
    yield chunk;
  }
}

/** Ends when `signal` aborts, also while nothing arrives: somebody pressed Ctrl-C at the prompt. */
async function* untilAborted(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  while (!signal.aborted) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const abort = (): void => resolve(undefined);
    signal.addEventListener('abort', abort);
    const next = await Promise.race([iterator.next(), promise]);
    signal.removeEventListener('abort', abort);
    if (next === undefined || next.done === true) return;
    yield next.value;
  }
}
