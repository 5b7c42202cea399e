import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';

const preferredHelp = `
Examples:
  sluice elect preferred
  sluice elect preferred --json

The preferred replica of a partition is the first in its list. After a node has come back, its leaderships are elsewhere:
this gives them back, a hundred at a time, where it is in sync again. The cluster does so by itself every
preferredElectionMs (30 s). A partition takes no records for the moment that its leader changes; producers wait.`;

export function addElectCommands(program: Command, run: RunCommand): void {
  const elect = program.command('elect').description('who leads partitions');
  elect
    .command('preferred')
    .description('give leaderships back to the preferred replicas; returns when that is committed')
    .addHelpText('after', preferredHelp)
    .action((_options: object, command: Command) => run(command, preferred));
}

async function preferred(context: CommandContext): Promise<0> {
  await using sluice = connect(context);
  const changed = await sluice.admin.electPreferred({
    onBatch: ({ changed: moved, remaining }) => {
      if (remaining > 0) context.output.note(`${moved} leaderships moved, ${remaining} to go`);
    },
  });
  const text = changed === 1 ? '1 leadership moved' : `${changed} leaderships moved`;
  await context.output.result({ changed }, () => (changed === 0 ? 'nothing to move: who can lead first, leads' : text));
  return exitCodes.done;
}
