/**
 * `npm run -s kills -- --rounds N --json`: rounds of SIGKILL under load on real processes; see `e2e/kill-round.ts`.
 * With `--elections N` instead: N kills of the controller leader of an idle cluster, and how long until another one serves;
 * see `e2e/election-round.ts`. With `--stops N`: N times SIGTERM of the controller leader while metadata is changed; see
 * `e2e/stop-round.ts`. With `--removals N`: N times `docker rm --force` of the container of a partition leader, which may
 * lead the controller too, in a cluster of containers. A line a round, then a summary; exit 0 only when every round was clean.
 */
import { parseArgs } from 'node:util';
import { LocalCluster } from '../e2e/cluster.ts';
import { ContainerCluster } from '../e2e/container-cluster.ts';
import { electionRound } from '../e2e/election-round.ts';
import { killKinds, killRound } from '../e2e/kill-round.ts';
import type { Fault, KillKind, RoundResult } from '../e2e/kill-round.ts';
import { stopRound } from '../e2e/stop-round.ts';
import type { StopResult } from '../e2e/stop-round.ts';
import { percentiles } from '../packages/cli/src/bench/percentiles.ts';
import { endBySignal } from './end-by-signal.ts';

/** What is promised of an election after a crash, at default settings. */
const servedMsMax = 1000;

interface Options {
  readonly rounds: number;
  /** 0: rounds of load instead. */
  readonly elections: number;
  readonly stops: number;
  readonly removals: number;
  readonly json: boolean;
}

function optionsFrom(argv: readonly string[]): Options | undefined {
  try {
    const options = {
      rounds: { type: 'string', default: '1' },
      elections: { type: 'string', default: '0' },
      stops: { type: 'string', default: '0' },
      removals: { type: 'string', default: '0' },
      json: { type: 'boolean', default: false },
    } as const;
    const { values } = parseArgs({ args: [...argv], options });
    const whole = (name: 'rounds' | 'elections' | 'stops' | 'removals', least = 0): number => {
      const value = Number(values[name]);
      if (!Number.isInteger(value) || value < least) throw new Error(`--${name} must be an integer from ${least}`);
      return value;
    };
    const [elections, stops, removals] = [whole('elections'), whole('stops'), whole('removals')];
    return { rounds: whole('rounds', 1), elections, stops, removals, json: values.json };
  } catch (error) {
    process.stderr.write(`kills: ${error instanceof Error ? error.message : String(error)}\n`);
    process.stderr.write(
      'usage: npm run -s kills -- [--rounds N | --elections N | --stops N | --removals N] [--json]\n',
    );
    return undefined;
  }
}

function roundText(
  round: number,
  { ok, kind, killed, failoverMs, rejoinMs, afterwards, failures }: RoundResult,
): string {
  const { acked, lost, duplicated, reordered } = afterwards;
  const counts = `acked ${acked}, lost ${lost}, duplicated ${duplicated}, reordered ${reordered}`;
  const given = Object.keys(failures).length === 0 ? '' : `, given up ${JSON.stringify(failures)}`;
  const word = ok ? 'ok' : 'FAILED';
  return `${word}  round ${round}  ${kind} (node ${killed.join(', ')}): ${counts}${given}; served again after ${failoverMs} ms, whole after ${rejoinMs} ms`;
}

function summary(results: readonly RoundResult[]): object {
  const total = (count: (result: RoundResult) => number): number => results.reduce((sum, each) => sum + count(each), 0);
  const longest = (kind: string): number =>
    Math.max(0, ...results.filter((each) => each.kind === kind).map((each) => each.failoverMs));
  return {
    summary: true,
    ok: results.every((each) => each.ok),
    rounds: results.length,
    failed: results.filter((each) => !each.ok).length,
    acked: total((each) => each.afterwards.acked),
    lost: total((each) => each.during.lost + each.afterwards.lost),
    duplicated: total((each) => each.during.duplicated + each.afterwards.duplicated),
    reordered: total((each) => each.during.reordered + each.afterwards.reordered),
    failoverMsMax: Object.fromEntries(killKinds.map((kind) => [kind, longest(kind)])),
  };
}

