/** A trim over real processes and disks: what it deleted stays deleted when its leader is killed, and when all are. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toSluiceError } from '@sluice/base';
import type { ConsumedRecord } from '@sluice/client';
import { LocalCluster } from '../cluster.ts';
import { until } from '../until.ts';

const topic = 'trimmed';
const records = 1000;
/** Inside a batch: all records are sent at once. */
const before = 357;
const open = new AsyncDisposableStack();
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start());
});
afterAll(() => open.disposeAsync());

async function readAll(from: 'start' | number): Promise<readonly number[]> {
  await using consumer = cluster.client.consumer({ assignments: [{ topic, partition: 0, from }] });
  const offsets: number[] = [];
  for await (const batch of consumer.batches()) {
    for (const { offset } of batch.records() as Iterable<ConsumedRecord>) offsets.push(offset);
    if (batch.nextOffset >= records) break;
  }
  return offsets;
}

async function expectTrimmed(): Promise<void> {
  expect(await readAll('start')).toEqual(Array.from({ length: records - before }, (_, at) => before + at));
  for (const from of [0, before - 1]) {
    expect(await readAll(from).then(() => undefined, toSluiceError)).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' });
  }
  const [bounds] = await cluster.client.admin.listOffsets(topic);
  expect(bounds).toMatchObject({ logStart: before, highWatermark: records });
}

test('after SIGKILL of the leader, and of all nodes, nothing older than the trim is read, and everything newer is', async () => {
  const { admin } = cluster.client;
  await admin.createTopic({ name: topic, replication: 3 });
  const producer = cluster.client.producer();
  await Promise.all(Array.from({ length: records }, (_, at) => producer.send(topic, { value: `${at}`, partition: 0 })));
  await producer.close();
  const leader = await cluster.leaderOf(topic, 0);
  expect(await admin.trim(topic, [{ partition: 0, before }])).toEqual([{ partition: 0, logStart: before }]);
  await cluster.kill(leader);
  const next = async (): Promise<true | undefined> =>
    (await cluster.leaderOf(topic, 0)) === leader ? undefined : true;
  await until(next, { what: 'another leader', timeoutMs: 20_000 });
  await expectTrimmed();
  await cluster.start(leader);
  await cluster.waitHealthy();
  await cluster.kill(1, 2, 3);
  await cluster.start(1, 2, 3);
  await cluster.waitHealthy();
  await expectTrimmed();
});
