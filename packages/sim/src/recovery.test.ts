/**
 * Every replica that was complete has lost its directory: when all of them are back, the longest log that is left leads, and
 * before that nobody does (D17b).
 */
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const brokers = [4, 5, 6] as const;
const [behind, one, other] = brokers;

/** Three controllers apart from three brokers, whose replicas are all of `orders`, in sync, under load. */
async function ordersInSync(seed: number, config: Readonly<Record<string, string>> = {}) {
  const rolesOf = (id: number) => ({ roles: [id <= 3 ? 'controller' : 'broker'] });
  const cluster = new SimCluster(seed, 6, rolesOf, [1, 2, 3]);
  const { simulation } = cluster;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const { admin } = simClient(cluster, 'admin');
  const creation = admin.createTopic({ name: 'orders', partitions: 3, replication: 3, config });
  await simulation.settle('topic', 10_000, creation);
  const load = new SimLoad(cluster, { topic: 'orders', everyMs: 5, keys: 30 });
  await simulation.until('first acks', 10_000, () => load.acked.length >= 200);
  await simulation.until('all in sync', 10_000, () => inSync(cluster, ...brokers));
  return { cluster, simulation, load };
}

/** The first broker misses the second half. */
async function halfBehind(seed: number) {
  const { cluster, simulation, load } = await ordersInSync(seed);
  const before = load.acked.length;
  cluster.kill(behind, 'everything');
  await simulation.until('acks without it', 10_000, () => load.acked.length >= before + 200);
  await load.stop();
  for (const id of [one, other]) {
    cluster.kill(id);
    cluster.wipe(id);
  }
  return { cluster, simulation, early: load.acked.slice(0, before) };
}

const stateOf = (cluster: SimCluster) => cluster.leaderImage?.topicNamed('default', 'orders')?.partitions ?? [];

const inSync = (cluster: SimCluster, ...ids: readonly number[]): boolean =>
  stateOf(cluster).every(({ isr }) => ids.length === isr.length && isr.every((id) => ids.includes(id)));

const leaders = (cluster: SimCluster): ReadonlySet<number | null> =>
  new Set(stateOf(cluster).map(({ leader }) => leader));

const recovered = (cluster: SimCluster): number =>
  cluster.log.filter(({ phrase }) => phrase.startsWith('the longest log that is left leads')).length;

test.each([1, 2, 3])('the longest log leads as soon as all are back, and not before, seed %i', async (seed) => {
  const { cluster, simulation, early } = await halfBehind(seed);
  await cluster.start(behind);
  await cluster.start(one);
  await simulation.pass(10_000);
  // What the last one may hold is not known.
  expect([leaders(cluster), recovered(cluster)]).toEqual([new Set([null]), 0]);
  await cluster.start(other);
  await simulation.until('somebody leads', 5_000, () => !leaders(cluster).has(null));
  expect([leaders(cluster), recovered(cluster)]).toEqual([new Set([behind]), 3]);
  await simulation.until('all in sync', 30_000, () => stateOf(cluster).every(({ isr }) => isr.length === 3));
  const read = new Set((await readBack(cluster, 'orders')).map(({ partition, offset }) => `${partition}/${offset}`));
  expect(early.filter(({ partition, offset }) => !read.has(`${partition}/${offset}`))).toEqual([]);
  expect(cluster.halted).toEqual([]);
});

test('where nothing is left nobody is elected: the directories may be elsewhere', async () => {
  const { cluster, simulation } = await halfBehind(4);
  cluster.wipe(behind);
  await cluster.start(...brokers);
  await simulation.pass(10_000);
  expect([leaders(cluster), recovered(cluster)]).toEqual([new Set([null]), 0]);
});

/**
 * The replica that has most is cut off and lives while the partition is recovered from one that was behind: it knows more as
 * committed than its leader has, and cuts its log to follow.
 */
test.each([1, 2, 3])('who was away and has more gives it up, and comes in again, seed %i', async (seed) => {
  const { cluster, simulation, load } = await ordersInSync(seed, { minIsr: '1' });
  const before = load.acked.length;
  cluster.kill(behind, 'everything');
  await simulation.until(
    'acks without it',
    10_000,
    () => inSync(cluster, one, other) && load.acked.length >= before + 200,
  );
  await load.stop();
  const everybodyElse = cluster.ids.filter((id) => id !== other);
  for (const id of everybodyElse) cluster.network.cut(`node${other}`, `node${id}`);
  await simulation.until('one is left', 10_000, () => inSync(cluster, one));
  cluster.kill(one);
  cluster.wipe(one);
  await cluster.start(behind);
  await cluster.start(one);
  await simulation.until('the one that was behind leads', 10_000, () => [...leaders(cluster)].join() === `${behind}`);
  for (const id of everybodyElse) cluster.network.heal(`node${other}`, `node${id}`);
  await simulation.until('all in sync', 30_000, () => inSync(cluster, ...brokers));
  const stopped = cluster.log.filter(({ phrase }) => phrase.startsWith('replica stopped'));
  const gone = cluster.log.filter(({ phrase }) => phrase.startsWith('committed records are gone'));
  expect([recovered(cluster), stopped, cluster.halted]).toEqual([3, [], []]);
  expect(gone.length).toBeGreaterThan(0);
  await readBack(cluster, 'orders');
});
