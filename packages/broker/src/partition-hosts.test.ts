import { LogKind, nodeId, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { brokerEpoch, leaderEpoch, partitionEpoch, producerEpoch, producerId } from '@sluice/base';
import { offset, sessionNumber, SluiceError } from '@sluice/base';
import type { LogId } from '@sluice/base';
import { patchBatch } from '@sluice/record';
import { DataDirectory, MemoryDisk, openNodeLog } from '@sluice/storage';
import type { NodeLog } from '@sluice/storage';
import { expect, test } from 'vitest';
import { checkedFacts } from './batch-facts.ts';
import { BrokerCluster, testBrokerConfig } from './broker-cluster.testing.ts';
import { producedBatch, ProduceClient } from './client-streams.testing.ts';
import { IsrNews } from './isr-news.ts';
import { PartitionCounts } from './partition-counts.ts';
import { PartitionHost } from './partition-host.ts';
import type { AppendOutcome } from './partition-host.ts';

const id: LogId = { topicId: topicId('a'.repeat(32)), partition: partitionIndex(0), kind: LogKind.data };

async function opened(cluster: BrokerCluster, disk: MemoryDisk, halts: Error[]): Promise<NodeLog> {
  const { clock } = cluster;
  const directory = await cluster.settled(DataDirectory.open(disk, '/host'));
  const halt = { halt: (reason: Error): void => void halts.push(reason) };
  return cluster.settled(openNodeLog({ directory, clock, halt, logger: silentLogger }));
}

/** One host on a log that was written in an earlier life, so that loading reads the disk. */
async function hostOfOldLog() {
  const cluster = new BrokerCluster();
  const halts: Error[] = [];
  const reports: LogId[] = [];
  const loaded: PartitionHost[] = [];
  const disk = new MemoryDisk({ complete: (run) => cluster.clock.defer(run) });
  const before = await opened(cluster, disk, halts);
  for (let at = 0; at < 3; at += 1) {
    const batch = producedBatch();
    patchBatch(batch, 0, { baseOffset: offset(at), leaderEpoch: leaderEpoch(0) });
    before.log(id).append(batch, { baseOffset: offset(at), endOffset: offset(at + 1) });
  }
  await cluster.settled(before.close());
  disk.crash({ keep: 'everything' });
  const nodeLog = await opened(cluster, disk, halts);
  const host = new PartitionHost({
    self: nodeId(1),
    id,
    topicName: 'orders',
    log: nodeLog.log(id),
    refusal: () => undefined,
    counts: new PartitionCounts(),
    isrNews: new IsrNews(silentLogger),
    config: testBrokerConfig,
    liveness: { heardAtMs: () => cluster.clock.monotonicMs(), controllerHeardAtMs: () => cluster.clock.monotonicMs() },
    ports: {
      send: () => undefined,
      stopFollowing: () => undefined,
      startPush: () => undefined,
      stopPush: () => undefined,
      ack: () => undefined,
      proposeIsr: () => undefined,
      reportDamage: (damaged) => void reports.push(damaged.id),
      loaded: (one) => void loaded.push(one),
    },
    clock: cluster.clock,
    logger: silentLogger,
    halt: { halt: (reason) => void halts.push(reason) },
  });
  return { cluster, host, halts, nodeLog, disk, reports, loaded };
}

const assignedTo = (leader: number, epoch: number) => ({
  kind: 'assigned' as const,
  leader: nodeId(leader),
  leaderEpoch: leaderEpoch(epoch),
  partitionEpoch: partitionEpoch(epoch),
  replicas: [1, 2].map((node) => ({ nodeId: nodeId(node), brokerEpoch: brokerEpoch(5), eligible: true })),
  isr: [nodeId(1)],
  elr: [],
  recoveredEpoch: undefined,
  durability: 'fsync' as const,
  minIsr: 1,
  selfBrokerEpoch: brokerEpoch(5),
  nowMs: 1_000,
});

function append(host: PartitionHost): AppendOutcome[] {
  const outcomes: AppendOutcome[] = [];
  const batch = producedBatch();
  const header = { recordCount: 1, producerId: -1, producerEpoch: -1, baseSequence: -1 };
  host.append({
    batch,
    header: header as never,
    acks: 'all',
    timeoutMs: 5_000,
    done: (outcome) => outcomes.push(outcome),
  });
  return outcomes;
}

test('until the log is loaded nothing is taken, and of the assignments meanwhile the last one counts (H2)', async () => {
  const { cluster, host } = await hostOfOldLog();
  void host.load();
  host.assigned(assignedTo(1, 1));
  host.assigned(assignedTo(2, 2));
  expect([append(host)[0], host.replica]).toMatchObject([{ error: { code: 'NOT_LEADER', definite: true } }, undefined]);
  await cluster.clock.settle();
  expect([host.replica?.role, host.replica?.leaderEpoch, host.replica?.logEnd]).toEqual(['follower', 2, 3]);
});

test('a topic that is deleted while its log is being read stops nothing (H3)', async () => {
  const { cluster, host, halts, nodeLog } = await hostOfOldLog();
  void host.load();
  host.delete();
  await cluster.clock.settle();
  expect([halts, nodeLog.logIds(), append(host)]).toMatchObject([[], [], [{ error: { code: 'NOT_LEADER' } }]]);
});

test('a leader stamps each batch once, with its epoch and offset, before anyone sees it (H1)', async () => {
  const { cluster, host } = await hostOfOldLog();
  void host.load();
  host.assigned(assignedTo(1, 4));
  await cluster.clock.settle();
  const outcomes = append(host);
  await cluster.clock.settle();
  expect(outcomes).toEqual([{ baseOffset: 3 }]);
  const headers = [];
  for await (const header of host.log.headers(offset(3))) headers.push([header.baseOffset, header.leaderEpoch]);
  expect(headers).toEqual([[3, 4]]);
});

test('damage that loading meets stops nothing: it is reported, cut once metadata says so, and what is left is loaded (H8)', async () => {
  const { cluster, host, halts, disk, reports } = await hostOfOldLog();
  const second = producedBatch();
  patchBatch(second, 0, { baseOffset: offset(1), leaderEpoch: leaderEpoch(0) });
  const names = await cluster.settled(disk.list('/host'));
  const path = `/host/${names.find((name) => name.startsWith('journal-'))}`;
  disk.flipBit(path, Buffer.from(disk.durableBytes(path)).indexOf(second) + second.length - 3);
  void host.load();
  host.assigned(assignedTo(2, 1));
  await cluster.clock.settle();
  expect([host.replica, reports.length, halts]).toEqual([undefined, 1, []]);
  host.damageReported(partitionEpoch(3));
  host.assigned(assignedTo(2, 2));
  await cluster.clock.settle();
  expect([host.replica, host.log.endOffset]).toEqual([undefined, 3]);
  host.assigned({ ...assignedTo(2, 3), isr: [nodeId(2)] });
  await cluster.clock.settle();
  expect([host.replica?.role, host.replica?.logEnd, host.mayHeal, halts]).toEqual(['follower', 1, true, []]);
});

test('damage that another reader meets while the log is loaded has it loaded anew, once (H8)', async () => {
  const { cluster, host, halts, reports, loaded } = await hostOfOldLog();
  void host.load();
  host.assigned(assignedTo(2, 1));
  host.log.onLossy?.({ id, intactEnd: offset(1), knownEnd: undefined, where: 'a file', whileOpen: true });
  host.damageReported(partitionEpoch(2));
  host.assigned({ ...assignedTo(2, 2), isr: [nodeId(2)] });
  await cluster.clock.settle();
  expect([host.replica?.role, reports.length, loaded.length, halts]).toEqual(['follower', 1, 1, []]);
});

test('damage in what came since the log was cut stops nothing: all of that goes again, and its producers are read then (H8)', async () => {
  const { cluster, host, halts, reports } = await hostOfOldLog();
  void host.load();
  host.assigned({ ...assignedTo(2, 1), isr: [nodeId(2)] });
  await cluster.clock.settle();
  const bytes = producedBatch({
    stamp: { producerId: producerId(7), producerEpoch: producerEpoch(0), baseSequence: 0 },
  });
  patchBatch(bytes, 0, { baseOffset: offset(3), leaderEpoch: leaderEpoch(1) });
  const of = { leaderEpoch: leaderEpoch(1), session: sessionNumber(1) };
  host.pushed({ ...of, highWatermark: offset(0), logStart: offset(0) }, [{ bytes, facts: checkedFacts(bytes) }]);
  const headers = host.log.headers.bind(host.log);
  host.log.headers = () => {
    throw new SluiceError('STORAGE_FAILED');
  };
  Object.defineProperty(host.log, 'lossy', {
    value: { id, intactEnd: offset(1), knownEnd: undefined, where: 'a file' },
  });
  host.step({ kind: 'diverged', ...of, epoch: leaderEpoch(0), endOffset: offset(3) });
  await cluster.clock.settle();
  expect([reports.length, halts]).toEqual([1, []]);
  host.log.headers = headers;
  host.damageReported(partitionEpoch(2));
  host.assigned({ ...assignedTo(2, 2), isr: [nodeId(2)] });
  await cluster.clock.settle();
  expect([host.log.endOffset, host.replica?.producerWindows()?.size, halts]).toEqual([1, 0, []]);
});

test('a disk that fails stops the node, acks nothing, and whoever asks is still answered (H3, H6)', async () => {
  const { cluster, host, halts, disk } = await hostOfOldLog();
  void host.load();
  host.assigned(assignedTo(1, 1));
  await cluster.clock.settle();
  disk.failSyncs();
  const parked = append(host);
  await cluster.clock.settle();
  expect([parked, halts.length]).toEqual([[], 1]);
  expect(append(host)).toMatchObject([{ error: { code: 'STORAGE_FAILED', definite: false } }]);
  expect(parked).toMatchObject([{ error: { code: 'STORAGE_FAILED', definite: false } }]);
  expect(append(host)).toMatchObject([{ error: { code: 'NOT_LEADER' } }]);
});

test('nothing is led or followed before the registration is applied here (H4)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1);
  cluster.at(1).feed.held = true;
  const topic = cluster.createTopic();
  await cluster.clock.pass(500);
  expect([...cluster.at(1).broker.hosts]).toEqual([]);
  const client = new ProduceClient(cluster, 1);
  client.send(topic, producedBatch());
  await cluster.clock.until('it is answered', () => client.results.size === 1);
  expect(client.results.get(1)).toBe('UNKNOWN_TOPIC');
  cluster.at(1).feed.held = false;
  cluster.at(1).feed.catchUp();
  await cluster.clock.pass(100);
  expect([...cluster.at(1).broker.hosts].map((host) => host.replica?.role)).toEqual(['leader']);
});

test('a log that no metadata names is left alone; one whose topic is deleted goes (H5)', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1);
  const { nodeLog } = cluster.at(1);
  nodeLog.log(id);
  const topic = cluster.createTopic({ name: 'orders' });
  await cluster.clock.pass(100);
  expect(
    nodeLog
      .logIds()
      .map((log) => log.topicId)
      .toSorted(),
  ).toEqual([topic, id.topicId]);
  cluster.deleteTopic('orders');
  await cluster.clock.pass(100);
  expect(nodeLog.logIds()).toEqual([id]);
  expect([...cluster.at(1).broker.hosts]).toEqual([]);
});

test('what waits when the node stops is answered SHUTTING_DOWN, indefinite', async () => {
  const cluster = new BrokerCluster();
  await cluster.start(1);
  const topic = cluster.createTopic();
  await cluster.clock.pass(300);
  cluster.disks.get(1)?.holdSyncs();
  const client = new ProduceClient(cluster, 1);
  client.send(topic, producedBatch());
  await cluster.clock.settle();
  cluster.at(1).broker.stop();
  await cluster.clock.settle();
  expect([client.results.get(1), client.definite.get(1)]).toEqual(['SHUTTING_DOWN', false]);
});
