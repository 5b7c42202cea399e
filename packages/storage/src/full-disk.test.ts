/** A node log on a disk that fills up: what waits, what is refused, what is lost, and what goes on by itself (ADR 0021). */
import type { Disk, DiskFile } from '@sluice/base';
import { DiskError, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { journalName } from './journal-file.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { NodeLogLimits } from './node-log.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { withMethods, wrappedDisk } from './test-disk.ts';
import { contents, openTestNode, testLogId } from './test-node-log.ts';
import type { TestNode } from './test-node-log.ts';

const kib = 1024;
const [first, second, manifest] = [journalName(1), journalName(2), 'manifest.new'];
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

async function opened(disk: Disk, limits: Partial<NodeLogLimits> = {}): Promise<TestNode & { clock: TestClock }> {
  const clock = new TestClock();
  const node = await openTestNode({ disk, clock, limits: { diskReserveBytes: 64 * kib, ...limits } });
  return { ...node, clock };
}

async function append(log: LogStore, valueBytes = 1000): Promise<void> {
  const base = log.endOffset;
  log.append(testBatch({ base, valueBytes }), testSpan(base, base + 1));
  await turn();
}

/** Until the next group is not durable after its turn. */
async function fill(log: LogStore): Promise<number> {
  while (log.durableOffset === log.endOffset) await append(log);
  return log.durableOffset;
}

/** At the next look, whenever that is. */
async function look(clock: TestClock): Promise<void> {
  clock.advance(5000);
  await turn();
}

test('a group that finds no room waits, acks nothing, and is written by itself when there is some', async () => {
  const disk = new MemoryDisk({ capacityBytes: 200 * kib });
  const node = await opened(disk);
  const log = node.log.log(testLogId(1));
  const durable = await fill(log);
  expect(durable).toBeGreaterThan(40);
  expect(disk.durableBytes(`/node/${first}`).length).toBeGreaterThan(190 * kib);
  await append(log);
  await look(node.clock);
  expect([log.durableOffset, log.endOffset, node.halts, node.log.disk.isLow]).toEqual([durable, durable + 2, [], true]);
  let told = 0;
  log.onDurable = (end) => {
    told = end;
  };
  disk.setCapacity(400 * kib);
  await look(node.clock);
  expect([told, log.durableOffset, node.halts, node.log.disk.isLow]).toEqual([durable + 2, durable + 2, [], false]);
  const before = await contents(log);
  disk.crash({ keep: 'nothing' });
  const again = await opened(disk);
  expect(await contents(again.log.log(testLogId(1)))).toEqual(before);
  await again.close();
});

test('what waits when the log closes fails, and nothing of it is there afterwards', async () => {
  const disk = new MemoryDisk({ capacityBytes: 200 * kib });
  const node = await opened(disk);
  const log = node.log.log(testLogId(1));
  const durable = await fill(log);
  await node.close();
  expect(node.halts).toMatchObject([{ code: 'STORAGE_FAILED' }]);
  expect(log.durableOffset).toBe(durable);
  disk.setCapacity(400 * kib);
  const again = await opened(disk);
  expect(again.log.log(testLogId(1)).endOffset).toBe(durable);
  await again.close();
});

test.each([
  ['a footer', 'write', first],
  ['a new file', 'open', second],
  ['the header of a new file', 'write', second],
  ['a new manifest', 'open', manifest],
  ['what it says', 'write', manifest],
  ['its name', 'rename', manifest],
] as const)('%s that finds the disk full waits, and the group with it', async (_what, kind, name) => {
  const memory = new MemoryDisk();
  let [isFull, met] = [false, 0];
  const meets = async (did: string, path: string): Promise<void> => {
    if (!isFull || did !== kind || path !== `/node/${name}`) return;
    met += 1;
    throw new DiskError('ENOSPC', path, 'no room');
  };
  const disk = withMethods<Disk>(memory, {
    open: async (path, mode) => {
      await meets('open', path);
      return withMethods<DiskFile>(await memory.open(path, mode), {
        write(this: DiskFile, buffers, position) {
          return meets('write', path).then(() => this.write(buffers, position));
        },
      });
    },
    rename: (from, to) => meets('rename', from).then(() => memory.rename(from, to)),
  });
  const node = await opened(disk, { journalBytesMax: 40 * kib });
  const log = node.log.log(testLogId(1));
  await append(log);
  isFull = true;
  await append(log, 38 * kib);
  expect([met, log.durableOffset, node.halts, node.log.disk.isLow]).toEqual([1, 1, [], true]);
  await look(node.clock);
  expect([met, log.durableOffset, node.halts]).toEqual([2, 1, []]);
  isFull = false;
  await look(node.clock);
  expect([log.durableOffset, node.halts, node.log.stats.journalFiles]).toEqual([2, [], 2]);
  await node.close();
  const again = await opened(memory);
  expect([again.log.log(testLogId(1)).endOffset, again.log.lossy, again.log.damaged]).toEqual([2, [], false]);
  await again.close();
});

test.each(['writeDurable', 'sync'] as const)(
  'S2: a %s of the log that fails stops it, for want of room too',
  async (kind) => {
    const memory = new MemoryDisk();
    let fails = false;
    const full = (): Promise<void> => Promise.reject(new DiskError('ENOSPC', '/node', 'no room'));
    const disk = wrappedDisk(memory, {
      writeDurable(this: DiskFile, buffers, position) {
        return fails && kind === 'writeDurable' ? full() : this.writeDurable(buffers, position);
      },
      sync(this: DiskFile) {
        return fails && kind === 'sync' ? full() : this.sync();
      },
    });
    const node = await opened(disk, { journalBytesMax: 40 * kib });
    const log = node.log.log(testLogId(1));
    await append(log);
    fails = true;
    await append(log, 38 * kib);
    expect([log.durableOffset, node.halts]).toMatchObject([1, [{ code: 'STORAGE_FAILED' }]]);
    await node.close();
  },
);

test('below the reserve the disk is low; everything is still written, and an eighth above it ends by itself', async () => {
  const disk = new MemoryDisk({ capacityBytes: 1024 * kib });
  const node = await opened(disk, { diskReserveBytes: 512 * kib, journalBytesMax: 64 * kib });
  const [kept, gone] = [node.log.log(testLogId(1)), node.log.log(testLogId(2))];
  expect(node.log.disk).toEqual({ freeBytes: 1024 * kib, reserveBytes: 512 * kib, isLow: false });
  let hasRoom = false;
  while (!node.log.disk.isLow) await append(gone, 8 * kib);
  node.log.whenDiskRoom(() => {
    hasRoom = true;
  });
  await look(node.clock);
  const { freeBytes = 0 } = node.log.disk;
  expect([node.log.disk.isLow, freeBytes < 512 * kib, freeBytes > 400 * kib]).toEqual([true, true, true]);
  // Raft, cuts, starts, deletions, and records that were on their way.
  let persisted = false;
  node.log.raft.persist({ hardState: { term: term(3), votedFor: null } }, () => {
    persisted = true;
  });
  await append(gone);
  gone.truncate(at(gone.endOffset - 1));
  gone.restartAt(at(1));
  await turn();
  await append(kept);
  expect([kept.durableOffset, gone.startOffset, persisted, node.halts, hasRoom]).toEqual([1, 1, true, [], false]);
  gone.delete();
  await turn();
  // The file that holds the rest is finished, and the dead ones go with it.
  for (let n = 0; n < 20; n += 1) await append(kept);
  await look(node.clock);
  expect([node.log.disk.isLow, hasRoom, node.halts]).toEqual([false, true, []]);
  await node.close();
});

test('what is accepted and not written yet counts as taken, and so does what was written since the last look', async () => {
  const disk = new MemoryDisk({ capacityBytes: 1024 * kib });
  const node = await opened(disk, { diskReserveBytes: 900 * kib });
  const log = node.log.log(testLogId(1));
  await append(log, 60 * kib);
  // The clock stands still: the disk was never asked again.
  expect([node.log.disk.freeBytes, node.log.disk.isLow]).toEqual([1024 * kib, false]);
  await append(log, 60 * kib);
  expect([node.log.disk.freeBytes, node.log.disk.isLow]).toEqual([1024 * kib, true]);
  disk.setCapacity(2048 * kib);
  await look(node.clock);
  expect(node.log.disk.isLow).toBe(false);
  disk.setCapacity(1100 * kib);
  disk.holdSyncs();
  await append(log, 1);
  // Not even begun to be written.
  await append(log, 80 * kib);
  expect(node.log.disk.isLow).toBe(false);
  await look(node.clock);
  expect([disk.operations('space'), node.log.disk.isLow]).toEqual([3, true]);
  disk.releaseSyncs();
  await turn();
  await node.close();
});

test('C6: dead files for whose checkpoint there was no room go when there is some, though nothing is appended', async () => {
  const memory = new MemoryDisk();
  let [isFull, met] = [true, 0];
  const disk = withMethods<Disk>(memory, {
    open: (path, mode) => {
      if (!isFull || mode !== 'create' || !path.includes('checkpoint-')) return memory.open(path, mode);
      met += 1;
      return Promise.reject(new DiskError('ENOSPC', path, 'no room'));
    },
  });
  const node = await opened(disk, { journalBytesMax: 64 * kib });
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 40; n += 1) await append(log, 8 * kib);
  log.restartAt(at(log.endOffset));
  await turn();
  const files = node.log.stats.journalFiles;
  expect([met > 0, files > 4]).toEqual([true, true]);
  const before = met;
  await look(node.clock);
  expect([met - before, node.log.stats.journalFiles]).toEqual([1, files]);
  isFull = false;
  await look(node.clock);
  await look(node.clock);
  expect([node.log.stats.journalFiles, node.halts]).toEqual([1, []]);
  await node.close();
});

