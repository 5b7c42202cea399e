import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

test('a leader tells how far its followers are, and when they leave and come back', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const follower = (leader % 3) + 1;
  const { broker } = cluster.at(leader);
  expect(broker.partitionFigures()).toEqual({ failed: 0, replicaLagMsMax: 0, replicaLagRecordsMax: 0 });
  cluster.disks.get(follower)?.holdSyncs();
  new ProduceClient(cluster, leader).send(topic, producedBatch({ records: 5 }));
  await cluster.clock.pass(1_000);
  const { replicaLagMsMax, replicaLagRecordsMax } = broker.partitionFigures();
  expect(replicaLagRecordsMax).toBe(5);
  expect(replicaLagMsMax).toBeGreaterThan(700);
  expect(replicaLagMsMax).toBeLessThan(1_300);
  await cluster.clock.until('it left', () => broker.counts.isrShrinks === 1);
  cluster.disks.get(follower)?.releaseSyncs();
  await cluster.clock.until('it is back', () => broker.counts.isrExpands === 1);
  expect(broker.partitionFigures().replicaLagRecordsMax).toBe(0);
  // The followers count nothing: the leader speaks for the partition.
  const counts = [...cluster.brokers.values()].map(({ broker: each }) => each.counts);
  expect(counts.reduce((sum, { isrShrinks, isrExpands }) => sum + isrShrinks + isrExpands, 0)).toBe(2);
  expect(counts.reduce((sum, { leaderChanges }) => sum + leaderChanges, 0)).toBe(1);
});
