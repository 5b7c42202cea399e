/** A record of 8 MiB and small ones, from a producer through three replicas to a consumer. */
import type { Sluice } from '@sluice/client';
import { expect, test } from 'vitest';
import { SimCluster } from './sim-cluster.ts';
import { simClient } from './sim-load.ts';

const large = new Uint8Array(8_000_000).fill(5);

interface Ready {
  readonly cluster: SimCluster;
  readonly client: Sluice;
  /** A topic of one partition, led by the node that leads `large`. */
  readonly small: string;
}

async function ready(seed: number): Promise<Ready> {
  const cluster = new SimCluster(seed);
  const { simulation } = cluster;
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

test('what is sent just after a record of 8 MiB is acked before it, and read beside it is consumed before it', async () => {
  const { cluster, client, small } = await ready(1);
  const { simulation } = cluster;
  const producer = client.producer();
  const warm = Promise.all([producer.send('large', { value: 'first' }), producer.send(small, { value: 'first' })]);
  await simulation.settle('warm', 10_000, warm);

  const consumed: string[] = [];
  const read = async (): Promise<void> => {
    const assignments = ['large', small].map((topic) => ({ topic, partition: 0, from: 1 }));
    for await (const batch of client.consumer({ assignments }).batches()) {
      for (const { value } of batch.records()) consumed.push(`${batch.topic} ${value?.length}`);
      if (consumed.length === 3) return;
    }
  };
  const acked: string[] = [];
  const send = async (topic: string, value: Uint8Array | string): Promise<void> => {
    await producer.send(topic, { value });
    acked.push(topic);
  };
  const first = [send('large', large), send(small, 'second')];
  await simulation.settle('both are acked', 10_000, Promise.all(first));
  await simulation.settle('a later one is acked', 10_000, send(small, 'third'));
  expect(acked).toEqual([small, 'large', small]);
  // The large one is asked for first.
  await simulation.settle('all are read', 10_000, read());
  expect(consumed).toEqual([`${small} 6`, `${small} 5`, `large ${large.length}`]);
  expect(cluster.halted).toEqual([]);
});
