import { afterAll, beforeAll, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { killKinds, killRound } from '../kill-round.ts';

let cluster: LocalCluster | undefined;
beforeAll(async () => {
  cluster = await LocalCluster.start();
});
afterAll(() => cluster?.stop());

test.each(killKinds)('SIGKILL of %s under load: nothing acked is lost, and who died comes back', async (kind) => {
  const result = await killRound(cluster!, kind);
  const clean = { lost: 0, duplicated: 0, reordered: 0, unexpected: 0 };
  expect(result).toMatchObject({ ok: true, failures: {}, during: clean, afterwards: clean });
  expect(result.afterwards.acked).toBeGreaterThan(500);
});

const singleKills = killKinds.filter((kind) => kind !== 'all');

test.each(singleKills)('replicated: SIGKILL of %s under load takes its memory: nothing acked is lost', async (kind) => {
  const result = await killRound(cluster!, kind, { durability: 'replicated' });
  const clean = { lost: 0, duplicated: 0, reordered: 0, unexpected: 0 };
  expect(result).toMatchObject({ ok: true, failures: {}, during: clean, afterwards: clean });
  expect(result.afterwards.acked).toBeGreaterThan(500);
});
