/** Damage that is found while a node runs: the replica leaves, is cut, filled again from its leader, and whole again. */
import { leaderEpoch, LogKind, nodeId, offset, partitionIndex } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import type { LogStore } from '@sluice/storage';
import { forgeFooter } from '../../storage/src/forged-footer.testing.ts';
import { expect, test } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';

const batches = 24;
/** As in the journal, the header of the file included: inside the second group or so. */
const damagedAt = 9_000;

interface Subject {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
}

/** Three nodes, node 1 leads; batches of about 8 KiB, two of them fill a file, and the tail holds few. */
async function subject(records = 1): Promise<Subject> {
  const cluster = new BrokerCluster();
  const limits = { journalBytesMax: 20_000, groupBytesMax: 10_000, tailBytesMax: 20_000, spaceAheadBytes: 0 };
  cluster.logLimits = { ...limits, scrubBytesPerSecondMax: 0, rewriteBytesPerSecondMax: 0 };
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1000);
  await produce({ cluster, topic }, batches, 1, records);
  return { cluster, topic };
}

async function produce({ cluster, topic }: Subject, count: number, at = 1, records = 1): Promise<void> {
  const host = [...cluster.at(at).broker.hosts].find((each) => each.id.topicId === topic);
  const takes = (): boolean => host?.replica?.appendError(cluster.clock.monotonicMs()) === undefined;
  await cluster.clock.until('the leader takes records', takes);
  const client = new ProduceClient(cluster, at);
  for (let number = 0; number < count; number += 1) {
    const id = client.send(topic, producedBatch({ valueBytes: 8000 / records, records }));
    await cluster.clock.until('it is acked', () => client.results.has(id));
    expect(client.results.get(id)).toBeTypeOf('number');
  }
  client.close();
}

const logAt = ({ cluster, topic }: Subject, id: number): LogStore =>
  cluster.at(id).nodeLog.log({ topicId: topic, partition: partitionIndex(0), kind: LogKind.data });

const partitionOf = ({ cluster, topic }: Subject) => cluster.image.topic(topic)!.partitions[0]!;

/** Flips a bit in a finished file of the node: it was read and found right before. */
async function damage({ cluster }: Subject, id: number): Promise<void> {
  cluster.disks.get(id)!.flipBit(`/data/${await nameOfThird({ cluster }, id)}`, damagedAt);
}

async function nameOfThird({ cluster }: Pick<Subject, 'cluster'>, id: number): Promise<string | undefined> {
  const all = await cluster.settled(cluster.disks.get(id)!.list('/data'));
  return all.filter((name) => name.startsWith('journal-')).toSorted()[2];
}

async function allOf(it: Subject, id: number): Promise<readonly number[]> {
  const { cluster, topic } = it;
  const reader = new FetchClient(cluster, id);
  reader.read(topic, 1, 10_000_000);
  const isOver = (): boolean => reader.failures.has(1) || reader.runs.at(-1)?.nextOffset === logAt(it, id).endOffset;
  await cluster.clock.until('it is read', isOver);
  reader.close();
  expect([...reader.failures]).toEqual([]);
  return reader.offsets(1);
}

/** In sync everywhere, nothing lossy, nobody halted, and every byte of every log is there. */
async function expectWhole(it: Subject, end: number, records = 1): Promise<void> {
  const { cluster } = it;
  const isWhole = (id: number): boolean => logAt(it, id).endOffset === end && logAt(it, id).lossy === undefined;
  const healed = (): boolean => partitionOf(it).isr.length === 3 && [1, 2, 3].every(isWhole);
  await cluster.clock.until('all are in sync and whole', healed);
  for (const id of [1, 2, 3]) {
    const log = logAt(it, id);
    const bases: number[] = [];
    const scan = (async () => {
      for await (const { baseOffset } of log.headers(log.startOffset)) bases.push(baseOffset);
    })();
    await cluster.settled(scan);
    expect(bases).toEqual(Array.from({ length: end / records }, (_, at) => at * records));
    expect([log.lossy, cluster.at(id).halts]).toEqual([undefined, []]);
  }
  expect(partitionOf(it).refilling).toEqual([]);
}

async function meets(it: Subject, id: number): Promise<void> {
  const log = logAt(it, id);
  const read = (async () => {
    for await (const header of log.headers(log.startOffset)) if (header.recordCount === 0) return;
  })();
  await it.cluster.settled(read.catch(() => undefined));
  expect(it.cluster.at(id).nodeLog.stats.damages).toBe(1);
}

test('a follower: it leaves the in-sync replicas, begins again where it is intact, and comes back; nothing halts', async () => {
  const it = await subject();
  await damage(it, 2);
  await meets(it, 2);
  const { intactEnd } = logAt(it, 2).lossy!;
  expect(intactEnd).toBeGreaterThan(0);
  await it.cluster.clock.until('it has left', () => !partitionOf(it).isr.includes(nodeId(2)));
  expect([it.cluster.damageReports, partitionOf(it).leader]).toEqual([[2], 1]);
  await produce(it, 2);
  await expectWhole(it, batches + 2);
  // It is complete: alone with one other it leads, and has everything.
  it.cluster.kill(1);
  it.cluster.fence(1);
  await it.cluster.clock.until('node 2 leads', () => partitionOf(it).leader === 2);
  await produce(it, 1, 2);
  expect(await allOf(it, 2)).toHaveLength(batches + 3);
});

