/** What a broker remembers of producers over restarts: by state snapshots, and by the batches behind them. */
import { SeededRandom } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { batchFactsOf, LogScan } from '@sluice/partition';
import type { LogStore } from '@sluice/storage';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';
import type { PartitionHost } from './partition-host.ts';

const hourMs = 3_600_000;

/** One node; two batches of 8 KiB fill a file. */
async function oneNode(): Promise<BrokerCluster> {
  const cluster = new BrokerCluster({ producerExpiryMs: 24 * hourMs });
  cluster.logLimits = { journalBytesMax: 20_000, groupBytesMax: 10_000, journalAgeMsMax: 60_000, spaceAheadBytes: 0 };
  await cluster.start(1);
  const { nodeId, brokerEpoch } = cluster.image.node(cluster.at(1).id)!;
  cluster.decide({ type: 'allocateProducerIds', nodeId, brokerEpoch });
  return cluster;
}

const hostOf = (cluster: BrokerCluster, topic: TopicId): PartitionHost =>
  [...cluster.at(1).broker.hosts].find((host) => host.id.topicId === topic)!;

async function leads(cluster: BrokerCluster, topic: TopicId): Promise<void> {
  await cluster.clock.until(
    'it leads',
    () => cluster.at(1).broker.ready && hostOf(cluster, topic)?.replica?.role === 'leader',
  );
}

async function restart(cluster: BrokerCluster, topic: TopicId): Promise<void> {
  cluster.kill(1);
  cluster.fence(1);
  await cluster.start(1);
  await leads(cluster, topic);
}

interface Numbered {
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence: number;
  readonly valueBytes?: number;
  readonly records?: number;
}

/** The offset that it got, or the code of the error. */
async function send(client: ProduceClient, cluster: BrokerCluster, topic: TopicId, batch: Numbered) {
  const { producerId = 7, producerEpoch = 0, baseSequence, valueBytes = 8000, records = 1 } = batch;
  const stamp = { producerId, producerEpoch, baseSequence };
  const id = client.send(topic, producedBatch({ valueBytes, records, stamp }));
  await cluster.clock.until('it is answered', () => client.results.has(id));
  return client.results.get(id);
}

test('a live producer is known after all its batches expired, their files went and the node was killed', async () => {
  const cluster = await oneNode();
  const topic = cluster.createTopic({ config: { retentionMs: String(hourMs) } });
  await leads(cluster, topic);
  let client = new ProduceClient(cluster, 1);
  for (let baseSequence = 0; baseSequence < 7; baseSequence += 1) {
    expect(await send(client, cluster, topic, { baseSequence })).toBe(baseSequence);
  }
  await cluster.clock.pass(2 * hourMs);
  expect(hostOf(cluster, topic).log.startOffset).toBe(7);
  expect(cluster.at(1).nodeLog.stats.journalFiles).toBeLessThan(3);
  for (let life = 0; life < 2; life += 1) {
    await restart(cluster, topic);
    expect(hostOf(cluster, topic).log.startOffset).toBe(7);
    client = new ProduceClient(cluster, 1);
    // The last five are duplicates, answered as when they were appended, although nobody can read them any more.
    for (let baseSequence = 2; baseSequence < 7; baseSequence += 1) {
      expect(await send(client, cluster, topic, { baseSequence })).toBe(baseSequence);
    }
    expect(await send(client, cluster, topic, { baseSequence: 1 })).toBe('OUT_OF_ORDER_SEQUENCE');
    expect(await send(client, cluster, topic, { baseSequence: 8 })).toBe('OUT_OF_ORDER_SEQUENCE');
  }
  expect(await send(client, cluster, topic, { baseSequence: 7 })).toBe(7);
  expect(cluster.at(1).warnings).toEqual([]);
});

async function scanOf(log: LogStore): Promise<LogScan> {
  const scan = new LogScan(1000);
  for await (const header of log.headers(log.startOffset)) scan.add(batchFactsOf(header));
  return scan;
}

test('over kills a replica knows what all batches of its log tell', async () => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const random = new SeededRandom(seed);
    const cluster = await oneNode();
    const topic = cluster.createTopic();
    await leads(cluster, topic);
    const next = new Map<number, { producerEpoch: number; baseSequence: number }>();
    let snapshots = 0;
    for (let life = 0; life < 6; life += 1) {
      const client = new ProduceClient(cluster, 1);
      for (let n = random.below(12); n > 0; n -= 1) {
        const producerId = random.below(4);
        const known = next.get(producerId) ?? { producerEpoch: 0, baseSequence: 0 };
        const begins = random.below(6) === 0 && known.baseSequence > 0;
        const { producerEpoch, baseSequence } = begins
          ? { producerEpoch: known.producerEpoch + 1, baseSequence: 0 }
          : known;
        const records = 1 + random.below(3);
        const batch = { producerId, producerEpoch, baseSequence, records, valueBytes: random.below(3000) };
        expect(await send(client, cluster, topic, batch)).toBeTypeOf('number');
        next.set(producerId, { producerEpoch, baseSequence: baseSequence + records });
      }
      await restart(cluster, topic);
      const { log, replica } = hostOf(cluster, topic);
      const scan = await cluster.settled(scanOf(log));
      const ageless = scan.producers().map(({ ageMs: _, ...producer }) => producer);
      expect(replica?.snapshot()?.producers.map(({ ageMs: _, ...producer }) => producer)).toEqual(ageless);
      expect(replica?.snapshot()?.epochs).toEqual(scan.epochs);
      if ((await cluster.settled(log.loadSnapshot())) !== undefined) snapshots += 1;
    }
    expect(snapshots).toBeGreaterThan(1);
  }
});
