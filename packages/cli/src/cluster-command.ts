import { isSluiceError, SluiceError } from '@sluice/base';
import type { ClusterDescription, Sluice } from '@sluice/client';
import type { Command } from 'commander';
import { connect } from './command-context.ts';
import type { CommandContext, RunCommand } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import type { ExitCode } from './exit-code.ts';
import { table } from './output.ts';
import { sleep } from './sleep.ts';

interface StatusOptions {
  readonly watch?: true;
  readonly waitHealthy?: true;
}

const watchEveryMs = 1000;
const healthPollMs = 100;

const examples = `
Examples:
  sluice cluster status
  sluice cluster status --watch
  sluice cluster status --wait-healthy --timeout 60s   exit 0 once all is well, 1 when it is not in time`;

export function addClusterCommands(program: Command, run: RunCommand): void {
  program
    .command('cluster')
    .description('the cluster as a whole')
    .command('status')
    .description('nodes, controller, and how many partitions lack replicas')
    .option('--watch', 'again every second, until Ctrl-C')
    .option('--wait-healthy', 'wait until all nodes are up and nothing is under-replicated')
    .addHelpText('after', examples)
    .action((options: StatusOptions, command: Command) =>
      run(command, async (context) => {
        await using sluice = connect(context);
        if (options.waitHealthy === true) return await waitHealthy(context, sluice);
        if (options.watch === true) return await watch(context, sluice);
        await print(context, await sluice.admin.describeCluster());
        return exitCodes.done;
      }),
    );
}

export const isHealthy = (status: ClusterDescription): boolean =>
  status.controllerLeader !== null &&
  status.nodes.every((node) => node.state === 'up') &&
  status.underReplicated + status.underMinIsr + status.leaderless === 0;

async function waitHealthy(context: CommandContext, sluice: Sluice): Promise<ExitCode> {
  const deadlineMs = performance.now() + context.timeoutMs;
  let last: ClusterDescription | undefined;
  let failure: SluiceError | undefined;
  for (;;) {
    try {
      last = await sluice.admin.describeCluster();
      failure = undefined;
      if (isHealthy(last)) break;
    } catch (error) {
      if (!isSluiceError(error)) throw error;
      failure = error;
    }
    if (performance.now() > deadlineMs) throw notHealthy(last, failure, context.timeoutMs);
    await sleep(healthPollMs);
  }
  await print(context, last);
  return exitCodes.done;
}

/** Looking changes nothing, so the answer is definite: exit 1, or 3 when nobody answered at all. */
function notHealthy(
  last: ClusterDescription | undefined,
  failure: SluiceError | undefined,
  timeoutMs: number,
): SluiceError {
  if (last === undefined && failure !== undefined) return failure;
  const why = last === undefined || failure !== undefined ? (failure?.message ?? '') : shortcomings(last);
  return new SluiceError('TIMEOUT', {
    message: `The cluster is not healthy after ${timeoutMs} ms: ${why}`,
    definite: true,
    retry: 'backoff',
  });
}

function shortcomings(status: ClusterDescription): string {
  const nodes = status.nodes.filter((node) => node.state !== 'up').map((node) => `node ${node.id} is ${node.state}`);
  const counts = [
    [status.underReplicated, 'under-replicated'],
    [status.underMinIsr, 'under minIsr'],
    [status.leaderless, 'without a leader'],
  ] as const;
  const partitions = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} partitions ${what}`);
  const controller = status.controllerLeader === null ? ['no controller leader'] : [];
  return [...controller, ...nodes, ...partitions].join(', ');
}

async function watch(context: CommandContext, sluice: Sluice): Promise<ExitCode> {
  const stop = context.terminal.interruption();
  while (!stop.aborted) {
    try {
      await print(context, await sluice.admin.describeCluster());
    } catch (error) {
      if (!isSluiceError(error)) throw error;
      await context.output.failure(error);
    }
    await sleep(watchEveryMs, stop);
  }
  return exitCodes.done;
}

function votersLine({ voters, membersCurrent }: ClusterDescription): string {
  if (!membersCurrent) {
    const known = voters.map(({ id }) => id).join(', ');
    return `voters unknown: no controller leader answers; the node that was asked knew ${known || 'none'} last`;
  }
  const shown = voters.map(({ id, state, lag }) =>
    state === 'up' && lag !== null && lag > 0 ? `${id} (lag ${lag})` : `${id} (${state})`,
  );
  return `voters ${shown.join(', ')}`;
}

function print({ output }: CommandContext, status: ClusterDescription): Promise<void> {
  return output.result(status, () => {
    const rows = status.nodes.map((node) => [
      node.id,
      node.state,
      node.rack || '-',
      node.client,
      node.leaders,
      node.replicas,
      `${(node.diskBytes / 1024 / 1024).toFixed(1)} MiB`,
      node.version,
    ]);
    const health = isHealthy(status) ? 'healthy' : `not healthy: ${shortcomings(status)}`;
    const controller = status.controllerLeader === null ? 'none' : `node ${status.controllerLeader}`;
    const head = ['NODE', 'STATE', 'RACK', 'CLIENT', 'LEADERS', 'REPLICAS', 'DISK', 'VERSION'];
    return [
      `cluster ${status.clusterId}  controller ${controller}  metadata offset ${status.metadataOffset}`,
      table(head, rows),
      `topics ${status.topics}, partitions ${status.partitions}; ${health}`,
      votersLine(status),
    ].join('\n');
  });
}
