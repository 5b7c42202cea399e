import { Option } from 'commander';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { offsetGrammar } from './offset-spec.ts';
import { offsetSpec, recordFormat, wholeNumber } from './option-values.ts';
import { Reading } from './reading.ts';
import type { ReadingOptions } from './reading.ts';
import { jsonLine, recordFormatGrammar, valueLine } from './record-format.ts';
import type { RecordFormat } from './record-format.ts';

const examples = `
Examples:
  sluice consume orders                      from the first record, until Ctrl-C
  sluice consume orders --until end          what is there now
  sluice consume orders --offset -10 --json  the last ten records of each partition, and what follows
  sluice consume orders --format '%p:%o %k %v\\n'
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
    .addOption(new Option('--format <text>', `what to print: ${recordFormatGrammar}`).argParser(recordFormat))
    .addHelpText('after', examples)
    .action((topics: string[], options: ConsumeOptions, command: Command) =>
      run(command, (context) => consume(context, topics, options)),
    );
}

interface ConsumeOptions extends ReadingOptions {
  readonly partition?: number;
  /** Does not apply with `--json`. */
  readonly format?: RecordFormat;
}

async function consume(context: CommandContext, topics: string[], options: ConsumeOptions): Promise<ExitCode> {
  const { output, terminal } = context;
  const stop = terminal.interruption();
  await using sluice = connect(context);
  const format = output.json ? jsonLine : (options.format ?? valueLine);
  const reading = new Reading(options);
  const asked = {
    signal: stop,
    ...(options.partition === undefined ? {} : { partitions: [options.partition] }),
    ...(options.offset.kind === 'time' ? { sinceMs: options.offset.ms } : {}),
  };
  try {
    for (const name of new Set(topics)) reading.add(name, await sluice.admin.listOffsets(name, asked));
  } catch (error) {
    if (stop.aborted) return exitCodes.done;
    throw error;
  }
  if (reading.finished) return exitCodes.done;
  await using consumer = sluice.consumer({ assignments: reading.assignments });
  const close = (): void => void consumer.close();
  stop.addEventListener('abort', close);
  if (stop.aborted) close();
  for await (const batch of consumer.batches()) {
    const printed = reading.take(batch, format);
    if (printed.length > 0) await output.raw(Buffer.concat(printed));
    if (reading.finished || stop.aborted) break;
  }
  stop.removeEventListener('abort', close);
  return exitCodes.done;
}
