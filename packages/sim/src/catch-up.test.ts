/** A follower that comes back far behind: it is filled from disks, and what is produced meanwhile hardly feels it. */
import type { Sluice } from '@sluice/client';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

const MiB = 1024 * 1024;
/** 1 Gbit/s: what is read behind the tail in one piece takes 4 ms on a link, a window 67. */
const linkBytesPerMs = 125_000;
const valueBytes = 128 * 1024;
const everyMs = 5;
const seeds = [1, 2];

interface Away {
  readonly cluster: SimCluster;
  readonly client: Sluice;
  readonly leader: number;
  readonly follower: number;
  /** Led by the node that leads `backlog`. */
  readonly head: string;
}

/** One of three replicas is down, and misses so much. */
async function oneAway(seed: number, missedBytes: number, catchUp: string): Promise<Away> {
  const cluster = new SimCluster(seed, 3, {
    journalBytesMax: '64MiB',
    replicateWindowBytes: '8MiB',
    groupBytesMax: '1MiB',
    catchUpBytesPerSecondMax: catchUp,
  });
  const { simulation } = cluster;
  cluster.conditions.bytesPerMs = linkBytesPerMs;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const client = simClient(cluster, 'client');
  const create = async (name: string): Promise<number> => {
    const request = { name, partitions: 1, replication: 3 };
    const { partitions } = await simulation.settle('topic', 10_000, client.admin.createTopic(request));
    return partitions[0]?.leader ?? 0;
  };
  const leader = await create('backlog');
  let head = 'head-0';
  for (let at = 0; (await create(head)) !== leader; at += 1) head = `head-${at + 1}`;
  const follower = (leader % 3) + 1;
  cluster.kill(follower);
  const value = new Uint8Array(valueBytes).fill(7);
  const producer = client.producer();
  for (let sentBytes = 0; sentBytes < missedBytes; sentBytes += 8 * valueBytes) {
    const some = Array.from({ length: 8 }, () => producer.send('backlog', { value }));
    await simulation.settle('backlog', 30_000, Promise.all(some));
  }
  await simulation.pass(1_000);
  return { cluster, client, leader, follower, head };
}

/** Sends small records at an even rate while the condition does not hold; from sent to acked, in ms. */
async function ackTimes({ cluster, client, head }: Away, isOver: () => boolean): Promise<readonly number[]> {
  const { simulation } = cluster;
  const producer = client.producer();
  const times: number[] = [];
  const failures: unknown[] = [];
  const sends: Promise<void>[] = [];
  await simulation.settle('warm', 10_000, producer.send(head, { value: 'warm' }));
  while (!isOver()) {
    const sentMs = simulation.nowMs;
    const noted = producer.send(head, { value: 'small' }).then(
      () => void times.push(simulation.nowMs - sentMs),
      (error: unknown) => void failures.push(error),
    );
    sends.push(noted);
    await simulation.pass(everyMs);
  }
  await simulation.settle('all are acked', 10_000, Promise.all(sends));
  expect(failures).toEqual([]);
  return times;
}

const p99 = (times: readonly number[]): number =>
  times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)] ?? Infinity;

interface CatchUp {
  readonly calmMs: number;
  readonly meanwhileMs: number;
  readonly tookMs: number;
}

async function catchUp(seed: number, missedBytes: number, rate: string): Promise<CatchUp> {
  const it = await oneAway(seed, missedBytes, rate);
  const { cluster, follower, leader } = it;
  const { simulation } = cluster;
  const calmUntilMs = simulation.nowMs + 2_000;
  const calm = await ackTimes(it, () => simulation.nowMs > calmUntilMs);
  await cluster.start(follower);
  const isBehind = (): boolean => (cluster.node(leader).figures().sluice_catch_up_partitions ?? 0) > 0;
  await simulation.until('it is read behind the tail', 10_000, isBehind);
  const sinceMs = simulation.nowMs;
  let overMs = Infinity;
  const meanwhile = await ackTimes(it, () => {
    if (!isBehind()) overMs = Math.min(overMs, simulation.nowMs);
    return overMs < simulation.nowMs - 50 || simulation.nowMs - sinceMs > 60_000;
  });
  await simulation.until('it is in sync', 10_000, () => cluster.isReady() && cluster.isWhole());
  expect(cluster.halted).toEqual([]);
  return { calmMs: p99(calm), meanwhileMs: p99(meanwhile), tookMs: overMs - sinceMs };
}

test.each(seeds)(
  'it catches up at the rate of the budget, and acks take a few milliseconds longer, seed %i',
  async (seed) => {
    const missedBytes = 32 * MiB;
    const { calmMs, meanwhileMs, tookMs } = await catchUp(seed, missedBytes, '8MiB');
    expect(meanwhileMs).toBeLessThan(calmMs + 8);
    // All but what is in the tail.
    const expectedMs = ((missedBytes - MiB) / (8 * MiB)) * 1000;
    expect(tookMs).toBeGreaterThan(0.85 * expectedMs);
    expect(tookMs).toBeLessThan(1.15 * expectedMs);
  },
);

test('without a budget acks would wait for what is on the way to the one that catches up', async () => {
  const { calmMs, meanwhileMs } = await catchUp(1, 48 * MiB, '16GiB');
  expect(meanwhileMs).toBeGreaterThan(calmMs + 16);
});
