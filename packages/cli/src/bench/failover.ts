import { Option } from 'commander';
import type { Command } from 'commander';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import type { ExitCode } from '../exit-code.ts';
import { positiveNumber, wholeNumber } from '../option-values.ts';
import { sleep } from '../sleep.ts';
import { AckPauses } from './ack-pauses.ts';
import { FailoverLoad } from './failover-load.ts';
import { printFigure, settingsOf } from './figure.ts';
import { ownLoad } from './options.ts';
import { onOwnCluster } from './own-cluster.ts';
import type { OwnCluster, OwnClusterOptions, OwnTarget } from './own-cluster.ts';
import { failoverWork, faults } from './work.ts';
import type { Fault } from './work.ts';

interface FailoverOptions extends OwnClusterOptions {
  readonly rounds: number;
  readonly fault: Fault;
  readonly rate: number;
  readonly steadySeconds: number;
}

const examples = `
Examples:
  sluice bench failover --rounds 5
  sluice bench failover --rounds 5 --fault pause --json`;

const name = 'failover';
const flowTimeoutMs = 90_000;
const inSyncTimeoutMs = 120_000;
const inSyncPollMs = 250;

export function addBenchFailover(bench: Command, run: RunCommand): void {
  bench
    .command('failover')
    .description('the longest pause of acks when the leader fails, and what was lost or written twice')
    .option('--rounds <count>', 'how many leaders fail, one after the other', wholeNumber(1, 1000), 5)
    .addOption(
      new Option('--fault <kind>', 'kill: SIGKILL; pause: SIGSTOP, until acks flow again; shutdown: SIGTERM')
        .choices(faults)
        .default('kill'),
    )
    .option('--rate <records>', 'records a second', positiveNumber, 1000)
    .option('--steady-seconds <seconds>', 'acks flow for this long before a round begins and ends', positiveNumber, 3)
    .option('--data <directory>', "where the nodes' data lies meanwhile (default: with other temporary files)")
    .addHelpText('after', examples)
    .action((options: FailoverOptions, self: Command) =>
      run(self, async (context) => {
        let exit: ExitCode = exitCodes.done;
        await onOwnCluster(context, options, async (target) => {
          exit = await measure(context, options, target);
        });
        return exit;
      }),
    );
}

async function measure(context: CommandContext, options: FailoverOptions, target: OwnTarget): Promise<ExitCode> {
  const { cluster, sluice } = target;
  const load = { ...ownLoad, rate: options.rate };
  cluster.spawnAll();
  await cluster.ready(context.timeoutMs);
  const topic = await sluice.admin.createTopic({ name, partitions: 1, replication: 3 });
  const settings = await settingsOf(sluice, topic, load);
  const pauses = new AckPauses(options.steadySeconds * 1000);
  const running = new FailoverLoad(target, { topic: name, ratePerSecond: options.rate, onAck: () => pauses.acked() });
  const rounds: number[] = [];
  const restartGaps: number[] = [];
  await sleep(options.steadySeconds * 1000);
  for (let round = 1; round <= options.rounds; round += 1) {
    const { node, failedMs, backMs } = await oneRound(options, target, pauses);
    rounds.push(failedMs);
    restartGaps.push(backMs);
    context.output.note(
      `round ${round} of ${options.rounds}: node ${node}, ${options.fault}: longest pause ${failedMs} ms; while it came back ${backMs} ms`,
    );
  }
  const found = { rounds, restartGaps, ...(await running.finish()) };
  const text = `longest pauses ${rounds.join(', ')} ms; ${found.acked} acked, ${found.lost} lost, ${found.duplicated} duplicated`;
  await printFigure(context, { work: failoverWork(options.fault), settings, found, text });
  return found.lost + found.duplicated === 0 ? exitCodes.done : exitCodes.failed;
}

interface Round {
  readonly node: number;
  readonly failedMs: number;
  readonly backMs: number;
}

async function oneRound(
  { fault, steadySeconds }: FailoverOptions,
  { cluster, sluice, stop }: OwnTarget,
  pauses: AckPauses,
): Promise<Round> {
  const steadyMs = steadySeconds * 1000;
  await pauses.steady(flowTimeoutMs, stop);
  const node = await leaderOf(sluice);
  pauses.takeLongestMs();
  await fail(cluster, node, fault);
  // The pause has begun before anyone looks whether acks flow.
  await sleep(steadyMs / 2, stop);
  await pauses.steady(flowTimeoutMs, stop);
  const failedMs = pauses.takeLongestMs();
  if (fault === 'pause') cluster.signal(node, 'SIGCONT');
  else cluster.spawn(node);
  await sleep(steadyMs / 3, stop);
  await inSync(sluice, stop);
  await sleep((steadyMs * 2) / 3, stop);
  return { node, failedMs, backMs: pauses.takeLongestMs() };
}

async function fail(cluster: OwnCluster, node: number, fault: Fault): Promise<void> {
  if (fault === 'pause') {
    cluster.signal(node, 'SIGSTOP');
    return;
  }
  cluster.signal(node, fault === 'kill' ? 'SIGKILL' : 'SIGTERM');
  await cluster.ended(node);
}

type AdminOf = OwnTarget['sluice'];

async function leaderOf(sluice: AdminOf): Promise<number> {
  const { partitions } = await sluice.admin.describeTopic(name);
  const leader = partitions[0]?.leader ?? undefined;
  if (leader === undefined) throw new Error('acks flow, yet the partition has no leader');
  return leader;
}

async function inSync(sluice: AdminOf, stop: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + inSyncTimeoutMs;
  while (!stop.aborted) {
    const { partitions } = await sluice.admin.describeTopic(name);
    if (partitions[0]?.isr.length === 3) return;
    if (performance.now() > deadlineMs) throw new Error('the node that came back is not in sync after two minutes');
    await sleep(inSyncPollMs, stop);
  }
}
