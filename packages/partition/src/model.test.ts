import { expect, test } from 'vitest';
import { ModelCluster } from './model-cluster.ts';
import type { ModelOptions, ModelReport } from './model-cluster.ts';

/** MODEL_SEEDS=20000 for a long run, MODEL_SEED=17 to replay one. */
const seeds = process.env['MODEL_SEED']
  ? [Number(process.env['MODEL_SEED'])]
  : Array.from({ length: Number(process.env['MODEL_SEEDS'] ?? 1_000) }, (_, at) => at + 1);
const steps = 6_000;

interface Runs {
  readonly acked: number;
  readonly seen: ReadonlyMap<string, number>;
}

function runAll(options: ModelOptions): Runs {
  const seen = new Map<string, number>();
  let acked = 0;
  for (const seed of seeds) {
    let report: ModelReport;
    try {
      report = new ModelCluster(seed, options).run(steps);
    } catch (cause) {
      throw new Error(`MODEL_SEED=${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    acked += report.acked;
    for (const [what, count] of report.seen) seen.set(what, (seen.get(what) ?? 0) + count);
  }
  return { acked, seen };
}

/** What happened too seldom: a run without its faults would prove nothing. */
function tooSeldom({ seen }: Runs, ...more: readonly string[]): readonly string[] {
  if (seeds.length < 100) return [];
  const faults = [
    'crash',
    'damage',
    'wipe',
    'deaf',
    'elected',
    'truncated',
    'restarted',
    'diverged',
    'reload',
    'dropped',
    'early',
    'appliedLate',
    'withdrawn',
    'rolledBack',
    'isrEmpty',
    'electedFromElr',
  ];
  const trims = ['trim answered', 'trim TIMEOUT', 'trim LEADERSHIP_LOST', 'trim NOT_ENOUGH_REPLICAS'];
  const answers = [...trims, 'LEADERSHIP_LOST', 'NOT_ENOUGH_REPLICAS', 'OUT_OF_ORDER_SEQUENCE', 'TIMEOUT'];
  return [...faults, ...answers, ...more].filter((what) => (seen.get(what) ?? 0) <= 10);
}

test('under any faults nothing acked is lost, and afterwards all replicas agree', { timeout: 3_600_000 }, () => {
  const runs = runAll({});
  expect(tooSeldom(runs, 'powerCut')).toEqual([]);
  expect(runs.acked).toBeGreaterThan(20 * seeds.length);
});

test('replicated: while an in-sync replica keeps its memory, nothing acked is lost', { timeout: 3_600_000 }, () => {
  const runs = runAll({ durability: 'replicated' });
  expect(tooSeldom(runs, 'stop', 'ackedFromMemory', 'ackWithheld')).toEqual([]);
  expect(runs.acked).toBeGreaterThan(20 * seeds.length);
});

test('replicated: a replica that lost its memory and stays in sync is found', () => {
  expect(() => runAll({ durability: 'replicated', uncleanStaysInSync: true })).toThrow(/committed/);
});

test('the same seed gives the same run', () => {
  const first = new ModelCluster(7).run(steps);
  expect(new ModelCluster(7).run(steps)).toEqual(first);
});
