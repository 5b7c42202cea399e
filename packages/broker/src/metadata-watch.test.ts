/** What a client's watch is told, and when: real brokers over a controller of the test. */
import { methods } from '@sluice/wire';
import type { MetadataUpdate } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, clientAddress, testBrokerConfig } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

interface Told {
  readonly atMs: number;
  readonly update: MetadataUpdate;
}

async function watched(cluster: BrokerCluster, at: number): Promise<Told[]> {
  const told: Told[] = [];
  const sender = cluster.rpc.stream(methods.admin.watchMetadata, clientAddress(at), {
    onMessage: (update) => void told.push({ atMs: cluster.clock.monotonicMs(), update }),
    onClose: () => undefined,
  });
  sender.send({ allTopics: true });
  await cluster.clock.settle();
  expect(told.length).toBe(1);
  return told;
}

test('who leads is told at once, in-sync replicas that come back together (W3)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic({ partitions: 300, replication: 3 });
  const isWhole = () => cluster.image.topic(topic)?.partitions.every(({ isr }) => isr.length === 3) === true;
  await cluster.clock.until('all are in sync', isWhole);
  await cluster.clock.pass(200);
  const told = await watched(cluster, 1);
  const entriesBefore = cluster.entries.length;
  cluster.kill(3);
  cluster.fence(3);
  await cluster.clock.settle();
  expect(told.length).toBe(2);
  expect(told.at(-1)?.update.topics[0]?.partitions.every(({ leader }) => leader !== 3)).toBe(true);
  await cluster.start(3);
  await cluster.clock.until('all are in sync again', isWhole);
  await cluster.clock.pass(200);
  const entries = cluster.entries.length - entriesBefore;
  const described = told.slice(2).filter(({ update }) => update.topics.length > 0);
  expect(described.length).toBeLessThanOrEqual(6);
  expect(described.length).toBeLessThan(entries);
  for (const [index, { atMs }] of described.slice(1).entries()) {
    expect(atMs - described[index]!.atMs).toBeGreaterThanOrEqual(100);
  }
  // In the end it knows what is so.
  expect(described.at(-1)?.update.topics[0]?.partitions.every(({ isr }) => isr.length === 3)).toBe(true);
});

test('a node whose disk hangs says so and knows no controller leader, until it answers again (W4)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  const told = await watched(cluster, leader);
  expect(told[0]?.update).toMatchObject({ controllerLeader: 9, isStalled: false });
  cluster.disks.get(leader)?.holdSyncs();
  const sinceMs = cluster.clock.monotonicMs();
  new ProduceClient(cluster, leader).send(topic, producedBatch());
  await cluster.clock.until('it says so', () => told.at(-1)?.update.isStalled === true);
  expect(told.at(-1)?.update.controllerLeader).toBe(0);
  expect(cluster.clock.monotonicMs() - sinceMs).toBeGreaterThanOrEqual(testBrokerConfig.diskStallMs);
  expect(cluster.clock.monotonicMs() - sinceMs).toBeLessThan(1.25 * testBrokerConfig.diskStallMs);
  const late = await watched(cluster, leader);
  expect(late[0]?.update).toMatchObject({ controllerLeader: 0, isStalled: true });
  cluster.disks.get(leader)?.releaseSyncs();
  await cluster.clock.until('it answers', () => told.at(-1)?.update.isStalled === false);
  expect(told.at(-1)?.update.controllerLeader).toBe(9);
  expect(cluster.at(leader).halts).toEqual([]);
});