test('low begins below the reserve, and ends an eighth of it above', async () => {
  const disk = new MemoryDisk({ capacityBytes: 1024 * kib });
  const node = await opened(disk, { diskReserveBytes: 512 * kib });
  const { freeBytes } = await disk.space('/node');
  const leave = async (bytes: number): Promise<boolean> => {
    disk.setCapacity(1024 * kib - freeBytes + bytes);
    await look(node.clock);
    return node.log.disk.isLow;
  };
  expect([await leave(512 * kib), await leave(511 * kib)]).toEqual([false, true]);
  expect([await leave(575 * kib), await leave(576 * kib), await leave(513 * kib)]).toEqual([true, false, false]);
  await node.close();
});

test('the disk is asked every five seconds, every second while it is low, however much is appended', async () => {
  const disk = new MemoryDisk({ capacityBytes: 64 * 1024 * kib });
  const node = await opened(disk);
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 50; n += 1) await append(log);
  expect(disk.operations('space')).toBe(1);
  await look(node.clock);
  disk.setCapacity(256 * kib);
  await look(node.clock);
  expect([disk.operations('space'), node.log.disk.isLow]).toEqual([3, true]);
  for (let second = 0; second < 5; second += 1) {
    node.clock.advance(1000);
    await turn();
  }
  expect(disk.operations('space')).toBe(8);
  await node.close();
  await look(node.clock);
  expect(disk.operations('space')).toBe(8);
});

test('auto is a twentieth of the file system, 2 GiB at most; a disk that does not say what is free refuses nothing', async () => {
  for (const [capacityBytes, reserveBytes] of [
    [20 * kib * kib, kib * kib],
    [100 * kib ** 3, 2 * kib ** 3],
  ] as const) {
    const node = await opened(new MemoryDisk({ capacityBytes }), { diskReserveBytes: 'auto' });
    expect(node.log.disk).toEqual({ freeBytes: capacityBytes, reserveBytes, isLow: false });
    await node.close();
  }
  const silent = withMethods<Disk>(new MemoryDisk(), {
    space: () => Promise.reject(new DiskError('ENOSYS', '/', 'no')),
  });
  const node = await opened(silent, { diskReserveBytes: 1024 ** 4 });
  expect(node.log.disk).toEqual({ freeBytes: undefined, reserveBytes: 1024 ** 4, isLow: false });
  await node.close();
});
