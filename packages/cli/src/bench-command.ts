import { randomUUID } from 'node:crypto';
import { createHistogram } from 'node:perf_hooks';
import type { SluiceError } from '@sluice/base';
import type { AcksName, Producer, Sluice, TopicDescription } from '@sluice/client';
import type { Codec } from '@sluice/record';
import { Option } from 'commander';
import type { Command } from 'commander';
import { benchPayloads } from './bench-payload.ts';
import { latencyMs, produceWorkName } from './bench-work.ts';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { isMemoryFilesystem, nodeFilesystems } from './node-filesystems.ts';
import { positiveNumber, sizeBytes, wholeNumber } from './option-values.ts';
import { Pace } from './pace.ts';
import { startProgress } from './progress.ts';
import { sleep } from './sleep.ts';
import { version } from './version.ts';

interface BenchOptions {
  readonly recordBytes: number;
  readonly records?: number;
  readonly seconds?: number;
  readonly rate?: number;
  readonly partitions: number;
  readonly replication: number;
  readonly acks: AcksName;
  readonly durability: string;
  readonly batchBytes?: number;
  readonly lingerMs?: number;
  readonly compression: Codec;
  readonly warmupSeconds: number;
  readonly topic?: string;
}

/** The client's own, said aloud so that a figure tells what it was measured with. */
const defaultBatchBytes = 256 * 1024;
const defaultLingerMs = 0;

const examples = `
Examples:
  sluice bench produce --record-bytes 1024 --seconds 15
  sluice bench produce --record-bytes 1024 --records 100000 --rate 1000 --json
  sluice bench produce --record-bytes 1024 --seconds 15 --batch-bytes 128KiB --linger-ms 10`;

