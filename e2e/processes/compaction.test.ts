/** Compaction over real processes and disks: every replica shrinks to the newest of each key, and reads the same. */
import { expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { metric } from '../node-figures.ts';
import type { NodeFacts } from '../node-processes.ts';
import { until } from '../until.ts';

const MiB = 1024 ** 2;
/** Small files that are soon finished, looked at often. */
const environment = { SLUICE_PROFILE: 'tiny', SLUICE_RETENTION_CHECK_MS: '200', SLUICE_JOURNAL_AGE_MS_MAX: '10000' };
const keys = 100;
const rounds = 160;
const valueBytes = 1000;
const topic = 'states';

async function live(node: NodeFacts): Promise<number> {
  return (await metric(node, 'sluice_log_live_bytes')) ?? Number.POSITIVE_INFINITY;
}

/** Every key `rounds` times in turn; at the end the first ten of them are over. */
async function produce(cluster: LocalCluster): Promise<Map<string, string>> {
  const newest = new Map<string, string>();
  await using producer = cluster.client.producer({ batchBytesMax: 16 * 1024, compression: 'lz4' });
  for (let round = 0; round < rounds; round += 1) {
    const sends = Array.from({ length: keys }, (_, key) => {
      // Half of it does not compress.
      const noise = Array.from({ length: valueBytes / 4 }, () => Math.random().toString(36).slice(2, 4)).join('');
      const value = `${round}:${noise}${'x'.repeat(valueBytes / 2)}`;
      newest.set(`key ${key}`, value);
      return producer.send(topic, { key: `key ${key}`, value });
    });
    await Promise.all(sends);
  }
  for (let key = 0; key < 10; key += 1) {
    await producer.send(topic, { key: `key ${key}`, value: null });
    newest.delete(`key ${key}`);
  }
  return newest;
}

interface Read {
  readonly records: number;
  readonly newest: ReadonlyMap<string, string>;
}

/** From the start to the end, as an application that keeps the newest of each key. */
async function readAll(cluster: LocalCluster): Promise<Read> {
  const newest = new Map<string, string>();
  const [bounds] = await cluster.client.admin.listOffsets(topic);
  const end = bounds?.highWatermark ?? 0;
  await using consumer = cluster.client.consumer({ assignments: [{ topic, partition: 0, from: 'start' }] });
  let [records, last] = [0, -1];
  for await (const batch of consumer.batches()) {
    for (const { offset, key, value } of batch.records()) {
      expect(offset).toBeGreaterThan(last);
      last = offset;
      records += 1;
      const name = Buffer.from(key ?? []).toString();
      if (value === null) newest.delete(name);
      else newest.set(name, Buffer.from(value).toString());
    }
    if (batch.nextOffset >= end) break;
  }
  return { records, newest };
}

const sorted = (map: ReadonlyMap<string, string>): readonly (readonly [string, string])[] =>
  [...map].toSorted(([a], [b]) => (a < b ? -1 : 1));

test('a topic of many updates shrinks on all nodes, and a reader from the start gets the newest of each key', async () => {
  await using cluster = await LocalCluster.start({ environment });
  const config = { cleanupPolicy: 'compact', tombstoneRetentionMs: '3600000' };
  await cluster.client.admin.createTopic({ name: topic, replication: 3, config });
  const newest = await produce(cluster);
  const producedBytes = keys * rounds * valueBytes * 0.5;
  const small = async (): Promise<true | undefined> => {
    const each = await Promise.all(cluster.nodes.map((node) => live(node)));
    return each.every((bytes) => bytes < producedBytes / 8) ? true : undefined;
  };
  const standing = async (): Promise<string> => {
    const each = await Promise.all(cluster.nodes.map((node) => live(node)));
    return `${each.map((bytes) => (bytes / MiB).toFixed(1)).join(', ')} MiB live`;
  };
  let last = '';
  const look = async (): Promise<true | undefined> => {
    last = await standing();
    return small();
  };
  await until(look, { what: 'compaction on all nodes', timeoutMs: 60_000, everyMs: 200, standing: () => last });
  const read = await readAll(cluster);
  expect(sorted(read.newest)).toEqual(sorted(newest));
  expect(read.records).toBeLessThan((keys * rounds) / 8);
  // Whoever leads next has compacted by itself, and holds the same.
  const leader = await cluster.leaderOf(topic, 0);
  await cluster.kill(leader ?? 0);
  const next = async (): Promise<true | undefined> => {
    const now = await cluster.leaderOf(topic, 0);
    return now !== undefined && now !== 0 && now !== leader ? true : undefined;
  };
  await until(next, { what: 'another leader', timeoutMs: 20_000 });
  expect(sorted((await readAll(cluster)).newest)).toEqual(sorted(newest));
  await cluster.start(leader ?? 0);
  await cluster.waitHealthy();
  expect(sorted((await readAll(cluster)).newest)).toEqual(sorted(newest));
}, 120_000);
