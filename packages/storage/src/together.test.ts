/** Where the parts of the storage engine meet: everything at once, at random, and what was found by that, one by one. */
import type { Disk } from '@sluice/base';
import { expect, test } from 'vitest';
import type { LogStore } from './log-store.ts';
import { DataDirectory } from './data-directory.ts';
import { readManifest, writeManifest } from './manifest.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { wrappedDisk } from './test-disk.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';
import { Together } from './together.testing.ts';

const limits = { journalBytesMax: 20_000, tailBytesMax: 0, spaceAheadBytes: 0 };

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const group = (node: TestNode): Promise<void> => new Promise((resolve) => node.log.raft.persist({}, resolve));
const names = async (disk: Disk, kind: string): Promise<string[]> =>
  (await disk.list('/node')).filter((name) => name.startsWith(kind));

/** Five or six batches to a file. */
async function fill(log: LogStore, batches: number): Promise<void> {
  for (let n = 0; n < batches; n += 1) {
    const base = log.endOffset;
    log.append(testBatch({ base, valueBytes: 3000 }), testSpan(base, base + 1));
    await durable(log);
  }
}

function owned(node: TestNode, number: number): LogStore {
  const log = node.log.log(testLogId(number));
  log.snapshot = () => ({ offset: log.endOffset, bytes: Buffer.from(`${number} at ${log.endOffset}`) });
  return log;
}

