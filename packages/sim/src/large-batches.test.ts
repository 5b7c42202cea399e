/** A large record and small ones, from a producer through three replicas to a consumer. */
import type { Sluice } from '@sluice/client';
import { describe, expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

/** 1 Gbit/s: a slice takes 2 ms on each link, 8 MB take 64. */
const linkBytesPerMs = 125_000;
/** Sent to acked: a commit, round trips of 0.2 to 1.2 ms, and about one slice on each of two links. */
const ackMsMax = 12;
/** Sent to read: the producer id and the metadata before the first, and a slice on the link back. */
const readMsMax = 16;
/** A large one takes longer, or nothing was beside it. */
const largeMsMin = 25;
const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

interface Ready {
  readonly cluster: SimCluster;
  readonly client: Sluice;
  /** A topic of one partition, led by the node that leads `large`. */
  readonly small: string;
}

async function ready(seed: number): Promise<Ready> {
  // A journal file is not finished under way: that takes its time whatever is sent.
  const cluster = new SimCluster(seed, 3, { journalBytesMax: '64MiB' });
  const { simulation } = cluster;
  cluster.conditions.bytesPerMs = linkBytesPerMs;
  await cluster.start();
  await simulation.until('all nodes ready', 30_000, () => cluster.isReady());
  const client = simClient(cluster, 'client');
  const create = async (name: string): Promise<number> => {
    const config = { recordBytesMax: String(8 * 1024 * 1024) };
    const request = { name, partitions: 1, replication: 3, config };
    const { partitions } = await simulation.settle('topic', 10_000, client.admin.createTopic(request));
    return partitions[0]?.leader ?? 0;
  };
  const leader = await create('large');
  for (let at = 0; at < 10; at += 1)
    if ((await create(`small-${at}`)) === leader) return { cluster, client, small: `small-${at}` };
  throw new Error('no topic has the same leader');
}

interface Times {
  readonly largeMs: number;
  /** Of those that were sent while the large one was under way. */
  readonly smallMs: readonly number[];
}

/** Both in one turn; then, until the large one is acked, a small one whenever the last is acked. */
async function sendBoth(
  { cluster, client, small }: Ready,
  large: Uint8Array,
  first: 'large' | 'small',
): Promise<Times> {
  const { simulation } = cluster;
  const producer = client.producer();
  const warm = Promise.all([producer.send('large', { value: 'warm' }), producer.send(small, { value: 'warm' })]);
  await simulation.settle('warm', 10_000, warm);
  const send = async (topic: string, value: Uint8Array | string): Promise<number> => {
    const sentMs = simulation.nowMs;
    await producer.send(topic, { value });
    return simulation.nowMs - sentMs;
  };
  let largeMs: number | undefined;
  const sendLarge = async (): Promise<void> => {
    largeMs = await send('large', large);
  };
  const smallMs: number[] = [];
  const sendSmall = async (): Promise<void> => {
    do smallMs.push(await send(small, 'small'));
    while (largeMs === undefined);
  };
  const sending = first === 'large' ? [sendLarge(), sendSmall()] : [sendSmall(), sendLarge()];
  await simulation.settle('all are acked', 10_000, Promise.all(sending));
  return { largeMs: largeMs ?? Infinity, smallMs };
}

/** A new consumer reads the large one, while small ones are sent for it. */
async function readBoth({ cluster, client, small }: Ready, topics: readonly string[]): Promise<Times> {
  const { simulation } = cluster;
  const startMs = simulation.nowMs;
  const producer = client.producer();
  /** When each was sent that is not read yet. */
  const unread = new Map<string, number>();
  const smallMs: number[] = [];
  let largeMs: number | undefined;
  const read = async (): Promise<void> => {
    const assignments = topics.map((topic) => ({ topic, partition: 0, from: 1 }));
    for await (const batch of client.consumer({ assignments, creditBytes: 64 * 1024 }).batches()) {
      if (batch.topic === 'large') break;
      for (const { value } of batch.records()) {
        const text = new TextDecoder().decode(value ?? undefined);
        const sentMs = unread.get(text);
        if (sentMs !== undefined) smallMs.push(simulation.nowMs - sentMs);
        unread.delete(text);
      }
    }
    largeMs = simulation.nowMs - startMs;
    for (const sentMs of unread.values()) smallMs.push(simulation.nowMs - sentMs);
  };
  const send = async (): Promise<void> => {
    for (let at = 0; largeMs === undefined; at += 1) {
      unread.set(`beside ${at}`, simulation.nowMs);
      await producer.send(small, { value: `beside ${at}` });
    }
  };
  await simulation.settle('all are read', 10_000, Promise.all([read(), send()]));
  return { largeMs: largeMs ?? Infinity, smallMs };
}

describe.each([4_000_000, 8_000_000])('beside a record of %d bytes', (largeBytes) => {
  test.each(seeds)('small ones are acked and read within a few milliseconds, seed %d', async (seed) => {
    const it = await ready(seed);
    const first = seed % 2 === 0 ? 'small' : 'large';
    const sent = await sendBoth(it, new Uint8Array(largeBytes).fill(5), first);
    const read = await readBoth(it, first === 'large' ? ['large', it.small] : [it.small, 'large']);
    expect(Math.max(...sent.smallMs), `acked after ${sent.smallMs.join(', ')} ms`).toBeLessThan(ackMsMax);
    expect(Math.max(...read.smallMs), `read after ${read.smallMs.join(', ')} ms`).toBeLessThan(readMsMax);
    expect(Math.min(sent.largeMs, read.largeMs)).toBeGreaterThan(largeMsMin);
    expect(it.cluster.halted).toEqual([]);
  });
});