export function addBenchCommands(program: Command, run: RunCommand): void {
  program
    .command('bench')
    .description('measure a running cluster')
    .command('produce')
    .description('how many records a second, and how long each takes until it is acked')
    .requiredOption('--record-bytes <size>', "bytes of a record's value", sizeBytes)
    .option('--records <count>', 'measure this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .option('--seconds <seconds>', 'measure for this long', positiveNumber)
    .option('--rate <records>', 'records a second; latency then counts from when a record was due', positiveNumber)
    .option('--partitions <count>', 'partitions of the topic', wholeNumber(1, 10_000), 6)
    .option('--replication <count>', 'copies of each partition', wholeNumber(1, 100), 3)
    .addOption(new Option('--acks <which>', 'when a record counts').choices(['all', 'leader', 'none']).default('all'))
    .addOption(new Option('--durability <mode>', 'of the topic').choices(['fsync', 'replicated']).default('fsync'))
    .option('--batch-bytes <size>', "instead of the client's default", sizeBytes)
    .option('--linger-ms <ms>', "instead of the client's default", wholeNumber(0, 60_000))
    .addOption(
      new Option('--compression <codec>', 'how batches are compressed')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    )
    .option('--warmup-seconds <seconds>', 'load before the measurement, discarded', wholeNumber(0, 3600), 4)
    .option('--topic <name>', 'use this topic instead of making and deleting one')
    .addHelpText('after', examples)
    .action((options: BenchOptions, command: Command) => {
      if ((options.records === undefined) === (options.seconds === undefined)) {
        command.error('error: give either --records or --seconds');
      }
      return run(command, (context) => benchProduce(context, options));
    });
}

async function benchProduce(context: CommandContext, options: BenchOptions): Promise<ExitCode> {
  await using sluice = connect(context);
  if (options.topic !== undefined) {
    return await measure(context, { sluice, options, topic: await sluice.admin.describeTopic(options.topic) });
  }
  const { partitions, replication, durability } = options;
  const name = `bench-${randomUUID()}`;
  const topic = await sluice.admin.createTopic({ name, partitions, replication, config: { durability } });
  try {
    return await measure(context, { sluice, options, topic });
  } finally {
    await sluice.admin.deleteTopic(name);
  }
}

interface Target {
  readonly sluice: Sluice;
  readonly topic: TopicDescription;
  readonly options: BenchOptions;
}

async function measure(context: CommandContext, { sluice, topic, options }: Target): Promise<ExitCode> {
  const { output, terminal } = context;
  const filesystem = await nodeFilesystems((await sluice.admin.describeCluster()).nodes.map((node) => node.admin));
  const { batchBytes = defaultBatchBytes, lingerMs = defaultLingerMs } = options;
  await using producer = sluice.producer({
    acks: options.acks,
    compression: options.compression,
    batchBytesMax: batchBytes,
    lingerMs,
  });
  const load = new ProduceLoad(producer, topic.name, options);
  const describe = (): string => `${load.acked} records acked`;
  const progress = startProgress({
    label: 'bench',
    total: options.records,
    watched: terminal.watched,
    output,
    describe,
  });
  await load.run(progress.advance);
  progress.stop();
  if (load.failure !== undefined) throw load.failure;
  const { records, seconds } = load;
  const work = produceWorkName({
    recordBytes: options.recordBytes,
    rate: options.rate,
    tuned: options.batchBytes !== undefined || options.lingerMs !== undefined,
  });
  const figure = {
    system: 'sluice',
    version,
    work,
    settings: {
      fsync: topic.config['durability'] === 'fsync',
      recordBytes: options.recordBytes,
      partitions: topic.partitions.length,
      replication: topic.partitions[0]?.replicas.length ?? 0,
      acks: options.acks,
      minIsr: Number(topic.config['minIsr']),
      batchBytes,
      lingerMs,
      rate: options.rate ?? null,
      compression: options.compression,
      filesystem,
      memoryFilesystem: isMemoryFilesystem(filesystem),
    },
    records,
    seconds: Number(seconds.toFixed(3)),
    recordsPerSecond: Math.round(records / seconds),
    bytesPerSecond: Math.round((records * options.recordBytes) / seconds),
    latencyMs: latencyMs(load.latencies),
  };
  if (figure.settings.memoryFilesystem)
    output.note('The data lies in a memory file system: this figure does not count.');
  await output.result(figure, () => {
    const { p50, p99, max } = figure.latencyMs;
    const mbPerSecond = (figure.bytesPerSecond / 1e6).toFixed(1);
    return `${work}: ${figure.recordsPerSecond} records/s, ${mbPerSecond} MB/s, latency p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`;
  });
  return exitCodes.done;
}

/** Timers and acks get a turn at least this often, however fast records are taken. */
const recordsPerTurn = 256;

/** Sends, counts and times. What was sent before the warm-up ended counts nowhere. */
class ProduceLoad {
  readonly latencies = createHistogram();
  readonly #producer: Producer;
  readonly #topic: string;
  readonly #options: BenchOptions;
  readonly #payloads: readonly Uint8Array[];
  #measuredFromMs = Number.POSITIVE_INFINITY;
  #lastAckMs = 0;
  #sent = 0;
  #measured = 0;
  acked = 0;
  failure: SluiceError | undefined;

  constructor(producer: Producer, topic: string, options: BenchOptions) {
    this.#producer = producer;
    this.#topic = topic;
    this.#options = options;
    this.#payloads = benchPayloads(options.recordBytes);
  }

  get records(): number {
    return this.acked;
  }

  get seconds(): number {
    return (this.#lastAckMs - this.#measuredFromMs) / 1000;
  }

  async run(advance: (to: number) => void): Promise<void> {
    const { records = Number.POSITIVE_INFINITY, seconds, rate, warmupSeconds } = this.#options;
    const startMs = performance.now();
    const measureAtMs = startMs + warmupSeconds * 1000;
    const endMs = seconds === undefined ? Number.POSITIVE_INFINITY : measureAtMs + seconds * 1000;
    const pace = rate === undefined ? undefined : new Pace(rate, startMs);
    let nowMs = startMs;
    while (nowMs < endMs && this.#measured < records && this.failure === undefined) {
      const dueMs = pace?.nextDueMs();
      if (dueMs !== undefined && dueMs > nowMs) await sleep(dueMs - nowMs);
      else if (this.#sent % recordsPerTurn === 0) await new Promise((resolve) => setImmediate(resolve));
      nowMs = performance.now();
      const fromMs = dueMs ?? nowMs;
      const measured = fromMs >= measureAtMs;
      if (measured) {
        if (this.#measured === 0) this.#measuredFromMs = fromMs;
        this.#measured += 1;
      }
      await this.#send(fromMs, measured);
      if (this.#sent % 1000 === 0) advance(this.acked);
    }
    await this.#producer.flush();
  }

  async #send(fromMs: number, measured: boolean): Promise<void> {
    const value = this.#payloads[this.#sent % this.#payloads.length] ?? null;
    this.#sent += 1;
    const onDelivery = (failure: SluiceError | undefined): void => {
      this.failure ??= failure;
      if (!measured || failure !== undefined) return;
      this.#lastAckMs = performance.now();
      this.acked += 1;
      this.latencies.record(Math.max(1, Math.round((this.#lastAckMs - fromMs) * 1000)));
    };
    while (!this.#producer.post(this.#topic, { value }, onDelivery)) await this.#producer.ready();
  }
}
