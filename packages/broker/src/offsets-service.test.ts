import { methods } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, clientAddress } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

test('a time is answered with the batch that can hold it, below the high watermark only', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const producer = new ProduceClient(cluster, leader);
  const send = async (timestampMs: number): Promise<void> => {
    const id = producer.send(topic, producedBatch({ timestampMs }));
    await cluster.clock.until('it is acked', () => producer.results.has(id));
  };
  for (const timestampMs of [100, 300, 200, 400]) await send(timestampMs);
  // Not committed while no follower makes anything durable.
  for (const [id, disk] of cluster.disks) if (id !== leader) disk.holdSyncs();
  producer.send(topic, producedBatch({ timestampMs: 900 }));
  await cluster.clock.pass(100);
  const ask = async (sinceMs: number): Promise<unknown> => {
    const request = { partitions: [{ topicId: topic, partition: 0 }], sinceMs };
    const asked = cluster.rpc.unary(methods.broker.listOffsets, clientAddress(leader), request, { timeoutMs: 1_000 });
    const answer = await cluster.clock.outcome(asked);
    return answer.partitions.map(({ logStart, highWatermark, sinceOffset }) => [logStart, highWatermark, sinceOffset]);
  };
  const found: unknown[] = [];
  for (const sinceMs of [0, 100, 101, 301, 401, 900]) found.push(await ask(sinceMs));
  expect(found).toEqual([0, 0, 1, 3, 4, 4].map((sinceOffset) => [[0, 4, sinceOffset]]));
  for (const disk of cluster.disks.values()) disk.releaseSyncs();
});
