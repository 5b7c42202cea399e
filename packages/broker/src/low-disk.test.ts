/** What a node does whose disk is below its reserve (S8): as a leader it refuses records, as a follower it takes none. */
import { offset } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { MemoryDisk } from '@sluice/storage';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';

const KiB = 1024;
const MiB = KiB * KiB;
const reserveBytes = 8 * MiB;

interface Ready {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
  readonly leader: number;
  readonly follower: number;
}

async function ready(): Promise<Ready> {
  const cluster = new BrokerCluster();
  cluster.logLimits = { diskReserveBytes: reserveBytes };
  for (const id of [1, 2, 3]) {
    const complete = (run: () => void): void => cluster.clock.defer(run);
    cluster.disks.set(id, new MemoryDisk({ complete, capacityBytes: 64 * MiB }));
  }
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic({ name: 'orders' });
  await cluster.clock.pass(1_000);
  const leader = cluster.image.topic(topic)?.partitions[0]?.leader ?? 0;
  return { cluster, topic, leader, follower: leader === 3 ? 2 : 3 };
}

/** Others took all of the disk but this, or gave it back. */
async function leave({ cluster }: Ready, id: number, freeBytes: number): Promise<void> {
  const disk = cluster.disks.get(id)!;
  const { freeBytes: before, totalBytes } = await cluster.settled(disk.space('/data'));
  disk.setCapacity(totalBytes - before + freeBytes);
  const isLow = freeBytes < reserveBytes;
  await cluster.clock.until('the node has seen it', () => cluster.at(id).nodeLog.disk.isLow === isLow);
}

async function produce({ cluster, topic }: Ready, client: ProduceClient, batch: Uint8Array): Promise<number | string> {
  const id = client.send(topic, batch);
  await cluster.clock.until('it is answered', () => client.results.has(id));
  return client.results.get(id)!;
}

const isrOf = ({ cluster, topic }: Ready): readonly number[] => cluster.image.topic(topic)?.partitions[0]?.isr ?? [];
const logAt = ({ cluster }: Ready, id: number) => cluster.at(id).nodeLog.log(cluster.at(id).nodeLog.logIds()[0]!);

test('a leader refuses records, definitely and with credit, answers what it has, trims, and goes on by itself', async () => {
  const it = await ready();
  const { cluster, leader, topic } = it;
  const client = new ProduceClient(cluster, leader);
  const stamp = { producerId: 0, producerEpoch: 0, baseSequence: 0 };
  cluster.decide({
    type: 'allocateProducerIds',
    nodeId: cluster.at(leader).id,
    brokerEpoch: cluster.at(leader).identity.brokerEpoch,
  });
  const first = producedBatch({ stamp });
  expect(await produce(it, client, first.slice())).toBe(0);
  await leave(it, leader, reserveBytes / 2);
  const refused = await produce(it, client, producedBatch({ stamp: { ...stamp, baseSequence: 1 } }));
  expect([refused, client.definite.get(2)]).toEqual(['STORAGE_FULL', true]);
  expect(await produce(it, client, first.slice())).toBe(0);
  // More than a window of refusals: nothing of it is kept, so credit comes back.
  for (let n = 0; n < 20; n += 1) {
    expect(await produce(it, client, producedBatch({ valueBytes: 50 * KiB }))).toBe('STORAGE_FULL');
  }
  expect([client.closed, logAt(it, leader).endOffset]).toEqual([undefined, 1]);
  const host = cluster.at(leader).broker.hosts.find(logAt(it, leader).id)!;
  host.step({ kind: 'trim', logStart: offset(1) });
  await cluster.clock.until('the start moved', () => logAt(it, leader).startOffset === 1);
  expect(isrOf(it)).toHaveLength(3);
  await leave(it, leader, 4 * reserveBytes);
  expect(await produce(it, client, producedBatch({ stamp: { ...stamp, baseSequence: 1 } }))).toBe(1);
  expect(topic).toBeDefined();
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});

test('a follower takes no more than its window, on no stream, leaves the ISR, and comes back when there is room', async () => {
  const it = await ready();
  const { cluster, leader, follower } = it;
  const client = new ProduceClient(cluster, leader);
  await produce(it, client, producedBatch());
  await leave(it, follower, reserveBytes / 2);
  const batch = (): Uint8Array => producedBatch({ valueBytes: 50 * KiB });
  // From some batch on the ack waits until the follower has left.
  for (let n = 1; n <= 10; n += 1) expect(await produce(it, client, batch())).toBe(n);
  expect(isrOf(it)).not.toContain(follower);
  const held = logAt(it, follower).endOffset;
  // 256 KiB are granted at a time.
  expect(held).toBeLessThanOrEqual(1 + 6);
  for (let round = 0; round < 3; round += 1) {
    cluster.network.cut(`node${leader}`, `node${follower}`);
    await cluster.clock.pass(2_000);
    cluster.network.heal(`node${leader}`, `node${follower}`);
    await cluster.clock.pass(2_000);
    expect(await produce(it, client, batch())).toEqual(expect.any(Number));
  }
  expect(logAt(it, follower).endOffset).toBe(held);
  await leave(it, follower, 4 * reserveBytes);
  await cluster.clock.until('it is in sync again', () => isrOf(it).includes(follower));
  expect(logAt(it, follower).endOffset).toBe(logAt(it, leader).endOffset);
  expect(await produce(it, client, batch())).toBe(logAt(it, leader).endOffset - 1);
  for (const { halts } of cluster.brokers.values()) expect(halts).toEqual([]);
});