test('a leader: what a consumer meets costs it the lead, and the next leader has every record', async () => {
  const it = await subject();
  await damage(it, 1);
  const reader = new FetchClient(it.cluster, 1);
  reader.read(it.topic, 1, 10_000_000);
  await it.cluster.clock.until('the reader is refused', () => reader.failures.has(1));
  expect(['STORAGE_FAILED', 'NOT_LEADER']).toContain(reader.failures.get(1));
  await it.cluster.clock.until('another one leads', () => partitionOf(it).leader === 2);
  expect(await allOf(it, 2)).toHaveLength(batches);
  await produce(it, 2, 2);
  await expectWhole(it, batches + 2);
  expect(it.cluster.damageReports).toEqual([1]);
});

test('a footer that ends its file inside of a batch: the follower begins again where a batch ends, and is whole', async () => {
  const it = await subject(2);
  const { cluster } = it;
  cluster.kill(2);
  cluster.fence(2);
  const path = `/data/${await nameOfThird(it, 2)}`;
  const fileId = Number(/(\d+)\.log$/.exec(path)?.[1]);
  forgeFooter(cluster.disks.get(2)!, { path, fileId }, ({ summary, extents }) => ({
    summary: { ...summary, segmentEnd: summary.segmentEnd - 1 },
    extents,
  }));
  await cluster.start(2);
  expect(logAt(it, 2).endOffset % 2).toBe(0);
  expect(cluster.damageReports).toEqual([]);
  await produce(it, 2, 1, 2);
  await expectWhole(it, 2 * batches + 4, 2);
});

test('it joins by what it has since the cut, not by what it acked before', async () => {
  const it = await subject();
  await damage(it, 2);
  // What it is pushed from now on is not durable there, and all that it has acked before was.
  it.cluster.disks.get(2)!.holdSyncs();
  it.cluster.damageReplyMs = 1800;
  await meets(it, 2);
  await it.cluster.clock.until('it has left', () => !partitionOf(it).isr.includes(nodeId(2)));
  await it.cluster.clock.pass(1700);
  expect(partitionOf(it).isr).not.toContain(2);
  await it.cluster.clock.pass(3000);
  expect(partitionOf(it).isr).not.toContain(2);
  it.cluster.disks.get(2)!.releaseSyncs();
  await expectWhole(it, batches);
});

test('a place that the disk cannot read is damaged, and nothing halts', async () => {
  const it = await subject();
  let failed = 0;
  it.cluster.faults.set(2, ({ kind, path }) => {
    if (kind !== 'read' || !path.includes('/journal-') || failed > 0) return 'run';
    failed += 1;
    return { fail: 'EIO' };
  });
  await meets(it, 2);
  await expectWhole(it, batches);
  expect(it.cluster.damageReports).toEqual([2]);
});

test('nobody else can lead: it stays, leads on, and all but the damaged range is read and written', async () => {
  const it = await subject();
  it.cluster.kill(2);
  it.cluster.kill(3);
  it.cluster.fence(2, 3);
  await damage(it, 1);
  await meets(it, 1);
  await it.cluster.clock.until('it is answered', () => it.cluster.damageReports.length > 0);
  expect([partitionOf(it).leader, partitionOf(it).isr, partitionOf(it).elr]).toEqual([1, [1], [2, 3]]);
  const { intactEnd } = logAt(it, 1).lossy!;
  const reader = new FetchClient(it.cluster, 1);
  reader.read(it.topic, 1, 10_000_000);
  reader.read(it.topic, 2, 0, batches - 8);
  await it.cluster.clock.until('both are over', () => reader.failures.has(1) && reader.offsets(2).length === 8);
  expect([reader.offsets(1).length, reader.failures.get(1)]).toEqual([intactEnd, 'STORAGE_FAILED']);
  // The others come back complete: it leaves, and is filled again.
  await it.cluster.start(2, 3);
  await expectWhole(it, batches);
  expect(it.cluster.at(1).halts).toEqual([]);
});

test('elected as the longest log before it hears that it left: it leads uncut, nothing halts, and it leaves again', async () => {
  const it = await subject();
  const { cluster, topic } = it;
  const partition = partitionIndex(0);
  const brokerEpochOf = (id: number) => cluster.image.node(nodeId(id))!.brokerEpoch;
  await damage(it, 2);
  cluster.damageReplyMs = 400;
  await meets(it, 2);
  await cluster.clock.until('it has left', () => !partitionOf(it).isr.includes(nodeId(2)));
  for (const id of [1, 3]) {
    const about = { nodeId: nodeId(id), brokerEpoch: brokerEpochOf(id), topicId: topic, partition, serves: false };
    cluster.decide({ type: 'reportDamage', ...about });
  }
  const found = [1, 2, 3].map((id) => ({
    nodeId: nodeId(id),
    brokerEpoch: brokerEpochOf(id),
    lastEpoch: leaderEpoch(0),
    logEnd: offset(id === 2 ? batches : 2),
  }));
  const { leader } = cluster.decide({ type: 'recoverPartition', topicId: topic, partition, found });
  expect([leader, partitionOf(it).isr]).toEqual([2, [2]]);
  await expectWhole(it, batches);
});
