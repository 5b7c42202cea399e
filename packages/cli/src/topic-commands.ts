import { isSluiceError } from '@sluice/base';
import type { Sluice, TopicDescription } from '@sluice/client';
import { Option } from 'commander';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import { pairs, wholeNumber } from './option-values.ts';
import type { Pair } from './option-values.ts';
import { table } from './output.ts';
import type { Output } from './output.ts';
import { addTrim } from './topic-trim.ts';

interface CreateOptions {
  readonly partitions: number;
  readonly replication?: number;
  readonly config: readonly Pair[];
  readonly ifNotExists?: true;
}

export function addTopicCommands(program: Command, run: RunCommand): void {
  const topic = program.command('topic').description('create, list, describe, trim and delete topics');
  addCreate(topic, run);
  topic
    .command('list')
    .description('all topics')
    .addHelpText('after', '\nExamples:\n  sluice topic list\n  sluice topic list --json | jq .topics[].name')
    .action((_options: object, command: Command) => run(command, listTopics));
  topic
    .command('describe')
    .argument('<name>', 'topic')
    .description('configuration, replicas and offsets of one topic')
    .addHelpText('after', '\nExamples:\n  sluice topic describe orders\n  sluice topic describe orders --json')
    .action((name: string, _options: object, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        await printTopic(context.output, await sluice.admin.describeTopic(name));
        return exitCodes.done;
      }),
    );
  addTrim(topic, run);
  topic
    .command('delete')
    .argument('<name>', 'topic')
    .description('delete a topic and its data, for ever')
    .addHelpText('after', '\nExamples:\n  sluice topic delete orders')
    .action((name: string, _options: object, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        await sluice.admin.deleteTopic(name);
        await context.output.result({ deleted: true, name }, () => `deleted ${name}`);
        return exitCodes.done;
      }),
    );
}

function addCreate(topic: Command, run: RunCommand): void {
  topic
    .command('create')
    .argument('<name>', 'topic: letters, digits, dot, underscore and hyphen')
    .description('create a topic; returns when every leader serves')
    .option('--partitions <count>', 'how many partitions', wholeNumber(1, 10_000), 1)
    .option('--replication <count>', 'copies of each partition (default: 3, or the node count)', wholeNumber(1, 100))
    .addOption(
      new Option('--config <key=value>', 'a key of the topic configuration; may be repeated')
        .argParser(pairs)
        .default([], 'none'),
    )
    .option('--if-not-exists', 'succeed when the topic is there already')
    .addHelpText(
      'after',
      '\nExamples:\n  sluice topic create orders --partitions 6\n  sluice topic create audit --replication 3 --config minIsr=2 --if-not-exists\n  sluice topic create clicks --config durability=replicated --config retentionMs=3600000\n\nKeys: minIsr, durability, recordBytesMax, retentionMs (-1: for ever), retentionBytes (-1: no limit),\ncleanupPolicy, tombstoneRetentionMs, compactionLagMsMin.\ndocs/reference/config.md has their bounds and defaults.',
    )
    .action((name: string, options: CreateOptions, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        await printTopic(context.output, await createTopic(sluice, name, options));
        return exitCodes.done;
      }),
    );
}

/** Returns when every leader serves. */
async function createTopic(sluice: Sluice, name: string, options: CreateOptions): Promise<TopicDescription> {
  try {
    return await sluice.admin.createTopic({
      name,
      partitions: options.partitions,
      ...(options.replication === undefined ? {} : { replication: options.replication }),
      config: Object.fromEntries(options.config),
    });
  } catch (error) {
    const exists = isSluiceError(error) && error.code === 'TOPIC_EXISTS';
    if (!exists || options.ifNotExists !== true) throw error;
  }
  await sluice.admin.listOffsets(name);
  return sluice.admin.describeTopic(name);
}

async function listTopics(context: CommandContext): Promise<0> {
  await using sluice = connect(context);
  const topics = await sluice.admin.listTopics();
  const rows = topics.map(({ name, partitions, replication, id }) => [name, partitions, replication, id]);
  await context.output.result({ topics }, () => table(['NAME', 'PARTITIONS', 'REPLICATION', 'ID'], rows));
  return exitCodes.done;
}

async function printTopic(output: Output, { name, id, config, partitions }: TopicDescription): Promise<void> {
  await output.result({ name, id, config, partitions }, () => {
    const settings = Object.entries(config).map(([key, value]) => `${key}=${String(value)}`);
    const rows = partitions.map((each) => [
      each.partition,
      each.leader ?? '-',
      each.leaderEpoch,
      each.replicas.join(','),
      each.isr.join(',') || '-',
      each.elr.join(',') || '-',
      each.logStart ?? '-',
      each.highWatermark ?? '-',
      each.logEnd ?? '-',
    ]);
    const head = ['PARTITION', 'LEADER', 'EPOCH', 'REPLICAS', 'ISR', 'ELR', 'START', 'COMMITTED', 'END'];
    return `${name}  id ${id}  ${settings.join(' ')}\n${table(head, rows)}`;
  });
}
