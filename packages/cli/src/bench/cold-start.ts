import { isSluiceError } from '@sluice/base';
import type { Sluice } from '@sluice/client';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import { sleep } from '../sleep.ts';
import { printFigure, settingsOf } from './figure.ts';
import { ownLoad, producerOptions } from './options.ts';
import { onOwnCluster } from './own-cluster.ts';
import type { OwnClusterOptions, OwnTarget } from './own-cluster.ts';
import { benchPayload } from './payload.ts';

const examples = `
Examples:
  sluice bench cold-start
  sluice bench cold-start --json`;

const name = 'cold-start';
const retryMs = 20;

export function addBenchColdStart(bench: Command, run: RunCommand): void {
  bench
    .command('cold-start')
    .description('from starting three nodes without data until the first record is acked by all replicas')
    .option('--data <directory>', "where the nodes' data lies meanwhile (default: with other temporary files)")
    .addHelpText('after', examples)
    .action((options: OwnClusterOptions, self: Command) =>
      run(self, async (context) => {
        await onOwnCluster(context, options, (target) => measure(context, target));
        return exitCodes.done;
      }),
    );
}

async function measure(context: CommandContext, { cluster, sluice, stop }: OwnTarget): Promise<void> {
  const value = benchPayload(ownLoad.recordBytes);
  const startMs = performance.now();
  const deadlineMs = startMs + context.timeoutMs;
  cluster.spawnAll();
  await untilDone(() => createTopic(sluice), { deadlineMs, stop });
  const producer = sluice.producer(producerOptions(ownLoad));
  await untilDone(() => producer.send(name, { value }), { deadlineMs, stop });
  const ms = Math.round(performance.now() - startMs);
  const settings = await settingsOf(sluice, await sluice.admin.describeTopic(name), ownLoad);
  await printFigure(context, { work: name, settings, found: { ms }, text: `${ms} ms` });
}

/** An earlier try that ended without an answer may have made it. */
async function createTopic(sluice: Sluice): Promise<void> {
  try {
    await sluice.admin.createTopic({ name, partitions: 1, replication: 3 });
  } catch (error) {
    if (!isSluiceError(error) || error.code !== 'TOPIC_EXISTS') throw error;
  }
}

interface Patience {
  readonly deadlineMs: number;
  readonly stop: AbortSignal;
}

/** Nothing answers yet, or not every node is registered: asks again until it works. */
async function untilDone(step: () => Promise<unknown>, { deadlineMs, stop }: Patience): Promise<void> {
  for (;;) {
    try {
      await step();
      return;
    } catch (error) {
      if (stop.aborted || performance.now() > deadlineMs) throw error;
      await sleep(retryMs, stop);
    }
  }
}
