/** `sluice bench failover`: rounds of one fault under a load, on a cluster of its own; one line for all of them. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { SluiceError } from '@sluice/base';
import { toSluiceError } from '@sluice/base';
import type { CommandContext, RunCommand } from '../command-context.ts';
import { exitCodes } from '../exit-code.ts';
import type { ExitCode } from '../exit-code.ts';
import { positiveNumber, wholeNumber } from '../option-values.ts';
import { sleep } from '../sleep.ts';
import { FailoverLoad } from './failover-load.ts';
import type { Outcome } from './failover-load.ts';
import { ClientNews, oneRound } from './failover-round.ts';
import type { RoundResult, RoundTarget } from './failover-round.ts';
import { stageSummary } from './failover-stages.ts';
import { printFigure, settingsOf } from './figure.ts';
import { ownLoad } from './options.ts';
import { onOwnCluster } from './own-cluster.ts';
import type { OwnClusterOptions, OwnTarget } from './own-cluster.ts';
import { PartitionPauses } from './partition-pauses.ts';
import { percentiles, percentilesText } from './percentiles.ts';
import { failoverWork, faults, roles } from './work.ts';
import type { Fault, Role } from './work.ts';

interface FailoverOptions extends OwnClusterOptions {
  readonly rounds: number;
  readonly fault: Fault;
  readonly role: Role;
  readonly partitions: number;
  readonly rate: number;
  readonly steadySeconds: number;
}

const examples = `
Examples:
  sluice bench failover --rounds 5
  sluice bench failover --rounds 5 --fault pause --json
  sluice bench failover --rounds 200 --partitions 100 --role controller --json

A pause is the longest time between two acks of one partition, from the last ack before the node failed; that records of
a partition come --partitions / --rate seconds apart is in it. "rounds" has the longest pause of each round, of the
partitions that the node led; "pauses" has all of them. "stagesMs" tells where the time went: a new controller leader
(elect), the node missed (detect), new leaders committed (decide), leading (propagate), known to the client (learn), and
the first ack. The nodes log at level debug, which the stages are read from.`;

const topic = 'failover';

export function addBenchFailover(bench: Command, run: RunCommand): void {
  bench
    .command('failover')
    .description('how long acks pause when a node fails, and what was lost or written twice')
    .option('--rounds <count>', 'how many nodes fail, one after the other', wholeNumber(1, 1000), 5)
    .addOption(
      new Option('--fault <kind>', 'kill: SIGKILL; pause: SIGSTOP, until acks flow again; shutdown: SIGTERM')
        .choices(faults)
        .default('kill'),
    )
    .addOption(
      new Option(
        '--role <whom>',
        'leader: of partition 0; any: each node in turn; controller: who leads the controller',
      )
        .choices(roles)
        .default('leader'),
    )
    .option('--partitions <count>', 'partitions of the topic, which take records in turn', wholeNumber(1, 10_000), 1)
    .option('--rate <records>', 'records a second, of all partitions together', positiveNumber, 1000)
    .option(
      '--steady-seconds <seconds>',
      'acks flow for this long before a node fails, and after it',
      positiveNumber,
      1,
    )
    .option('--data <directory>', "where the nodes' data lies meanwhile (default: with other temporary files)")
    .addHelpText('after', examples)
    .action((options: FailoverOptions, self: Command) =>
      run(self, async (context) => {
        let exit: ExitCode = exitCodes.done;
        const news = new ClientNews();
        const measured = async (target: OwnTarget): Promise<void> => {
          exit = await measure(context, options, { ...target, news });
        };
        await onOwnCluster(context, options, measured, {
          environment: { SLUICE_LOG_LEVEL: 'debug' },
          onStatus: (status) => {
            if (status.kind === 'leader-changed') news.onLeader(status.partition, status.leader);
            if (status.kind === 'retrying') news.onRetry(status.error.code);
          },
        });
        return exit;
      }),
    );
}

type MeasureTarget = Omit<RoundTarget, 'pauses'>;

async function measure(context: CommandContext, options: FailoverOptions, target: MeasureTarget): Promise<ExitCode> {
  const { cluster, sluice } = target;
  const { partitions, rate, fault, role, steadySeconds } = options;
  cluster.spawnAll();
  await cluster.ready(context.timeoutMs);
  const made = await sluice.admin.createTopic({ name: topic, partitions, replication: 3 });
  const settings = { ...(await settingsOf(sluice, made, { ...ownLoad, rate })), fault, role, steadySeconds };
  const pauses = new PartitionPauses({ partitions, intervalMs: (1000 * partitions) / rate });
  const onAck = (partition: number, dueMs: number): void => pauses.acked(partition, dueMs);
  const load = new FailoverLoad(target, { topic, partitions, ratePerSecond: rate, onAck });
  // Each partition's first record comes late: a connection, an id and a file are made for it.
  await sleep(steadySeconds * 1000, target.stop);
  const { results, failure } = await allRounds(context, options, { ...target, pauses });
  const outcome =
    failure === undefined ? await load.finish() : { failedSends: load.failedSends, failure: why(failure) };
  await printFigure(context, {
    work: failoverWork(options),
    settings: { ...settings, logLevel: 'debug' },
    found: { ...foundIn(results), ...outcome },
    text: textOf(results, outcome),
  });
  if (failure !== undefined) throw failure;
  return 'lost' in outcome && outcome.lost + outcome.duplicated === 0 ? exitCodes.done : exitCodes.failed;
}

/** What was measured before a round failed is kept. */
async function allRounds(
  { output }: CommandContext,
  { rounds, fault, role, steadySeconds }: FailoverOptions,
  target: RoundTarget,
): Promise<{ readonly results: readonly RoundResult[]; readonly failure?: SluiceError }> {
  const results: RoundResult[] = [];
  const roundOptions = { topic, fault, role, steadyMs: steadySeconds * 1000 };
  try {
    for (let round = 1; round <= rounds && !target.stop.aborted; round += 1) {
      const result = await oneRound(round, roundOptions, target);
      results.push(result);
      const { pauses, backMs } = result;
      const whom = `node ${pauses.node} (${pauses.role}, led ${pauses.partitions})`;
      output.note(
        `round ${round} of ${rounds}: ${fault} of ${whom}: pauses ${percentilesText(pauses)}; while it came back ${backMs} ms`,
      );
    }
  } catch (thrown) {
    return { results, failure: toSluiceError(thrown) };
  }
  return { results };
}

