import { expect, test } from 'vitest';
import { ModelCluster } from './model-cluster.ts';
import type { ModelReport } from './model-cluster.ts';

/** MODEL_SEEDS=20000 for a long run, MODEL_SEED=17 to replay one. */
const seeds = process.env['MODEL_SEED']
  ? [Number(process.env['MODEL_SEED'])]
  : Array.from({ length: Number(process.env['MODEL_SEEDS'] ?? 1_000) }, (_, at) => at + 1);
const steps = 6_000;

test('under any faults nothing acked is lost, and afterwards all replicas agree', { timeout: 3_600_000 }, () => {
  const seen = new Map<string, number>();
  let acked = 0;
  for (const seed of seeds) {
    let report: ModelReport;
    try {
      report = new ModelCluster(seed).run(steps);
    } catch (cause) {
      throw new Error(`MODEL_SEED=${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    }
    acked += report.acked;
    for (const [what, count] of report.seen) seen.set(what, (seen.get(what) ?? 0) + count);
  }
  if (seeds.length < 100) return;
  // A run without its faults would prove nothing.
  const faults = ['crash', 'powerCut', 'wipe', 'elected', 'truncated', 'restarted', 'diverged', 'reload', 'dropped'];
  const trims = ['trim answered', 'trim TIMEOUT', 'trim LEADERSHIP_LOST', 'trim NOT_ENOUGH_REPLICAS'];
  const answers = [...trims, 'LEADERSHIP_LOST', 'NOT_ENOUGH_REPLICAS', 'OUT_OF_ORDER_SEQUENCE', 'TIMEOUT'];
  for (const what of [...faults, ...answers]) expect(seen.get(what) ?? 0, what).toBeGreaterThan(10);
  expect(acked / seeds.length).toBeGreaterThan(20);
});

test('the same seed gives the same run', () => {
  const first = new ModelCluster(7).run(steps);
  expect(new ModelCluster(7).run(steps)).toEqual(first);
});
