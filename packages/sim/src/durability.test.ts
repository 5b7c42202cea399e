/** S1, S2: SIGKILL proves nothing about fsync, so here every machine loses what it had not synced. */
import { SeededRandom } from '@sluice/base';
import { describe, expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';

const topic = 'orders';
const all = [1, 2, 3] as const;

interface UnderLoad {
  readonly partitions?: number;
  /** From the first acks on the disks lie about syncing the log: what must turn the test red. */
  readonly disksLie?: boolean;
}

async function underLoad(seed: number, { partitions = 3, disksLie = false }: UnderLoad = {}) {
  const cluster = new SimCluster(seed);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const admin = simClient(cluster, 'admin');
  const created = await cluster.simulation.settle(
    'topic',
    10_000,
    admin.admin.createTopic({ name: topic, partitions, replication: 3 }),
  );
  await cluster.simulation.settle('admin closed', 10_000, admin.close());
  const load = new SimLoad(cluster, { topic, everyMs: 2, keys: 50 });
  await cluster.simulation.until('first acks', 10_000, () => load.acked.length >= 100);
  cluster.disksLie = disksLie;
  const leader = created.partitions[0]?.leader ?? 0;
  return { cluster, load, leader };
}

async function powerCut(seed: number, afterMs: number, options: UnderLoad = {}) {
  const { cluster, load } = await underLoad(seed, options);
  await cluster.simulation.pass(afterMs);
  for (const id of all) cluster.kill(id, 'nothing');
  const ackedBefore = load.acked.length;
  await cluster.simulation.pass(100);
  await cluster.start(...all);
  await cluster.simulation.until('acks after the power cut', 30_000, () => load.acked.length >= ackedBefore + 100);
  await load.stop();
  return { cluster, verdict: verdict(load.acked, await readBack(cluster, topic), load.sent), failures: load.failures };
}

describe('all three nodes lose everything unsynced', () => {
  // Odd fractions of the disk's and the network's times, so that the cuts fall into every part of the write path.
  const moments = [0.3, 0.9, 1.3, 1.7, 2.1, 2.9, 3.7, 4.3, 5.1, 7.3, 11.9, 23.7];

  test.each(moments)('%s ms after the hundredth ack: no acked record is missing', async (afterMs) => {
    const result = await powerCut(Math.round(afterMs * 10), afterMs);
    expect(result.verdict).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, unexpected: 0 });
    expect(isClean(result.verdict)).toBe(true);
    expect(result.failures).toEqual([]);
    expect(result.cluster.halted).toEqual([]);
  });

  test('with the syncs of the log removed the same run is red', async () => {
    const result = await powerCut(3, 50, { disksLie: true });
    expect(result.verdict.lost).toBeGreaterThan(0);
  });
});

test('a power cut with torn last groups on three nodes leaves none of them lossy', async () => {
  let torn = 0;
  for (const [seed, afterMs] of [0.4, 1.1, 1.6, 2.3, 3.1, 3.9, 4.8, 6.1, 7.9, 9.7, 11.3, 14.3].entries()) {
    const { cluster, load } = await underLoad(40 + seed);
    const random = new SeededRandom(seed);
    await cluster.simulation.pass(afterMs);
    // Each has a group on its way when the power goes.
    for (const id of all) cluster.disk(id).holdSyncs();
    await cluster.simulation.pass(5);
    const cutAtMs = cluster.simulation.nowMs;
    for (const id of all) cluster.kill(id, 'everything', random);
    for (const id of all) cluster.disk(id).releaseSyncs();
    const ackedBefore = load.acked.length;
    await cluster.start(...all);
    await cluster.simulation.until('acks after the power cut', 30_000, () => load.acked.length >= ackedBefore + 50);
    await load.stop();
    const said = cluster.log.filter(({ atMs }) => atMs >= cutAtMs);
    torn += said.filter(({ phrase }) => phrase === 'torn group cut from the journal').length;
    // Whatever recovery finds damaged, it says.
    expect(said.filter(({ level }) => level === 'error')).toEqual([]);
    expect(isClean(verdict(load.acked, await readBack(cluster, topic), load.sent))).toBe(true);
  }
  // Most of a small group is zeros up to the next boundary: torn there it is whole.
  expect(torn).toBeGreaterThan(0);
});

test.each(all)(
  'power is cut everywhere and node %i never answers again: the others serve what was acked',
  async (lost) => {
    const { cluster, load } = await underLoad(20 + lost);
    for (const id of all) cluster.kill(id, 'nothing');
    const others = all.filter((id) => id !== lost);
    // A machine without power refuses nothing: it is silent.
    for (const id of others) cluster.network.cut(`node${lost}`, `node${id}`);
    const ackedBefore = load.acked.length;
    await cluster.start(...others);
    await cluster.simulation.until('acks without it', 30_000, () => load.acked.length >= ackedBefore + 100);
    await load.stop();
    expect(isClean(verdict(load.acked, await readBack(cluster, topic), load.sent))).toBe(true);
  },
);

test('a cluster stopped in order loses the disk of the last one to stop: the others serve what was acked', async () => {
  const { cluster, load } = await underLoad(31);
  await load.stop();
  const acked = load.acked.length;
  for (const id of all) await cluster.stop(id);
  cluster.wipe(3);
  await cluster.start(...all);
  await cluster.simulation.until('all nodes ready', 60_000, () => cluster.isReady());
  await cluster.simulation.until('every replica is in sync', 60_000, () => cluster.isWhole());
  const read = await readBack(cluster, topic);
  expect(read).toHaveLength(acked);
  expect(isClean(verdict(load.acked, read, load.sent))).toBe(true);
});

describe('a held sync holds the ack', () => {
  // Shorter than any time-out that would move leaders or shrink the in-sync replicas.
  const heldMs = 400;

  async function acksWhileHeld(where: 'leader' | 'follower', options: UnderLoad = {}): Promise<number> {
    const { cluster, load, leader } = await underLoad(7, { ...options, partitions: 1 });
    const id = where === 'leader' ? leader : (all.find((each) => each !== leader) ?? 0);
    // A sync that is under way ends as it began.
    await cluster.simulation.pass(20);
    cluster.disk(id).holdSyncs();
    // What was synced before may still be on its way.
    await cluster.simulation.pass(20);
    const before = load.acked.length;
    await cluster.simulation.pass(heldMs);
    const during = load.acked.length - before;
    cluster.disk(id).releaseSyncs();
    await cluster.simulation.until('acks again', 10_000, () => load.acked.length >= before + 100);
    await load.stop();
    expect(isClean(verdict(load.acked, await readBack(cluster, topic), load.sent))).toBe(true);
    return during;
  }

  test.each(['leader', 'follower'] as const)('at the %s', async (where) => {
    expect(await acksWhileHeld(where)).toBe(0);
  });

  test.each(['leader', 'follower'] as const)('with the syncs removed at the %s it does not', async (where) => {
    expect(await acksWhileHeld(where, { disksLie: true })).toBeGreaterThan(50);
  });
});

test('a failed sync acks nothing and stops the node; the others go on', async () => {
  const { cluster, load, leader } = await underLoad(11);
  cluster.disk(leader).failSyncs();
  await cluster.simulation.until('the node stops itself', 5000, () => cluster.halted.length > 0);
  expect(cluster.halted.map(({ node }) => node)).toEqual([`node${leader}`]);
  const before = load.acked.length;
  await cluster.simulation.until('acks without it', 30_000, () => load.acked.length >= before + 200);
  await load.stop();
  expect(isClean(verdict(load.acked, await readBack(cluster, topic), load.sent))).toBe(true);
});
