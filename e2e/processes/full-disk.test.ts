/** Disks that really are full: three nodes, each on a small file system of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toSluiceError } from '@sluice/base';
import type { SluiceError } from '@sluice/base';
import { Sluice } from '@sluice/client';
import { verdict } from '@sluice/sim/ledger';
import type { PlacedRecord } from '@sluice/sim/ledger';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { LocalCluster } from '../cluster.ts';
import { logLines, metric } from '../node-figures.ts';
import { Reader } from '../reader.ts';
import { SmallDiskNode, smallDiskProblem } from '../small-disk.ts';
import { until } from '../until.ts';

const MiB = 1024 ** 2;
const diskBytes = 48 * MiB;
/** `tiny` has files of 1 MiB and a reserve of 16 MiB. */
const environment = { SLUICE_PROFILE: 'tiny', SLUICE_RETENTION_CHECK_MS: '200' };
const open = new AsyncDisposableStack();
let problem: string | undefined;
let cluster: LocalCluster;
let sluice: Sluice;
const disks = new Map<number, SmallDiskNode>();

beforeAll(async () => {
  const probe = mkdtempSync(path.join(tmpdir(), 'sluice-small-'));
  problem = smallDiskProblem(probe);
  rmSync(probe, { recursive: true });
  if (problem !== undefined) {
    process.stderr.write(`SKIPPED: tests on full disks need small file systems, and there can be none (${problem})\n`);
    return;
  }
  cluster = open.use(await LocalCluster.start({ environment }));
  await cluster.kill(...cluster.nodes.map(({ id }) => id));
  const { directory } = cluster;
  open.defer(() => Promise.all(Array.from(disks.values(), (disk) => disk[Symbol.asyncDispose]())).then());
  for (const node of cluster.nodes) disks.set(node.id, new SmallDiskNode(node, { directory, diskBytes, environment }));
  // The cluster that is born on these disks is another one.
  sluice = open.use(new Sluice({ bootstrap: cluster.bootstrap, requestTimeoutMs: 5000 }));
  const born = async (): Promise<true | undefined> => {
    const { nodes } = await sluice.admin.describeCluster();
    return nodes.filter(({ state }) => state === 'up').length === 3 ? true : undefined;
  };
  await until(born, { what: 'three nodes up', timeoutMs: 30_000 });
});
beforeEach((context) => {
  if (problem !== undefined) context.skip(problem);
});
afterAll(() => open.disposeAsync());

/** Numbered records of about 10 KB, and what became of them. */
class Book implements AsyncDisposable {
  readonly acked: PlacedRecord[] = [];
  readonly failures: SluiceError[] = [];
  readonly #topic: string;
  readonly #producer = sluice.producer({ acks: 'all', deliveryTimeoutMs: 3000 });
  sent = 0;

  constructor(topic: string) {
    this.#topic = topic;
  }

  async send(count: number): Promise<void> {
    const one = async (): Promise<void> => {
      const id = this.sent;
      this.sent += 1;
      try {
        const placed = await this.#producer.send(this.#topic, { value: `${id} ${'.'.repeat(10_000)}` });
        this.acked.push({ id, ...placed });
      } catch (error) {
        this.failures.push(toSluiceError(error));
      }
    };
    await Promise.all(Array.from({ length: count }, one));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#producer.close({ timeoutMs: 0 });
  }
}

const figures = (name: string): Promise<readonly (number | undefined)[]> =>
  Promise.all(cluster.nodes.map((node) => metric(node, name)));

const expectRunning = (): void => expect([...disks.values()].map(({ runs }) => runs)).toEqual([true, true, true]);

async function readAll(topic: string): Promise<readonly PlacedRecord[]> {
  await using reader = new Reader(sluice, topic, 1);
  await reader.readToEnd(30_000);
  return reader.consumed;
}

