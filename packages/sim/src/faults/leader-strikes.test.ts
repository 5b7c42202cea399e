/** Leaders fall at their moments, and the one before comes back as its successor falls. */
import { expect, test } from 'vitest';
import { SimCluster } from '../sim-cluster.ts';
import type { LeaderStruck } from './fault.ts';
import { FaultDriver } from './fault-driver.ts';

async function struckAt(moments: LeaderStruck['moments']) {
  const cluster = new SimCluster(7);
  const { simulation } = cluster;
  const topic = 'orders';
  const struck: { readonly leader: number | undefined; readonly term: number }[] = [];
  const driver = new FaultDriver({
    cluster,
    random: simulation.random.fork('faults'),
    topics: [topic],
    onFault: () => struck.push({ leader: cluster.leader, term: termOf(cluster) }),
    onRolledBack: () => undefined,
  });
  cluster.onLine = (line) => driver.onLine(line);
  await cluster.start();
  await simulation.until('ready', 60_000, () => cluster.isReady());
  driver.plan([{ atMs: 100, kind: 'leader-struck', by: 'isolation', moments, forMs: 20_000 }]);
  return { cluster, driver, struck };
}

const termOf = (cluster: SimCluster): number =>
  Math.max(...cluster.ids.map((id) => cluster.inspect(id)?.raft?.term ?? 0));

test('two leaders fall one after the other, and the third leads with the first', async () => {
  const { cluster, driver, struck } = await struckAt(['now', 'followed']);
  const first = cluster.leader;
  await cluster.simulation.until('a third term', 60_000, () => termOf(cluster) >= 3);
  await cluster.simulation.until('a leader of it', 60_000, () => cluster.leader !== undefined && termOf(cluster) >= 3);
  expect(struck).toEqual([{ leader: first, term: 1 }]);
  expect(driver.happened.get('leader-struck')).toBe(1);
  driver.heal([]);
  await cluster.simulation.until('ready again', 60_000, () => cluster.isReady());
}, 60_000);

test('when its moment does not come, whoever leads is struck', async () => {
  const { cluster, struck } = await struckAt(['changing']);
  const { leader } = cluster;
  await cluster.simulation.pass(2900);
  expect(struck).toEqual([]);
  await cluster.simulation.until('a strike', 1000, () => struck.length > 0);
  expect(struck).toEqual([{ leader, term: 1 }]);
}, 60_000);
