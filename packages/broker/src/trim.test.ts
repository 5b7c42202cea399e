/** Trims over real brokers and logs: what was deleted stays deleted, on every node that may lead. */
import { LogKind, partitionIndex, toSluiceError } from '@sluice/base';
import type { SluiceError, TopicId } from '@sluice/base';
import type { LogStore } from '@sluice/storage';
import { decodeError, methods } from '@sluice/wire';
import { expect, test } from 'vitest';
import { BrokerCluster, clientAddress } from './broker-cluster.testing.ts';
import { FetchClient, producedBatch, ProduceClient } from './client-streams.testing.ts';

interface Subject {
  readonly cluster: BrokerCluster;
  readonly topic: TopicId;
}

const leader = 1;

/** Three nodes, node 1 leads, batches of ten records. */
async function subject(batches: number): Promise<Subject> {
  const cluster = new BrokerCluster();
  await cluster.start(1, 2, 3);
  const topic = cluster.createTopic();
  await cluster.clock.pass(1000);
  await produce({ cluster, topic }, batches);
  return { cluster, topic };
}

async function produce({ cluster, topic }: Subject, batches: number, at = leader): Promise<void> {
  const client = new ProduceClient(cluster, at);
  for (let number = 0; number < batches; number += 1) {
    const id = client.send(topic, producedBatch({ records: 10 }));
    await cluster.clock.until('it is acked', () => client.results.has(id));
    expect(client.results.get(id)).toBeTypeOf('number');
  }
  client.close();
}

const logAt = ({ cluster, topic }: Subject, id: number): LogStore =>
  cluster.at(id).nodeLog.log({ topicId: topic, partition: partitionIndex(0), kind: LogKind.data });

/** The log start, or the error. */
async function trim({ cluster, topic }: Subject, before: number, at = leader): Promise<number | SluiceError> {
  const partitions = [{ partition: { topicId: topic, partition: 0 }, before }];
  const call = cluster.rpc.unary(methods.broker.trimPartitions, clientAddress(at), { partitions }, { timeoutMs: 3000 });
  const [trimmed] = (await cluster.settled(call)).partitions;
  return trimmed?.error ? decodeError(trimmed.error) : (trimmed?.logStart ?? -1);
}

/** From an offset to the end: base offsets of the batches, or why not. */
async function readFrom({ cluster, topic }: Subject, at: number, from: number): Promise<readonly number[] | string> {
  const reader = new FetchClient(cluster, at);
  reader.read(topic, 1, 1_000_000, from);
  await cluster.clock.until('it is read', () => reader.failures.has(1) || reader.runs.at(-1)?.nextOffset === 30);
  reader.close();
  return reader.failures.get(1) ?? reader.offsets(1);
}

async function leads({ cluster, topic }: Subject, id: number): Promise<void> {
  const known = (): boolean => {
    const host = [...cluster.at(id).broker.hosts].find((each) => each.id.topicId === topic);
    const { replica } = host ?? {};
    return (
      replica?.latestOffset().error === undefined && replica?.appendError(cluster.clock.monotonicMs()) === undefined
    );
  };
  await cluster.clock.until(`node ${id} leads`, known);
}

test('an offset inside a batch: it is gone at once, on the disk of every node, and for the next leader', async () => {
  const it = await subject(3);
  expect(await trim(it, 15)).toBe(15);
  for (const id of [1, 2, 3]) expect(logAt(it, id).durableStart).toBe(15);
  expect(await readFrom(it, leader, 14)).toBe('OFFSET_OUT_OF_RANGE');
  expect(await readFrom(it, leader, 15)).toEqual([10, 20]);
  // What is gone already is no error, and says where the log starts.
  expect(await trim(it, 3)).toBe(15);
  it.cluster.kill(leader);
  it.cluster.fence(leader);
  await leads(it, 2);
  expect(await readFrom(it, 2, 14)).toBe('OFFSET_OUT_OF_RANGE');
  expect(await readFrom(it, 2, 15)).toEqual([10, 20]);
  expect(await trim(it, 30, 2)).toBe(30);
  expect(await readFrom(it, 2, 29)).toBe('OFFSET_OUT_OF_RANGE');
  await produce(it, 1, 2);
  expect(logAt(it, 2).endOffset).toBe(40);
});

test('a held sync of one follower holds the answer, which then is indefinite; asked again it waits again', async () => {
  const it = await subject(3);
  it.cluster.disks.get(3)?.holdSyncs();
  const late = await trim(it, 15);
  expect(late).toMatchObject({ code: 'TIMEOUT', definite: false });
  expect([logAt(it, 1).durableStart, logAt(it, 2).durableStart, logAt(it, 3).durableStart]).toEqual([15, 15, 0]);
  const again = trim(it, 15);
  it.cluster.disks.get(3)?.releaseSyncs();
  expect(await again).toBe(15);
  expect(logAt(it, 3).durableStart).toBe(15);
});

test('past the committed end nothing is deleted, and the error says so; a node that does not lead refuses', async () => {
  const it = await subject(3);
  const past = await trim(it, 31);
  expect(past).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', definite: true, details: { highWatermark: 30 } });
  expect((past as SluiceError).message).toContain('nothing was');
  expect(logAt(it, leader).startOffset).toBe(0);
  expect(await trim(it, 15, 2)).toMatchObject({ code: 'NOT_LEADER', definite: true, details: { leader } });
  const request = { partitions: [{ before: 1 }] };
  const nameless = it.cluster.rpc.unary(methods.broker.trimPartitions, clientAddress(1), request, { timeoutMs: 1000 });
  const answer = await it.cluster.settled(nameless.catch(toSluiceError));
  expect(answer).toMatchObject({ partitions: [{ error: { code: 'INVALID_REQUEST' } }] });
});

test('a node that was away, and one that comes with an empty disk, begin at the start inside a batch', async () => {
  const it = await subject(2);
  it.cluster.kill(3);
  it.cluster.fence(3);
  await produce(it, 1);
  expect(await trim(it, 25)).toBe(25);
  await it.cluster.start(3);
  const whole = (): boolean => it.cluster.image.topic(it.topic)?.partitions[0]?.isr.length === 3;
  await it.cluster.clock.until('node 3 is in sync', whole);
  expect([logAt(it, 3).durableStart, logAt(it, 3).endOffset]).toEqual([25, 30]);
  it.cluster.kill(2);
  it.cluster.disks.delete(2);
  it.cluster.fence(2);
  await it.cluster.start(2);
  await it.cluster.clock.until('node 2 is in sync', whole);
  expect([logAt(it, 2).durableStart, logAt(it, 2).endOffset]).toEqual([25, 30]);
  it.cluster.kill(1);
  it.cluster.fence(1);
  await leads(it, 2);
  expect(await readFrom(it, 2, 24)).toBe('OFFSET_OUT_OF_RANGE');
  expect(await readFrom(it, 2, 25)).toEqual([20]);
});
