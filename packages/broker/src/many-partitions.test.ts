/** Thousands of partitions on one stream between two nodes. */
import type { TopicId } from '@sluice/base';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const partitions = 4_000;
/** As many as fit in the credit that a produce stream begins with. */
const atOnce = 200;

async function produceToAll(cluster: BrokerCluster, topic: TopicId): Promise<ReadonlySet<number | string>> {
  const clients = new Map([1, 2].map((id) => [id, new ProduceClient(cluster, id)]));
  const answers = (): readonly (number | string)[] =>
    [...clients.values()].flatMap(({ results }) => [...results.values()]);
  const states = cluster.image.topic(topic)?.partitions ?? [];
  for (let from = 0; from < states.length; from += atOnce) {
    const some = states.slice(from, from + atOnce);
    for (const { leader, partition } of some) clients.get(leader ?? 0)?.send(topic, producedBatch(), partition);
    await cluster.clock.until('all are answered', () => answers().length === from + some.length);
  }
  return new Set(answers());
}

test('thousands of partitions are followed on one stream, also by one that was away', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const topic = cluster.createTopic({ partitions, replication: 2 });
  const areWhole = (end: number) => () =>
    [...cluster.brokers.values()].every(({ broker }) =>
      [...broker.hosts].every(({ replica }) => replica?.highWatermark === end && replica.isr.length === 2),
    );
  await cluster.clock.until('all are loaded', areWhole(0));
  await cluster.clock.pass(50);
  expect(await produceToAll(cluster, topic)).toEqual(new Set([0]));
  // The high watermark goes to each follower, alone, a few milliseconds later.
  await cluster.clock.pass(20);
  expect(areWhole(1)()).toBe(true);
  cluster.kill(2);
  cluster.fence(2);
  await cluster.start(2);
  const sinceMs = cluster.clock.monotonicMs();
  await cluster.clock.until('all are in sync again', areWhole(1));
  expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(3_000);
  expect(await produceToAll(cluster, topic)).toEqual(new Set([1]));
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});