/** A cluster that does not come back is a finding, told like any other. */
async function attempt(cluster: LocalCluster, kind: KillKind): Promise<RoundResult | { readonly error: string }> {
  try {
    return await killRound(cluster, kind);
  } catch (error) {
    return { error: error instanceof Error ? `${error.message}${causeOf(error)}` : String(error) };
  }
}

const causeOf = ({ cause }: Error): string => (cause instanceof Error ? ` (${cause.message})` : '');

async function elect(cluster: LocalCluster, { elections, json }: Options): Promise<0 | 1> {
  const all: number[] = [];
  for (let round = 1; round <= elections; round += 1) {
    const { killed, ms } = await electionRound(cluster);
    all.push(ms);
    const line = { round, killed, ms };
    console.log(
      json ? JSON.stringify(line) : `round ${round}  node ${killed} killed: another leads and serves after ${ms} ms`,
    );
  }
  const slow = all.filter((ms) => ms >= servedMsMax).length;
  console.log(JSON.stringify({ summary: true, ok: slow === 0, elections, slow, ms: percentiles(all) }));
  return slow === 0 ? 0 : 1;
}

async function stop(cluster: LocalCluster, { stops, json }: Options): Promise<0 | 1> {
  const all: StopResult[] = [];
  for (let round = 1; round <= stops; round += 1) {
    const result = await stopRound(cluster);
    all.push(result);
    const { stopped, gapMs, answers, failures } = result;
    const text = `round ${round}  node ${stopped} stopped: ${answers} changes, the longest waited ${gapMs} ms, ${failures.length} failed`;
    console.log(json ? JSON.stringify({ round, ...result }) : text);
  }
  const gaps = all.map(({ gapMs }) => gapMs);
  const failed = all.reduce((sum, { failures }) => sum + failures.length, 0);
  const summarized = {
    summary: true,
    ok: failed === 0,
    stops,
    failed,
    gapMs: percentiles(gaps),
  };
  console.log(JSON.stringify(summarized));
  return failed === 0 ? 0 : 1;
}

async function removals({ removals: rounds, json }: Options): Promise<0 | 1> {
  await using cluster = await ContainerCluster.start();
  endBySignal(cluster);
  const fault: Fault = {
    strike: (victims) => cluster.remove(...victims),
    mend: (victims) => cluster.start(...victims),
  };
  const results: RoundResult[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const result = await killRound(cluster, round % 2 === 0 ? 'both' : 'partition-leader', { fault });
    results.push(result);
    console.log(json ? JSON.stringify({ round, ...result }) : roundText(round, result));
  }
  const all = results.map(({ failoverMs }) => failoverMs);
  console.log(JSON.stringify({ ...summary(results), failoverMs: percentiles(all) }));
  return results.every(({ ok }) => ok) ? 0 : 1;
}

async function run(options: Options): Promise<0 | 1> {
  const { rounds, elections, stops, json } = options;
  if (options.removals > 0) return removals(options);
  const results: RoundResult[] = [];
  const print = (value: object, text: string): void => console.log(json ? JSON.stringify(value) : text);
  await using cluster = await LocalCluster.start();
  endBySignal(cluster);
  if (elections > 0) return await elect(cluster, options);
  if (stops > 0) return await stop(cluster, options);
  for (let round = 1; round <= rounds; round += 1) {
    for (const kind of killKinds) {
      const result = await attempt(cluster, kind);
      if ('error' in result) {
        print({ round, kind, ok: false, ...result }, `FAILED  round ${round}  ${kind}: ${result.error}`);
        return 1;
      }
      results.push(result);
      print({ round, ...result }, roundText(round, result));
    }
  }
  const found = summary(results);
  print(found, JSON.stringify(found));
  return results.every((each) => each.ok) ? 0 : 1;
}

const options = optionsFrom(process.argv.slice(2));
process.exit(options === undefined ? 2 : await run(options));