function foundIn(results: readonly RoundResult[]): object {
  const rounds = results.map(({ pauses }) => pauses.max);
  return {
    rounds,
    restartGaps: results.map(({ backMs }) => backMs),
    percentiles: {
      rounds: percentiles(rounds) ?? null,
      partitions: percentiles(results.flatMap(({ pauses }) => pauses.all)) ?? null,
      others: percentiles(results.flatMap(({ pauses }) => pauses.others?.max ?? [])) ?? null,
    },
    stagesMs: stageSummary(results.map(({ stages }) => stages)),
    pauses: results.map(({ pauses, stages, retries }) => ({ ...pauses, stagesMs: stages, retries })),
  };
}

type Found = Outcome | { readonly failedSends: number; readonly failure: Readonly<Record<string, unknown>> };

function textOf(results: readonly RoundResult[], outcome: Found): string {
  const worst = percentilesText(percentiles(results.map(({ pauses }) => pauses.max)));
  const each = percentilesText(percentiles(results.flatMap(({ pauses }) => pauses.all)));
  const end =
    'lost' in outcome
      ? `${outcome.acked} acked, ${outcome.failedSends} failed, ${outcome.lost} lost, ${outcome.duplicated} duplicated`
      : `stopped: ${String(outcome.failure['message'])}`;
  return `longest pause of a round: ${worst}; of a partition: ${each}; ${end}`;
}

const why = ({ code, message }: SluiceError): Readonly<Record<string, unknown>> => ({ code, message });
