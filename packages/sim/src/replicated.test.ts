/**
 * Durability `replicated`: acks come from memory, one lost memory loses nothing acked, and a power cut of all takes no
 * more of a partition than is documented, and nothing of a topic with `fsync` beside it.
 */
import { describe, expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import type { PlacedRecord } from './ledger.ts';
import { SimCluster } from './sim-cluster.ts';
import { readBack, simClient, SimLoad } from './sim-load.ts';
import type { SimLoadOptions } from './sim-load.ts';

const topic = 'clicks';
const syncedTopic = 'orders';
const all = [1, 2, 3] as const;
/** As documented. */
const unsyncedBytesMax = 256 * 1024;
const unsyncedMsMax = 100;
const mayBeLost = 'acked records may be lost: the last in-sync replica crashed';
const unclean = 'last stop was not in order';

interface Shape {
  readonly partitions?: number;
  readonly replication?: number;
}

async function underLoad(seed: number, options: Partial<SimLoadOptions> & Shape = {}) {
  const { partitions = 1, replication = 3, ...given } = options;
  const cluster = new SimCluster(seed);
  await cluster.start();
  await cluster.simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const admin = simClient(cluster, 'admin');
  const create = (name: string, durability: string) =>
    cluster.simulation.settle(
      'topic',
      10_000,
      admin.admin.createTopic({ name, partitions, replication, config: { durability } }),
    );
  const { partitions: led } = await create(topic, 'replicated');
  await create(syncedTopic, 'fsync');
  await cluster.simulation.settle('admin closed', 10_000, admin.close());
  const load = new SimLoad(cluster, { topic, everyMs: 2, keys: 50, ...given });
  await cluster.simulation.until('first acks', 10_000, () => load.acked.length >= 100);
  const [first] = led;
  return { cluster, load, leader: first?.leader ?? 0, replicas: first?.replicas ?? [] };
}

const isWhole = (cluster: SimCluster) =>
  cluster.simulation.until('every replica is in sync', 60_000, () => cluster.isReady() && cluster.isWhole());

async function expectClean(cluster: SimCluster, load: SimLoad): Promise<void> {
  await load.stop();
  expect(verdict(load.acked, await readBack(cluster, topic), load.sent)).toMatchObject({ lost: 0, unexpected: 0 });
  expect(isClean(verdict(load.acked, await readBack(cluster, topic, 'again'), load.sent))).toBe(true);
  expect(cluster.halted).toEqual([]);
}

describe('one node after the other loses what it had in memory', () => {
  test.each([1, 2, 3, 4])('nothing acked is lost (seed %i)', async (seed) => {
    const { cluster, load } = await underLoad(seed, { partitions: 3 });
    for (const id of all) {
      // So that the records of this time are nowhere but in memory here.
      cluster.disk(id).holdSyncs();
      const before = load.acked.length;
      await cluster.simulation.pass(unsyncedMsMax * 0.8);
      expect(load.acked.length).toBeGreaterThan(before + 10);
      cluster.kill(id, 'nothing');
      cluster.disk(id).releaseSyncs();
      const ackedBefore = load.acked.length;
      await cluster.simulation.until('acks without it', 30_000, () => load.acked.length >= ackedBefore + 100);
      await cluster.start(id);
      await isWhole(cluster);
    }
    await expectClean(cluster, load);
    const said = (wanted: string) => cluster.log.filter(({ phrase }) => phrase === wanted).map(({ node }) => node);
    expect(said(unclean)).toEqual(['node1', 'node2', 'node3']);
    expect(said(mayBeLost)).toEqual([]);
  });
});

test('one that lost its memory does not lead, even when nobody else is there', async () => {
  const { cluster, load, replicas } = await underLoad(21, { replication: 2 });
  const [leader = 0, follower = 0] = replicas;
  const others = all.filter((id) => id !== leader);
  cluster.disk(follower).holdSyncs();
  await cluster.simulation.pass(unsyncedMsMax * 0.8);
  cluster.kill(follower, 'nothing');
  cluster.disk(follower).releaseSyncs();
  // The leader has everything, and is cut off from the others, who are a majority and would elect another.
  for (const id of others) cluster.network.cut(`node${leader}`, `node${id}`);
  await cluster.start(follower);
  const acked = load.acked.length;
  await cluster.simulation.until('the others serve', 30_000, () => cluster.isReady(...others));
  // As long as any session and any election takes.
  await cluster.simulation.pass(5_000);
  expect(load.acked.length).toBe(acked);
  for (const id of others) cluster.network.heal(`node${leader}`, `node${id}`);
  await cluster.simulation.until('acks again', 60_000, () => load.acked.length >= acked + 100);
  await expectClean(cluster, load);
});

test('a cluster that was stopped in order has everything, and no node takes its last stop for a crash', async () => {
  const { cluster, load } = await underLoad(9, { partitions: 3 });
  await load.stop();
  for (const id of all) await cluster.stop(id);
  await cluster.start(...all);
  await isWhole(cluster);
  const read = await readBack(cluster, topic);
  expect(read).toHaveLength(load.acked.length);
  expect(isClean(verdict(load.acked, read, load.sent))).toBe(true);
  expect(cluster.log.filter(({ phrase }) => phrase === unclean)).toEqual([]);
});

test.each(['leader', 'follower'] as const)('a held sync at the %s holds the ack after 100 ms', async (where) => {
  const { cluster, load, leader } = await underLoad(7);
  const id = where === 'leader' ? leader : (all.find((each) => each !== leader) ?? 0);
  cluster.disk(id).holdSyncs();
  const acked = async (forMs: number): Promise<number> => {
    const before = load.acked.length;
    await cluster.simulation.pass(forMs);
    return load.acked.length - before;
  };
  expect(await acked(unsyncedMsMax * 0.9)).toBeGreaterThan(30);
  await acked(50);
  // Shorter than any time-out that would move leaders or shrink the in-sync replicas.
  expect(await acked(250)).toBe(0);
  cluster.disk(id).releaseSyncs();
  await cluster.simulation.until('acks again', 10_000, () => load.acked.length >= 300);
  await expectClean(cluster, load);
});

describe('all three nodes lose everything unsynced', () => {
  const valueBytes = 8 * 1024;

  /** Acked and never read, by partition. */
  function lostOf(acked: readonly PlacedRecord[], read: readonly PlacedRecord[]): ReadonlyMap<number, number> {
    const ids = new Set(read.map((record) => record.id));
    const lost = new Map<number, number>();
    for (const { id, partition } of acked) if (!ids.has(id)) lost.set(partition, (lost.get(partition) ?? 0) + 1);
    return lost;
  }

  async function powerCut(seed: number, options: { readonly heldMs: number; readonly everyMs: number }) {
    const { cluster, load } = await underLoad(seed, { partitions: 2, everyMs: options.everyMs, valueBytes });
    const synced = new SimLoad(cluster, { topic: syncedTopic, everyMs: 2, keys: 50 });
    await cluster.simulation.until('acks of both', 10_000, () => synced.acked.length >= 100);
    for (const id of all) cluster.disk(id).holdSyncs();
    await cluster.simulation.pass(options.heldMs);
    for (const id of all) cluster.kill(id, 'nothing');
    for (const id of all) cluster.disk(id).releaseSyncs();
    const ackedBefore = load.acked.length;
    await cluster.simulation.pass(100);
    await cluster.start(...all);
    await cluster.simulation.until('acks afterwards', 60_000, () => load.acked.length >= ackedBefore + 100);
    await load.stop();
    await synced.stop();
    await isWhole(cluster);
    const read = await readBack(cluster, topic);
    return { cluster, load, synced, read, lost: lostOf(load.acked, read) };
  }

  test.each([
    // One record a millisecond fills the bound before the 100 ms are over; one every eight does not.
    { seed: 1, heldMs: 90, everyMs: 1 },
    { seed: 2, heldMs: 400, everyMs: 1 },
    { seed: 3, heldMs: 400, everyMs: 8 },
    { seed: 4, heldMs: 7, everyMs: 1 },
  ])('$heldMs ms without a sync, a record every $everyMs ms: no more than the bound', async (cut) => {
    const { cluster, load, synced, read, lost } = await powerCut(cut.seed, cut);
    expect([...lost.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
    for (const count of lost.values()) {
      expect(count * valueBytes).toBeLessThanOrEqual(unsyncedBytesMax);
      // By the rate of sending; what was sent just before may be acked just after.
      expect(count * cut.everyMs).toBeLessThanOrEqual(unsyncedMsMax + 20);
    }
    expect(verdict(load.acked, read, load.sent)).toMatchObject({ duplicated: 0, reordered: 0, unexpected: 0 });
    const said = cluster.log.filter(({ phrase }) => phrase === mayBeLost);
    expect(said.reduce((sum, { fields }) => sum + Number(fields['partitions']), 0)).toBe(2);
    expect(isClean(verdict(synced.acked, await readBack(cluster, syncedTopic), synced.sent))).toBe(true);
    expect(cluster.halted).toEqual([]);
  });
});
