/** Retention over real brokers and logs with small files. Time, also the wall clock's jumps, is moved by hand. */
import { nodeId } from '@sluice/base';
import type { TopicId } from '@sluice/base';
import { expect, test, vi } from 'vitest';
import { BrokerCluster } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';

// Hours pass here, heartbeat by heartbeat.
vi.setConfig({ testTimeout: 60_000 });

const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;
const [all, leader] = [[1, 2, 3], 1];
const paused = 'retention by time pauses: the wall clock jumped';
const apart = 'retention by time pauses: wall clocks of nodes are more than an hour apart';

interface Subject {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
}

/** Three nodes, node 1 leads; batches of about 8 KiB, two of them fill a file. */
async function subject(config: Record<string, string>): Promise<Subject> {
  const cluster = new BrokerCluster();
  cluster.logLimits = { journalBytesMax: 20_000, groupBytesMax: 10_000, journalAgeMsMax: 60_000, spaceAheadBytes: 0 };
  await cluster.start(...all);
  const topic = cluster.createTopic({ config });
  await cluster.clock.pass(1000);
  expect(cluster.image.topic(topic)?.partitions[0]?.leader).toBe(leader);
  return { cluster, topic };
}

async function produce({ cluster, topic }: Subject, count: number, at = leader): Promise<void> {
  const client = new ProduceClient(cluster, at);
  for (let number = 0; number < count; number += 1) {
    const id = client.send(topic, producedBatch({ valueBytes: 8000 }));
    await cluster.clock.until('it is answered', () => client.results.has(id));
    expect(client.results.get(id)).toBeTypeOf('number');
  }
  client.close();
}

/** Where the log of the topic starts at each node that runs. */
const starts = ({ cluster, topic }: Subject): readonly number[] =>
  [...cluster.brokers.values()].map(({ nodeLog }) => {
    const id = nodeLog.logIds().find((each) => each.topicId === topic);
    return id === undefined ? -1 : nodeLog.log(id).startOffset;
  });

const replicaOf = ({ cluster, topic }: Subject, at: number) =>
  [...cluster.at(at).broker.hosts].find((host) => host.id.topicId === topic)?.replica;

test('what a partition has beyond its bytes goes at the next look, at followers too, and nothing needs to be appended', async () => {
  const it = await subject({ retentionMs: '-1', retentionBytes: '20000' });
  await produce(it, 9);
  expect(starts(it)).toEqual([0, 0, 0]);
  await it.cluster.clock.pass(40_000);
  const [start = 0] = starts(it);
  expect(start).toBeGreaterThanOrEqual(4);
  // At least what the topic wants is left.
  expect(start).toBeLessThanOrEqual(6);
  expect(starts(it)).toEqual([start, start, start]);
  expect(it.cluster.at(leader).broker.retention).toEqual({ paused: false, records: start });
  expect(it.cluster.at(2).broker.retention.records).toBe(0);
  for (const id of all) expect(it.cluster.at(id).nodeLog.stats.journalFiles).toBeLessThan(5);
  const reader = new FetchClient(it.cluster, leader);
  reader.read(it.topic, 1, 100_000, start);
  reader.read(it.topic, 2, 0, start - 1);
  await it.cluster.clock.until(
    'both are answered',
    () => reader.failures.has(2) && reader.offsets(1).length === 9 - start,
  );
  expect(reader.failures.get(2)).toBe('OFFSET_OUT_OF_RANGE');
});

test('what is older than its topic wants goes, and nothing younger', async () => {
  const it = await subject({ retentionMs: String(hourMs) });
  const kept = { ...it, topic: it.cluster.createTopic({ config: { retentionMs: '-1' } }) };
  await it.cluster.clock.pass(1000);
  await produce(it, 4);
  await produce(kept, 4, it.cluster.image.topic(kept.topic)?.partitions[0]?.leader ?? 0);
  await it.cluster.clock.pass(hourMs / 2);
  await produce(it, 1);
  await it.cluster.clock.pass(hourMs / 2 - 60_000);
  expect(starts(it)).toEqual([0, 0, 0]);
  await it.cluster.clock.pass(200_000);
  expect(starts(it)).toEqual([4, 4, 4]);
  await it.cluster.clock.pass(hourMs);
  expect(starts(it)).toEqual([5, 5, 5]);
  expect(starts(kept)).toEqual([0, 0, 0]);
  // An empty log goes on where it was.
  await produce(it, 1);
  expect([replicaOf(it, leader)?.logStart, replicaOf(it, leader)?.logEnd]).toEqual([5, 6]);
});

