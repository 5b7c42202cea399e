import type { PartitionTrimRequest, Sluice, TrimOutcome } from '@sluice/client';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { RunCommand } from './command-context.ts';
import { exitCodeOf, exitCodes, worseExit } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { offsetOrEnd, wholeNumber } from './option-values.ts';
import type { Output } from './output.ts';

interface TrimOptions {
  readonly before: number | 'end';
  readonly partition?: number;
}

const help = `
Examples:
  sluice topic trim orders --partition 2 --before 1200
  sluice topic trim orders --before end

Nothing below the offset is ever read again, whichever node fails: that is so when the command returns. end is the
committed end as of now. An offset that is gone already changes nothing; one past the committed end is refused. What is
deleted in the middle of a batch is hidden at once, and its space is free once the batch is.`;

export function addTrim(topic: Command, run: RunCommand): void {
  topic
    .command('trim')
    .argument('<name>', 'topic')
    .description('delete the records before an offset, for ever')
    .requiredOption('--before <offset|end>', 'first offset to keep, or end to keep nothing', offsetOrEnd)
    .option(
      '--partition <number>',
      'of this partition; all when absent, which needs --before end',
      wholeNumber(0, 9_999),
    )
    .addHelpText('after', help)
    .action((name: string, options: TrimOptions, command: Command) => {
      if (options.partition === undefined && options.before !== 'end') {
        return command.error(
          'error: each partition has offsets of its own: name one with --partition, or trim before end.',
        );
      }
      return run(command, async (context) => {
        await using sluice = connect(context);
        const outcomes = await sluice.admin.trim(name, await trimsOf(sluice, name, options));
        return await print(context.output, outcomes);
      });
    });
}

async function trimsOf(sluice: Sluice, name: string, options: TrimOptions): Promise<readonly PartitionTrimRequest[]> {
  const { before, partition } = options;
  if (partition !== undefined) return [{ partition, before }];
  const bounds = await sluice.admin.listOffsets(name);
  return bounds.map((each) => ({ partition: each.partition, before: each.highWatermark }));
}

async function print(output: Output, outcomes: readonly TrimOutcome[]): Promise<ExitCode> {
  let exit: ExitCode = exitCodes.done;
  for (const outcome of outcomes) {
    if (outcome.error !== undefined) {
      exit = worseExit(exit, exitCodeOf(outcome.error));
      await output.failure(outcome.error);
      continue;
    }
    const { partition, logStart } = outcome;
    await output.result({ partition, logStart }, () => `partition ${partition} starts at ${logStart}`);
  }
  return exit;
}
