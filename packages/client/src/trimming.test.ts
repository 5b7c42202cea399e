import { SluiceError, toSluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import { ScriptedCluster } from './scripted-cluster.testing.ts';

async function subject() {
  const cluster = await ScriptedCluster.start();
  cluster.createTopic('orders', [1, 2, 3]);
  const sluice = cluster.client({ requestTimeoutMs: 3_000 });
  return { cluster, sluice, admin: sluice.admin };
}

test('each leader is asked, again when it lost its lead, and the answers are in the order of the request', async () => {
  const { cluster, sluice, admin } = await subject();
  let lost = 0;
  cluster.onTrim = (partition) => {
    if (partition !== 1 || lost > 0) return undefined;
    lost += 1;
    return new SluiceError('LEADERSHIP_LOST');
  };
  const trims = [2, 0, 1].map((partition) => ({ partition, before: 10 + partition }));
  const outcomes = await cluster.clock.outcome(admin.trim('orders', trims), 2_000);
  expect(outcomes).toEqual([2, 0, 1].map((partition) => ({ partition, logStart: 10 + partition })));
  expect(lost).toBe(1);
  await cluster.clock.outcome(sluice.close());
});

test('a definite error ends one partition and none of the others', async () => {
  const { cluster, sluice, admin } = await subject();
  cluster.onTrim = (partition) => (partition === 1 ? new SluiceError('OFFSET_OUT_OF_RANGE') : undefined);
  const trims = [0, 1].map((partition) => ({ partition, before: 5 }));
  const [done, past] = await cluster.clock.outcome(admin.trim('orders', trims), 500);
  expect(done).toEqual({ partition: 0, logStart: 5 });
  expect(past?.error).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', definite: true });
  await cluster.clock.outcome(sluice.close());
});

test('once an attempt may have had an effect the outcome is indefinite, whatever the last one says', async () => {
  const { cluster, sluice, admin } = await subject();
  let calls = 0;
  cluster.onTrim = () => {
    calls += 1;
    return new SluiceError(calls === 1 ? 'TIMEOUT' : 'NOT_ENOUGH_REPLICAS');
  };
  const [outcome] = await cluster.clock.outcome(admin.trim('orders', [{ partition: 0, before: 5 }]), 4_000);
  expect(outcome?.error).toMatchObject({ code: 'NOT_ENOUGH_REPLICAS', definite: false });
  expect(calls).toBeGreaterThan(2);
  await cluster.clock.outcome(sluice.close());
});

test('what cannot be asked is refused before anybody is', async () => {
  const { cluster, sluice, admin } = await subject();
  let calls = 0;
  cluster.onTrim = () => {
    calls += 1;
    return undefined;
  };
  const refused = async (trims: Parameters<typeof admin.trim>[1]): Promise<SluiceError> => {
    const outcome = admin.trim('orders', trims).then(() => new SluiceError('INTERNAL'), toSluiceError);
    return cluster.clock.outcome(outcome, 500);
  };
  expect(await refused([{ partition: 0, before: -1 }])).toMatchObject({ code: 'INVALID_REQUEST', definite: true });
  expect(await refused([0, 0].map((partition) => ({ partition, before: 1 })))).toMatchObject({
    code: 'INVALID_REQUEST',
  });
  expect(await refused([{ partition: 3, before: 1 }])).toMatchObject({ code: 'UNKNOWN_PARTITION' });
  expect(await refused([{ partition: 3, before: 'end' }])).toMatchObject({ code: 'UNKNOWN_PARTITION' });
  expect(calls).toBe(0);
  await cluster.clock.outcome(sluice.close());
});
