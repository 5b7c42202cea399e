/** `sluice log inspect DIR`: what a data directory holds, without a node. */
import path from 'node:path';
import { inspectDirectory, type Inspection, lockHolder, NodeDisk } from '@sluice/storage';
import type { Command } from 'commander';
import type { RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import { table } from './output.ts';

interface InspectOptions {
  readonly log?: string;
  readonly batches?: true;
}

const examples = `
Nothing is written, and nothing is locked: a directory that a node uses, a damaged one and a copy can all be looked at.
Exit 0 also when there is damage: it is in what is printed.

Examples:
  sluice log inspect /var/lib/sluice
  sluice log inspect /var/lib/sluice --log 5f0c…/0 --batches
  sluice log inspect /var/lib/sluice --json`;

export function addLogCommands(program: Command, run: RunCommand): void {
  program
    .command('log')
    .description('the node log in a data directory, without a node')
    .command('inspect <directory>')
    .description('its files, logs, runs and damage')
    .option('--log <topic id/partition>', 'the runs and leader epochs of one log')
    .option('--batches', 'with --log: every batch of them')
    .addHelpText('after', examples)
    .action((directory: string, options: InspectOptions, command: Command) =>
      run(command, async ({ output }) => {
        const root = path.resolve(directory);
        const wanted = {
          ...(options.log === undefined ? {} : { log: options.log }),
          batches: options.batches === true,
        };
        const inspection = await inspectDirectory(new NodeDisk(), root, wanted);
        const holder = await lockHolder(path.join(root, 'lock'));
        const lock = { held: holder !== undefined, pid: holder?.pid ?? null };
        if (lock.held)
          output.note(
            `${root} is in use by ${lock.pid === null ? 'a process' : `process ${lock.pid}`}: what it writes now may be missing`,
          );
        await output.result({ ...inspection, lock }, () => text(inspection));
        return exitCodes.done;
      }),
    );
}

function text({ files, logs, raft, damaged, findings }: Inspection): string {
  const yes = (value: boolean): string => (value ? 'yes' : '');
  const parts = [
    table(
      ['file', 'kind', 'bytes', 'live', 'open', 'damaged'],
      files.map((file) => [file.name, file.kind, file.bytes, yes(file.live), yes(!file.finished), yes(file.damaged)]),
    ),
    table(
      ['log', 'kind', 'start', 'end', 'bytes', 'files', 'lossy'],
      logs.map(({ topicId, partition, kind, start, end, bytes, files: held, lossy }) => [
        `${topicId}/${partition}`,
        kind,
        start,
        end,
        bytes,
        held.length,
        lossy === null ? '' : `from ${lossy.intactEnd}: ${lossy.where}`,
      ]),
    ),
    ...logs.flatMap(({ runs, epochs }) => (runs === undefined ? [] : [runsText(runs), epochsText(epochs ?? [])])),
  ];
  if (raft !== null) {
    const { snapshot, firstIndex, lastIndex } = raft;
    const span = firstIndex === null || lastIndex === null ? '' : ` (${firstIndex} to ${lastIndex})`;
    const start =
      snapshot === null
        ? 'no snapshot'
        : `snapshot at ${snapshot.index} of term ${snapshot.term} in ${snapshot.file} (${snapshot.bytes} bytes)`;
    parts.push(
      `Raft: term ${raft.term}, ${start}, ${raft.entries} entries${span}, voted for ${raft.votedFor ?? 'nobody'}${raft.doubtful ? ', in doubt' : ''}`,
    );
  }
  if (damaged) parts.push('Whole groups are missing, or nothing could be read.');
  for (const { phrase, fields } of findings) parts.push(`${phrase} ${JSON.stringify(fields)}`);
  return parts.join('\n\n');
}

type Runs = NonNullable<Inspection['logs'][number]['runs']>;

const runsText = (runs: Runs): string =>
  table(
    ['run in', 'from', 'to', 'at byte', 'bytes', 'batch', 'records', 'epoch', 'damaged'],
    runs.flatMap((run) => {
      const head = [run.file, run.base, run.end, run.position, run.bytes];
      const mark = run.damaged === true ? 'yes' : '';
      if (run.batches === undefined) return [[...head, '', '', '', mark]];
      return run.batches.map((batch) => [...head, batch.base, batch.records, batch.epoch, mark]);
    }),
  );

const epochsText = (epochs: readonly { readonly epoch: number; readonly start: number }[]): string =>
  table(
    ['epoch', 'from'],
    epochs.map(({ epoch, start }) => [epoch, start]),
  );