/** Of `held`, the one that is asked for first waits for `release`. */
function gate(): { readonly wait: () => Promise<void>; readonly reached: Promise<void>; readonly release: () => void } {
  const [reached, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const wait = (): Promise<void> => {
    reached.resolve();
    return released.promise;
  };
  return { wait, reached: reached.promise, release: () => released.resolve() };
}

test('all of it together, over power cuts, kills and full disks, holds what it should and says nothing that is not so', async () => {
  const counts = {
    operations: 0,
    crashes: 0,
    rewrites: 0,
    snapshots: 0,
    compactions: 0,
    emptied: 0,
    flips: 0,
    refills: 0,
  };
  for (let seed = 1; seed <= 25; seed += 1) {
    const run = new Together(seed);
    expect([seed, await run.run(8, 40)]).toEqual([seed, undefined]);
    for (const key of Object.keys(counts) as (keyof typeof counts)[]) counts[key] += run.counts[key];
  }
  expect(counts.operations).toBeGreaterThan(8_000);
  expect(counts.crashes).toBeGreaterThan(100);
  expect(counts.rewrites).toBeGreaterThan(300);
  expect(counts.snapshots).toBeGreaterThan(500);
  expect(counts.compactions).toBeGreaterThan(50);
  expect(counts.emptied).toBeGreaterThan(100);
  expect(counts.flips).toBeGreaterThan(100);
  expect(counts.refills).toBeGreaterThan(50);
}, 120_000);

test('a footer that is torn in a state snapshot alone is a torn footer: the file goes on', async () => {
  let renames = 0;
  // The manifest that would name the footer never gets there.
  const disk = new MemoryDisk({ faults: ({ kind }) => (kind === 'rename' && ++renames === 2 ? 'hang' : 'run') });
  let node = await openTestNode({ disk, limits });
  const log = owned(node, 1);
  for (let base = 0; renames < 2; base += 1) {
    log.append(testBatch({ base, valueBytes: 3000 }), testSpan(base, base + 1));
    await turn();
  }
  disk.crash({ keep: 'nothing' });
  const [path] = (await names(disk, 'journal')).map((name) => `/node/${name}`);
  const position = Buffer.from(disk.durableBytes(path ?? '')).lastIndexOf('1 at ');
  expect(position).toBeGreaterThan(0);
  disk.flipBit(path ?? '', position);
  node = await openTestNode({ disk, limits });
  expect(node.log.stats.journalFiles).toBe(1);
  expect(node.log.lossy).toEqual([]);
  await node.close();
});

test('a state snapshot in a checkpoint is found while the next checkpoint takes it over', async () => {
  const memory = new MemoryDisk();
  const held = gate();
  const rename: Disk['rename'] = async (from, to) => {
    // The manifest that names the second.
    if ((await names(memory, 'checkpoint')).length === 2) await held.wait();
    return memory.rename(from, to);
  };
  const node = await openTestNode({ disk: wrappedDisk(memory, {}, { rename }), limits });
  const [idle, busy] = [owned(node, 3), owned(node, 1)];
  await fill(idle, 3);
  await fill(busy, 20);
  idle.restartAt(idle.endOffset);
  idle.snapshot = undefined;
  busy.restartAt(at(busy.endOffset - 1));
  await group(node);
  await expect.poll(() => names(memory, 'checkpoint')).toHaveLength(1);
  await fill(busy, 7);
  await turn();
  busy.restartAt(at(busy.endOffset - 1));
  void group(node);
  await held.reached;
  expect(Buffer.from((await idle.loadSnapshot())?.bytes ?? []).toString()).toBe('3 at 3');
  held.release();
  await node.close();
});

test('a read of the open file goes on where its bytes lie when the file is finished, rewritten and removed under it', async () => {
  const memory = new MemoryDisk();
  const held = gate();
  let holds = false;
  const open: Disk['open'] = async (path, mode) => {
    if (holds) {
      holds = false;
      await held.wait();
    }
    return memory.open(path, mode);
  };
  const disk = wrappedDisk(memory, {}, { open });
  const node = await openTestNode({ disk, limits: { ...limits, rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY } });
  const log = node.log.log(testLogId(1));
  await fill(log, 2);
  const [first] = await names(memory, 'journal');
  holds = true;
  const read = log.read(at(0), at(2), 100_000);
  await held.reached;
  // Short runs: four files are put together by themselves.
  await fill(log, 20);
  await expect.poll(() => memory.exists(`/node/${first}`)).toBe(false);
  held.release();
  expect(await read).toMatchObject({ kind: 'batches', endOffset: 2 });
  expect(log.lossy).toBeUndefined();
  await node.close();
});

test('what was cut and what was trimmed of one run in the open file leave nothing that lives', async () => {
  const node = await openTestNode({ disk: new MemoryDisk(), limits });
  const [log, other] = [node.log.log(testLogId(1)), node.log.log(testLogId(2))];
  log.append(concat([0, 1].map((base) => testBatch({ base }))), testSpan(0, 2));
  await durable(log);
  log.restartAt(at(1));
  log.truncate(at(1));
  await group(node);
  expect([log.startOffset, log.endOffset, log.bytes]).toEqual([1, 1, 0]);
  await fill(other, 14);
  other.restartAt(other.endOffset);
  await group(node);
  expect(node.log.stats.liveBytes).toBe(0);
  await node.close();
});

test('a stop waits for reads that are under way, and closes their files behind them', async () => {
  const memory = new MemoryDisk();
  const held = gate();
  let holds = false;
  const disk: Disk = wrappedDisk(memory, {
    async read(this: { read: (target: Uint8Array, position: number) => Promise<number> }, target, position) {
      if (holds) await held.wait();
      return this.read(target, position);
    },
  });
  const node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  log.snapshot = () => ({ offset: log.endOffset, bytes: Buffer.from('all of it') });
  await fill(log, 8);
  // Its index is known from then on: the next read is one of the disk.
  await log.read(at(0), at(2), 100_000);
  holds = true;
  const read = log.read(at(0), at(2), 100_000);
  await held.reached;
  const closed = node.close();
  await turn();
  held.release();
  expect(await read).toMatchObject({ kind: 'batches', endOffset: 2 });
  await closed;
  await expect(log.read(at(0), at(2), 100_000)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  await expect(log.loadSnapshot()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
});

test('a file in which a reader meets damage while it is rewritten stays, also when the copy met none', async () => {
  let flips = 0;
  const memory = new MemoryDisk({
    faults: ({ kind }) => (kind === 'read' && flips-- > 0 ? { flipBit: 8 * 200 } : 'run'),
  });
  const held = gate();
  let isHeld = false;
  const open: Disk['open'] = async (path, mode) => {
    if (path.includes('sorted-') && mode === 'create' && !isHeld) {
      isHeld = true;
      await held.wait();
    }
    return memory.open(path, mode);
  };
  const node = await openTestNode({
    disk: wrappedDisk(memory, {}, { open }),
    limits: { ...limits, rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY },
  });
  const log = node.log.log(testLogId(1));
  await fill(log, 8);
  const [first] = await names(memory, 'journal');
  const rewritten = node.log.rewrite([{ id: testLogId(1), upTo: 2, transform: (batches) => batches.slice() }]);
  await held.reached;
  flips = 2;
  await expect(log.read(at(0), at(2), 100_000)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  expect(log.lossy).toBeDefined();
  flips = 0;
  held.release();
  expect(await rewritten).toBe(false);
  expect(await names(memory, 'journal')).toContain(first);
  await expect.poll(() => names(memory, 'sorted')).toEqual([]);
  await node.close();
});

test('a checkpoint alone is enough to start from: a crash between two files may leave it', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  await fill(log, 14);
  log.restartAt(log.endOffset);
  await group(node);
  await expect.poll(() => names(disk, 'checkpoint')).toHaveLength(1);
  await node.close();
  const directory = await DataDirectory.open(disk, '/node');
  const checkpoint = (await readManifest(directory))?.checkpoint;
  expect(checkpoint).toBeDefined();
  await writeManifest(directory, { checkpoint, entries: [] });
  await directory.release();
  node = await openTestNode({ disk, limits });
  expect([node.log.lossy, node.log.damaged]).toEqual([[], false]);
  await fill(node.log.log(testLogId(1)), 2);
  expect(await contents(node.log.log(testLogId(1)))).not.toHaveLength(0);
  await node.close();
});
