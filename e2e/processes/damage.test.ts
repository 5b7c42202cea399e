/**
 * Bytes of finished journal files are flipped while the nodes run, of a follower and of a leader: no record is lost, no
 * node halts, and both replicas are whole again without anybody's help.
 */
import { closeSync, openSync, readdirSync, readSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verdict } from '@sluice/sim/ledger';
import { LocalCluster } from '../cluster.ts';
import { Load } from '../load.ts';
import { metric } from '../node-figures.ts';
import { isAlive } from '../node-processes.ts';
import { Reader } from '../reader.ts';
import { until } from '../until.ts';

const topic = 'damaged';
const KiB = 1024;
const MiB = 1024 ** 2;
/** Files and tail of 1 MiB, which stay as they are. What nobody reads, the scrubber reads within seconds. */
const environment = {
  SLUICE_PROFILE: 'tiny',
  SLUICE_REWRITE_BYTES_PER_SECOND_MAX: '0',
  SLUICE_SCRUB_INTERVAL_MS: '5000',
  SLUICE_SCRUB_BYTES_PER_SECOND_MAX: String(16 * MiB),
};
const producedBytes = 6 * MiB;
const open = new AsyncDisposableStack();
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = open.use(await LocalCluster.start({ environment }));
});
afterAll(() => open.disposeAsync());

async function produce(bytes: number): Promise<Load> {
  const load = open.use(new Load({ sluice: cluster.client, topic, rate: 400, valueBytes: 10_000 }));
  const look = (): true | undefined => (load.acked.length * 10_000 >= bytes ? true : undefined);
  await until(look, { what: 'producing', timeoutMs: 60_000, standing: () => `${load.acked.length} acked` });
  await load.stop();
  expect([...load.failures]).toEqual([]);
  return load;
}

/** Flips a byte in every 64 KiB of a finished file that is no more in the tail. */
function damage(id: number): void {
  const { data } = cluster.node(id);
  const files = readdirSync(data).filter((name) => name.startsWith('journal-'));
  const file = path.join(data, files.toSorted()[1] ?? '');
  const descriptor = openSync(file, 'r+');
  try {
    const byte = new Uint8Array(1);
    for (let at = 100 * KiB; at < statSync(file).size - 100 * KiB; at += 64 * KiB) {
      readSync(descriptor, byte, 0, 1, at);
      byte[0] = (byte[0] ?? 0) ^ 0xff;
      writeSync(descriptor, byte, 0, 1, at);
    }
  } finally {
    closeSync(descriptor);
  }
}

const damagesAt = async (id: number): Promise<number> =>
  (await metric(cluster.node(id), 'sluice_log_damage_total')) ?? 0;

async function found(id: number): Promise<void> {
  const look = async (): Promise<true | undefined> => ((await damagesAt(id)) > 0 ? true : undefined);
  await until(look, { what: `damage found by node ${id}`, timeoutMs: 100_000, everyMs: 100 });
}

async function expectWhole(load: Load): Promise<void> {
  const look = async (): Promise<true | undefined> => {
    const { partitions } = await cluster.client.admin.describeTopic(topic);
    return partitions[0]?.isr.length === 3 ? true : undefined;
  };
  await until(look, { what: 'all replicas in sync', timeoutMs: 60_000, everyMs: 100 });
  await using reader = new Reader(cluster.client, topic, 1);
  await reader.readToEnd(60_000);
  expect(verdict(load.acked, reader.consumed, load.sent)).toMatchObject({ lost: 0, duplicated: 0, reordered: 0 });
  for (const { pid } of cluster.nodes) expect(isAlive(pid)).toBe(true);
}

test('flipped bytes of a follower, then of the leader: every acked record is read, nobody halts, all are whole again', async () => {
  await cluster.client.admin.createTopic({ name: topic, replication: 3 });
  const load = await produce(producedBytes);
  const leader = await cluster.leaderOf(topic, 0);
  const follower = [1, 2, 3].find((id) => id !== leader) ?? 0;
  damage(follower);
  await found(follower);
  await expectWhole(load);
  // It has what it had lost: it serves all of it, as leader and from its disk.
  const before = cluster.nodes.map(({ pid }) => pid);
  damage(leader);
  await expectWhole(load);
  await found(leader);
  await expectWhole(load);
  expect(await cluster.leaderOf(topic, 0)).not.toBe(leader);
  expect(cluster.nodes.map(({ pid }) => pid)).toEqual(before);
});