test.each([yearMs, -yearMs])(
  'a wall clock that jumps by %d ms deletes nothing, during the jump and after it',
  async (byMs) => {
    const it = await subject({ retentionMs: String(24 * hourMs) });
    const { clock } = it.cluster;
    await produce(it, 4);
    clock.jumpWall(byMs);
    // The oldest records of this one are from the time of the jump.
    const late = { ...it, topic: it.cluster.createTopic({ config: { retentionMs: String(24 * hourMs) } }) };
    await clock.pass(1000);
    await produce(late, 4, it.cluster.image.topic(late.topic)?.partitions[0]?.leader ?? 0);
    await clock.pass(hourMs);
    expect([starts(it), starts(late)]).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(it.cluster.at(leader).broker.retention.paused).toBe(true);
    expect(it.cluster.at(leader).warnings).toEqual([paused]);
    clock.jumpWall(-byMs);
    await clock.pass(hourMs);
    expect([starts(it), starts(late)]).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(it.cluster.at(leader).broker.retention.paused).toBe(false);
    expect(it.cluster.at(leader).warnings).toEqual([paused]);
  },
);

test('while the clocks of nodes disagree nothing goes by age; by size it does', async () => {
  const it = await subject({ retentionMs: '1000' });
  const sized = { ...it, topic: it.cluster.createTopic({ config: { retentionMs: '1000', retentionBytes: '20000' } }) };
  it.cluster.clocksAgree = false;
  await it.cluster.clock.pass(1000);
  await produce(it, 4);
  await produce(sized, 6, it.cluster.image.topic(sized.topic)?.partitions[0]?.leader ?? 0);
  await it.cluster.clock.pass(10 * 60_000);
  expect(starts(it)).toEqual([0, 0, 0]);
  expect(starts(sized)[0]).toBeGreaterThan(0);
  expect(starts(sized)[0]).toBeLessThan(6);
  expect(it.cluster.at(leader).warnings).toEqual([apart]);
  expect(it.cluster.at(leader).broker.retention.paused).toBe(true);
  it.cluster.clocksAgree = true;
  await it.cluster.clock.pass(2 * 60_000);
  expect(starts(it)).toEqual([4, 4, 4]);
  expect(starts(sized)).toEqual([6, 6, 6]);
});

test('what the in-sync replicas do not all have stays, however much it is (A1)', async () => {
  const it = await subject({ retentionMs: '-1', retentionBytes: '1024' });
  await produce(it, 1);
  const { cluster } = it;
  for (const follower of [2, 3]) cluster.network.cut('node1', `node${follower}`);
  const client = new ProduceClient(cluster, leader);
  for (let number = 0; number < 8; number += 1) client.send(it.topic, producedBatch({ valueBytes: 8000 }));
  await cluster.clock.until('they are appended', () => replicaOf(it, leader)?.durableEnd === 9);
  expect(replicaOf(it, leader)?.highWatermark).toBe(1);
  const { log } = [...cluster.at(leader).broker.hosts][0]!;
  expect(log.expiredEnd({ bytesMax: 1024 })).toBeGreaterThan(1);
  await cluster.clock.pass(40_000);
  expect([replicaOf(it, leader)?.logStart, replicaOf(it, leader)?.highWatermark]).toEqual([1, 1]);
  expect(cluster.at(leader).halts).toEqual([]);
});

test('a follower that was away begins where its leader does now', async () => {
  const it = await subject({ retentionMs: '-1', retentionBytes: '20000' });
  const { cluster } = it;
  await produce(it, 3);
  cluster.kill(3);
  cluster.fence(3);
  await produce(it, 9);
  await cluster.clock.pass(40_000);
  const [start = 0] = starts(it);
  expect(start).toBeGreaterThan(3);
  await cluster.start(3);
  await cluster.clock.until(
    'it is in sync',
    () => cluster.image.topic(it.topic)?.partitions[0]?.isr.includes(nodeId(3)) === true,
  );
  await cluster.clock.pass(1000);
  expect(starts(it)).toEqual([start, start, start]);
  expect(replicaOf(it, 3)?.logEnd).toBe(12);
  await produce(it, 1);
});

test('a leader that has not heard of the start serves what it has, until its own look', async () => {
  const it = await subject({ retentionMs: '-1', retentionBytes: '20000' });
  const { cluster } = it;
  await produce(it, 9);
  for (const follower of [2, 3]) cluster.network.cut('node1', `node${follower}`);
  // The followers keep up to the last moment: nothing is appended that they could lack.
  await cluster.clock.until('the leader has looked', () => (starts(it)[0] ?? 0) > 0, 60_000);
  const start = starts(it)[0] ?? 0;
  expect(starts(it)).toEqual([start, 0, 0]);
  cluster.kill(leader);
  cluster.fence(leader);
  await cluster.clock.until('another leads', () => replicaOf(it, 2)?.role === 'leader');
  await cluster.clock.until('it knows what is committed', () => replicaOf(it, 2)?.highWatermark === 9);
  const reader = new FetchClient(cluster, 2);
  reader.read(it.topic, 1, 200_000, 0);
  await cluster.clock.until('all is read', () => reader.offsets(1).length === 9);
  await cluster.clock.pass(40_000);
  expect(starts(it)).toEqual([start, start]);
  // The old leader starts no earlier than it did.
  await cluster.start(leader);
  await cluster.clock.pass(2000);
  expect(Math.min(...starts(it))).toBe(start);
});
