import { readFileSync } from 'node:fs';
import { SluiceError } from '@sluice/base';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import { positiveNumber } from '../option-values.ts';
import { sleep } from '../sleep.ts';
import { printFigure, settingsOf } from './figure.ts';
import { ownLoad } from './options.ts';
import { onOwnCluster } from './own-cluster.ts';
import type { OwnClusterOptions, OwnTarget } from './own-cluster.ts';

interface IdleOptions extends OwnClusterOptions {
  readonly seconds: number;
}

const examples = `
Examples:
  sluice bench idle
  sluice bench idle --seconds 60 --json`;

export function addBenchIdle(bench: Command, run: RunCommand): void {
  bench
    .command('idle')
    .description('memory of each of three nodes that serve one topic and nobody')
    .option('--seconds <seconds>', 'how long they do nothing before they are looked at', positiveNumber, 15)
    .option('--data <directory>', "where the nodes' data lies meanwhile (default: with other temporary files)")
    .addHelpText('after', examples)
    .action((options: IdleOptions, self: Command) =>
      run(self, async (context) => {
        await onOwnCluster(context, options, (target) => measure(context, options, target));
        return exitCodes.done;
      }),
    );
}

async function measure(context: CommandContext, { seconds }: IdleOptions, target: OwnTarget): Promise<void> {
  const { cluster, sluice, stop } = target;
  cluster.spawnAll();
  await cluster.ready(context.timeoutMs);
  const topic = await sluice.admin.createTopic({ name: 'idle', partitions: 1, replication: 3 });
  const settings = await settingsOf(sluice, topic, ownLoad);
  context.output.note(`bench: three nodes do nothing for ${seconds} s`);
  await sleep(seconds * 1000, stop);
  const rssMb = cluster.pids.map(residentMb);
  await printFigure(context, { work: 'idle', settings, found: { rssMb }, text: `${rssMb.join(', ')} MB` });
}

/** Whole MB of 1024 KiB, rounded down, as the other systems' figures are. */
function residentMb(pid: number): number {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch (cause) {
    const message = `The memory of process ${pid} cannot be read from /proc; this measurement needs Linux.`;
    throw new SluiceError('INTERNAL', { message, definite: true, cause });
  }
  return Math.floor(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024);
}
