/** Thousands of partitions on one stream between two nodes. */
import type { TopicId } from '@sluice/base';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const partitions = 2_000;
/** As many as fit in the credit that a produce stream begins with. */
const atOnce = 200;

async function produceToAll(cluster: BrokerCluster, topic: TopicId): Promise<ReadonlySet<number | string>> {
  const clients = new Map([1, 2].map((id) => [id, new ProduceClient(cluster, id)]));
  const answered = (): number => [...clients.values()].reduce((sum, { results }) => sum + results.size, 0);
  const states = cluster.image.topic(topic)?.partitions ?? [];
  for (let from = 0; from < states.length; from += atOnce) {
    const some = states.slice(from, from + atOnce);
    for (const { leader, partition } of some) clients.get(leader ?? 0)?.send(topic, producedBatch(), partition);
    await cluster.clock.until('all are answered', () => answered() === from + some.length);
  }
  return new Set([...clients.values()].flatMap(({ results }) => [...results.values()]));
}

/** Looked at now and then: there are many. */
async function within(cluster: BrokerCluster, limitMs: number, isSo: () => boolean): Promise<boolean> {
  for (let passedMs = 0; passedMs < limitMs && !isSo(); passedMs += 50) await cluster.clock.pass(50);
  return isSo();
}

test('thousands of partitions are followed on one stream, also by one that was away', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const topic = cluster.createTopic({ partitions, replication: 2 });
  const areWhole = (end: number) => () =>
    [...cluster.brokers.values()].every(({ broker }) =>
      [...broker.hosts].every(({ replica }) => replica?.highWatermark === end && replica.isr.length === 2),
    );
  expect(await within(cluster, 1_000, areWhole(0))).toBe(true);
  await cluster.clock.pass(50);
  expect(await produceToAll(cluster, topic)).toEqual(new Set([0]));
  // The high watermark goes to each follower, alone, a few milliseconds later.
  await cluster.clock.pass(20);
  expect(areWhole(1)()).toBe(true);
  cluster.kill(2);
  cluster.fence(2);
  await cluster.start(2);
  expect(await within(cluster, 3_000, areWhole(1))).toBe(true);
  expect(await produceToAll(cluster, topic)).toEqual(new Set([1]));
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
}, 60_000);
