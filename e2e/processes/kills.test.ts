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
