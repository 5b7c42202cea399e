/** Retention by size and by age over real processes and disks: space comes back everywhere, and what is left is whole. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toSluiceError } from '@sluice/base';
import { verdict } from '@sluice/sim/ledger';
import type { PlacedRecord } from '@sluice/sim/ledger';
import { LocalCluster } from '../cluster.ts';
import { Load } from '../load.ts';
import { metric } from '../node-figures.ts';
import type { NodeFacts } from '../node-processes.ts';
import { Reader } from '../reader.ts';
import { until } from '../until.ts';

const MiB = 1024 ** 2;
/** Small files, looked at often; nodes that are started again have the same. */
const environment = { SLUICE_PROFILE: 'tiny', SLUICE_RETENTION_CHECK_MS: '200' };
const producedBytes = 12 * MiB;
const open = new AsyncDisposableStack();
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start({ environment }));
});
afterAll(() => open.disposeAsync());

interface Bounds {
  readonly start: number;
  readonly end: number;
}

async function bounds(topic: string): Promise<Bounds> {
  const [only] = await cluster.client.admin.listOffsets(topic);
  return { start: only?.logStart ?? -1, end: only?.highWatermark ?? -1 };
}

/** Bytes of the journal files of each node. */
async function disks(): Promise<readonly number[]> {
  const bytesOf = (node: NodeFacts): Promise<number | undefined> => metric(node, 'sluice_log_disk_bytes');
  return Promise.all(cluster.nodes.map(async (node) => (await bytesOf(node)) ?? Number.POSITIVE_INFINITY));
}

/** About `producedBytes` in records of 10 KB. */
async function produce(topic: string): Promise<Load> {
  const load = open.use(new Load({ sluice: cluster.client, topic, rate: 400, valueBytes: 10_000 }));
  const look = (): true | undefined => (load.acked.length * 10_000 >= producedBytes ? true : undefined);
  await until(look, { what: 'producing', timeoutMs: 60_000, standing: () => `${load.acked.length} acked` });
  await load.stop();
  expect([...load.failures]).toEqual([]);
  return load;
}

async function whatIsLeft(topic: string): Promise<readonly PlacedRecord[]> {
  await using reader = new Reader(cluster.client, topic, 1);
  await reader.readToEnd(30_000);
  return reader.consumed;
}

/** Everything that was acked from the start on, each once and in its place, and no offset without a record. */
function expectWhole(load: Load, consumed: readonly PlacedRecord[], { start, end }: Bounds): void {
  expect(consumed.map(({ offset }) => offset)).toEqual(Array.from({ length: end - start }, (_, at) => start + at));
  const left = load.acked.filter(({ offset }) => offset >= start);
  expect(left).toHaveLength(end - start);
  expect(verdict(left, consumed, load.sent)).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, unexpected: 0 });
}

async function settledStart(topic: string): Promise<Bounds> {
  let [before, since] = [-1, performance.now()];
  const look = async (): Promise<Bounds | undefined> => {
    const now = await bounds(topic);
    if (now.start !== before) [before, since] = [now.start, performance.now()];
    return now.start > 0 && performance.now() - since > 1000 ? now : undefined;
  };
  return until(look, { what: 'the end of retention', timeoutMs: 30_000, everyMs: 50 });
}

test('by size: the disks of all nodes shrink, also of one that was away, and what is left is whole', async () => {
  const topic = 'sized';
  const config = { retentionMs: '-1', retentionBytes: String(2 * MiB) };
  await cluster.client.admin.createTopic({ name: topic, replication: 3, config });
  // The next in order leads when the leader is gone.
  const [leader = 0, follower = 0] = (await cluster.client.admin.describeTopic(topic)).partitions[0]?.replicas ?? [];
  expect(await cluster.leaderOf(topic, 0)).toBe(leader);
  await cluster.kill(follower);
  const load = await produce(topic);
  await cluster.start(follower);
  await cluster.waitHealthy();
  const left = await settledStart(topic);
  const small = async (): Promise<true | undefined> => {
    const each = await disks();
    return each.every((bytes) => bytes > 2 * MiB && bytes < producedBytes / 2) ? true : undefined;
  };
  await until(small, { what: 'free space on all nodes', timeoutMs: 20_000, everyMs: 100 });
  expectWhole(load, await whatIsLeft(topic), left);
  expect((left.end - left.start) * 10_000).toBeGreaterThanOrEqual(2 * MiB - MiB / 10);
  const below = cluster.client.consumer({ assignments: [{ topic, partition: 0, from: left.start - 1 }] });
  const first = below.batches()[Symbol.asyncIterator]().next();
  const refused = await first.then(() => undefined, toSluiceError);
  expect(refused).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', details: { topic, offset: left.start - 1 } });
  expect(refused?.message).toContain('seek to start');
  await below.close();
  await cluster.kill(leader);
  const next = async (): Promise<true | undefined> =>
    (await cluster.leaderOf(topic, 0)) === follower ? true : undefined;
  await until(next, { what: 'another leader', timeoutMs: 20_000 });
  expect(await bounds(topic)).toEqual(left);
  expectWhole(load, await whatIsLeft(topic), left);
  await cluster.start(leader);
  await cluster.waitHealthy();
  // Files go oldest first: what this topic keeps would keep those of the next test.
  await cluster.client.admin.deleteTopic(topic);
});

test('by age: what is older goes by itself while nothing is appended, and what comes after is whole', async () => {
  const topic = 'aged';
  // Longer than producing takes: what goes has no append behind it by which followers could hear of it.
  await cluster.client.admin.createTopic({ name: topic, replication: 3, config: { retentionMs: '6000' } });
  const load = await produce(topic);
  const left = await settledStart(topic);
  expectWhole(load, await whatIsLeft(topic), left);
  expect((left.end - left.start) * 10_000).toBeLessThan(3 * MiB);
  const small = async (): Promise<true | undefined> => {
    const each = await disks();
    return each.every((bytes) => bytes < producedBytes / 2) ? true : undefined;
  };
  await until(small, { what: 'free space on all nodes', timeoutMs: 20_000, everyMs: 100 });
  const producer = cluster.client.producer({ acks: 'all' });
  const sent = await Promise.all(Array.from({ length: 10 }, (_, id) => producer.send(topic, { value: `${id} .` })));
  await producer.close();
  expect(sent.map(({ offset }) => offset)).toEqual(sent.map((_, at) => left.end + at));
  expect((await whatIsLeft(topic)).slice(-10)).toEqual(
    sent.map(({ partition, offset }, id) => ({ id, partition, offset })),
  );
});