async function expectNothingLost(topic: string, { acked, sent }: Book): Promise<void> {
  const { lost, duplicated, reordered, unexpected } = verdict(acked, await readAll(topic), sent);
  expect({ lost, duplicated, reordered, unexpected }).toEqual({
    lost: 0,
    duplicated: 0,
    reordered: 0,
    unexpected: 0,
  });
}

/** Until no record is taken any more. */
async function fillTopic(topic: string): Promise<Book> {
  await sluice.admin.createTopic({ name: topic, replication: 3, config: { retentionMs: '-1' } });
  const book = open.use(new Book(topic));
  while (book.failures.length === 0) await book.send(50);
  return book;
}

test('records are refused before the disks are full, nothing acked is lost, and a deleted topic makes room', async () => {
  const book = await fillTopic('gone');
  const freeBytes = await figures('sluice_disk_free_bytes');
  process.stderr.write(`refused after ${book.acked.length} records; free: ${freeBytes.join(', ')}\n`);
  expect(book.acked.length).toBeGreaterThan(1500);
  for (const free of freeBytes) expect(free).toBeGreaterThan(8 * MiB);
  expect(await figures('sluice_disk_low')).toContain(1);
  expect(await figures('sluice_node_ready')).toEqual([1, 1, 1]);
  // Refused by the leader, or never acked by followers that are full before it.
  const told = book.failures.map(({ code, details }) => details['lastCode'] ?? code);
  expect(told).toContain('STORAGE_FULL');
  await expectNothingLost('gone', book);
  // Metadata is written as ever; no record is acked, whoever leads.
  await sluice.admin.createTopic({ name: 'kept', replication: 3 });
  await using kept = new Book('kept');
  await kept.send(1);
  expect(kept.acked).toEqual([]);
  await sluice.admin.deleteTopic('gone');
  const taken = async (): Promise<true | undefined> => {
    await kept.send(10);
    return kept.acked.length > 0 ? true : undefined;
  };
  await until(taken, { what: 'an ack', timeoutMs: 30_000 });
  await expectNothingLost('kept', kept);
  expectRunning();
  const lines = logLines(cluster.directory, await cluster.leaderOf('kept', 0)).map(({ msg }) => msg);
  expect(lines.filter((msg) => msg.startsWith('disk is')).slice(0, 2)).toEqual([
    'disk is below its reserve: records are refused',
    'disk is above its reserve again: records are taken',
  ]);
  await sluice.admin.deleteTopic('kept');
});

test('a disk that somebody else fills to the last byte stops no node, and what waited is acked when there is room', async () => {
  const topic = 'crowded';
  await sluice.admin.createTopic({ name: topic, replication: 3 });
  await using book = new Book(topic);
  await book.send(100);
  expect(book.failures).toEqual([]);
  for (const disk of disks.values()) disk.fill();
  const low = async (): Promise<true | undefined> =>
    (await figures('sluice_disk_low')).every((value) => value === 1) ? true : undefined;
  await until(low, { what: 'low disks', timeoutMs: 10_000 });
  // What is appended now, metadata too, has nowhere to go.
  const created = sluice.admin.createTopic({ name: 'waiting', replication: 3 }).catch(toSluiceError);
  await book.send(20);
  expect(book.failures).toHaveLength(20);
  expectRunning();
  for (const disk of disks.values()) disk.empty();
  await created;
  const taken = async (): Promise<true | undefined> => {
    const before = book.acked.length;
    await book.send(10);
    return book.acked.length > before ? true : undefined;
  };
  await until(taken, { what: 'an ack', timeoutMs: 30_000 });
  const exists = async (): Promise<true | undefined> =>
    (await sluice.admin.describeTopic('waiting')).partitions.length > 0 ? true : undefined;
  await until(exists, { what: 'the topic', timeoutMs: 10_000 });
  await expectNothingLost(topic, book);
  expectRunning();
  const { directory } = cluster;
  for (const { id } of cluster.nodes)
    expect(logLines(directory, id).map(({ msg }) => msg)).not.toContain('node halted');
});
