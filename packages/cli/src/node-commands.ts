import type { SluiceError } from '@sluice/base';
import type { ClusterDescription, ControllerMember, VoterChange } from '@sluice/client';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import { directoryIdText, nodeNumber } from './option-values.ts';
import { table } from './output.ts';

const listHelp = `
Examples:
  sluice node list
  sluice node list --json | jq .voters

VOTE is leader, voter or observer; LAG is how many entries of the metadata the node is not known to have on disk. A
node whose directory was replaced is listed twice: as the voter that is gone, and as the observer that it is now.`;

const addHelp = `
Examples:
  sluice node add 4
  sluice node add 4 --timeout 5m    wait longer for it to catch up

Node 4 must run, with the role controller and the voters of this cluster in cluster.voters, and is made a voter once it
has caught up with the metadata. Its present directory is meant: the one that follows the controller leader. One that replaces
a directory which still votes is refused: remove the old one first. Add and
remove one at a time, and keep an odd number of voters. Exit code 4 says that it may have happened: the same command
again finds out.`;

const removeHelp = `
Examples:
  sluice node remove 2
  sluice node remove 2 --directory 0c5a2f5b3f8e4f0f9d1e6f7a8b9c0d1e

Node 2 votes no more. It goes on as an observer, and keeps its partitions. When its disk was replaced, the directory of
before is meant, which still votes; --directory says which one, should two of them vote.
Refused when too few of the voters that are left answer, and for the last voter.`;

export function addNodeCommands(program: Command, run: RunCommand): void {
  const node = program.command('node').description('nodes, and which of them vote on the metadata');
  node
    .command('list')
    .description('all nodes: what they hold, and whether they vote')
    .addHelpText('after', listHelp)
    .action((_options: object, command: Command) => run(command, list));
  node
    .command('add')
    .argument('<node>', 'node id', nodeNumber)
    .description('make a node a voter of the controller; returns when that is committed')
    .addHelpText('after', addHelp)
    .action((id: number, _options: object, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        const { changed, ...rest } = await sluice.admin.addVoter(id, { onWait: sayWhy(context) });
        await print(context, 'added', { changed, ...rest });
        return exitCodes.done;
      }),
    );
  node
    .command('remove')
    .argument('<node>', 'node id', nodeNumber)
    .option('--directory <id>', 'which of two directories of the node', directoryIdText)
    .description('make a voter of the controller an observer; returns when that is committed')
    .addHelpText('after', removeHelp)
    .action((id: number, options: { readonly directory?: string }, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        const change = await sluice.admin.removeVoter(id, { ...options, onWait: sayWhy(context) });
        await print(context, 'removed', change);
        return exitCodes.done;
      }),
    );
}

/** Why it waits, each reason once and again when it changes. */
function sayWhy({ output }: CommandContext): (reason: SluiceError) => void {
  let said = '';
  return ({ code, message, details }) => {
    const { lag } = details;
    const line =
      code === 'VOTER_NOT_CAUGHT_UP' && typeof lag === 'number' ? `catching up: ${lag} entries behind` : message;
    if (line !== said) output.note(line);
    said = line;
  };
}

function print({ output }: CommandContext, what: 'added' | 'removed', change: VoterChange): Promise<void> {
  const { changed, voters, metadataOffset } = change;
  return output.result({ [what]: changed, voters, metadataOffset }, () => {
    const ids = voters.map(({ id }) => id).join(', ');
    const even = voters.length % 2 === 0 ? '; an even number stands no more losses than one less' : '';
    return `${what} node ${changed.id}, directory ${changed.directory}; voters now: ${ids}${even}`;
  });
}

async function list(context: CommandContext): Promise<0> {
  await using sluice = connect(context);
  const { nodes, voters, observers, membersCurrent, controllerLeader } = await sluice.admin.describeCluster();
  const status = { controllerLeader, membersCurrent, voters, observers, nodes };
  if (!membersCurrent)
    context.output.note('no controller leader answers: voters are those that the asked node knew last');
  await context.output.result(status, () => {
    const known = new Set([...voters, ...(observers ?? [])].map(({ id }) => id));
    const rows = [
      ...voters.map((member) => row(member, member.state === 'leader' ? 'leader' : 'voter', nodes)),
      ...(observers ?? []).map((member) => row(member, 'observer', nodes)),
      ...nodes.filter(({ id }) => !known.has(id)).map(({ id, state, peer }) => [id, state, '?', '?', '-', peer, '-']),
    ];
    const byId = rows.toSorted((one, other) => Number(one[0]) - Number(other[0]));
    return table(['NODE', 'STATE', 'VOTE', 'LAG', 'REPLICAS', 'PEER', 'DIRECTORY'], byId);
  });
  return exitCodes.done;
}

function row(
  { id, directory, address, state, lag, mayVote }: ControllerMember,
  vote: string,
  nodes: ClusterDescription['nodes'],
): (string | number)[] {
  const broker = nodes.find((node) => node.id === id);
  if (state === 'unknown')
    return [id, broker?.state ?? '?', 'voter?', '?', broker?.replicas ?? '-', address || '?', directory];
  const stands = state === 'leader' ? 'up' : state;
  return [
    id,
    stands,
    mayVote === true || vote === 'observer' ? vote : `${vote}, revoked`,
    stands === 'up' && lag !== null ? lag : '?',
    broker?.replicas ?? '-',
    address || '?',
    directory,
  ];
}
