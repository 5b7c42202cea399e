import { DiskError, SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { diskConformance } from './disk-conformance.ts';
import { MemoryDisk } from './memory-disk.ts';
import { TestClock } from './test-clock.ts';

async function prepared(disk = new MemoryDisk()): Promise<MemoryDisk> {
  await disk.makeDirectory('/d');
  return disk;
}

diskConformance('MemoryDisk', async () => ({ disk: await prepared(), directory: '/d', close: async () => undefined }));

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('a crash drops bytes that were not synced and names whose directory was not', async () => {
  const disk = await prepared();
  const kept = await disk.open('/d/kept', 'create');
  await kept.write([bytes(1, 2, 3)], 0);
  await kept.sync();
  await disk.syncDirectory('/d');
  await kept.write([bytes(9, 9, 9, 9)], 0);
  const lost = await disk.open('/d/lost', 'create');
  await lost.write([bytes(5)], 0);
  await lost.sync();
  disk.crash({ keep: 'nothing' });
  expect(await disk.list('/d')).toEqual(['kept']);
  expect(disk.durableBytes('/d/kept')).toEqual(bytes(1, 2, 3));
});

test('a rename that was not synced leaves the old name after a crash', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/a', 'create');
  await file.sync();
  await disk.syncDirectory('/d');
  await disk.rename('/d/a', '/d/b');
  disk.crash({ keep: 'nothing' });
  expect(await disk.list('/d')).toEqual(['a']);
});

test('a crash that keeps everything keeps it, and one that tears the last write keeps a part of it', async () => {
  for (const torn of [false, true]) {
    const disk = await prepared();
    const file = await disk.open('/d/f', 'create');
    await disk.syncDirectory('/d');
    await file.write([new Uint8Array(100).fill(1)], 0);
    await file.write([new Uint8Array(100).fill(2)], 100);
    disk.crash({ keep: 'everything', ...(torn ? { tearLastWrite: new SeededRandom(4) } : {}) });
    const size = disk.durableBytes('/d/f').length;
    expect(torn ? size >= 100 && size < 200 : size === 200).toBe(true);
  }
});

test('a failed sync drops what it should have made durable, for good', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  await file.write([bytes(1)], 0);
  disk.failSyncs(1);
  await expect(file.sync()).rejects.toBeInstanceOf(DiskError);
  await file.sync();
  expect(disk.durableBytes('/d/f')).toEqual(bytes());
});

test('a sync covers the writes before it and no others', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  disk.holdSyncs();
  await file.write([bytes(1)], 0);
  const synced = file.sync();
  await file.write([bytes(2)], 1);
  disk.releaseSyncs();
  await synced;
  disk.crash({ keep: 'nothing' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes(1));
});

test('a durable write survives, also behind what made the file longer; what was written before it need not', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  await file.truncate(8);
  await file.write([bytes(1, 1, 1, 1)], 0);
  await file.writeDurable([bytes(2, 2)], 1);
  disk.crash({ keep: 'nothing' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes(0, 2, 2, 0, 0, 0, 0, 0));
});

test('what lies under a durable write does not come back over it', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  await file.write([bytes(1, 1, 1, 1, 1)], 0);
  await file.writeDurable([bytes(2, 2)], 1);
  disk.crash({ keep: 'everything' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes(1, 2, 2, 1, 1));
});

test('a durable write is held, and fails, as a sync does', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  disk.holdSyncs();
  let durable = false;
  const written = file.writeDurable([bytes(1)], 0).then(() => {
    durable = true;
  });
  await file.size();
  expect(durable).toBe(false);
  expect(disk.durableBytes('/d/f')).toEqual(bytes());
  disk.releaseSyncs();
  await written;
  disk.failSyncs(1);
  await expect(file.writeDurable([bytes(2)], 0)).rejects.toMatchObject({ code: 'EIO' });
  await file.sync();
  disk.failWrites('ENOSPC');
  await expect(file.writeDurable([bytes(3, 3)], 0)).rejects.toMatchObject({ code: 'ENOSPC' });
  disk.crash({ keep: 'nothing' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes(1));
});

test('what a killed process wrote is there for the next one, and still not durable', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  await disk.lock('/d/lock');
  await file.write([bytes(1)], 0);
  disk.killProcess();
  await expect(file.write([bytes(2)], 0)).rejects.toBeInstanceOf(DiskError);
  await disk.lock('/d/lock');
  const target = bytes(0);
  expect(await (await disk.open('/d/f', 'existing')).read(target, 0)).toBe(1);
  expect(target).toEqual(bytes(1));
  disk.crash({ keep: 'nothing' });
  expect(disk.durableBytes('/d/f')).toEqual(bytes());
});

test('after a crash nothing from before completes and no handle from before works', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  await disk.syncDirectory('/d');
  await disk.lock('/d/lock');
  let completed = false;
  void file.write([bytes(1)], 0).then(() => {
    completed = true;
  });
  disk.crash({ keep: 'nothing' });
  await expect(file.write([bytes(1)], 0)).rejects.toBeInstanceOf(DiskError);
  expect(completed).toBe(false);
  await disk.lock('/d/lock');
});

test('completions go through the given scheduler, delayed by the given clock', async () => {
  const clock = new TestClock();
  const scheduled: (() => void)[] = [];
  const disk = new MemoryDisk({
    clock,
    delayMs: ({ kind }) => (kind === 'makeDirectory' ? 5 : 0),
    complete: (run) => scheduled.push(run),
  });
  let made = false;
  void disk.makeDirectory('/d').then(() => {
    made = true;
  });
  expect(scheduled).toHaveLength(0);
  clock.advance(5);
  expect(scheduled).toHaveLength(1);
  await Promise.resolve();
  expect(made).toBe(false);
  scheduled[0]?.();
  await Promise.resolve();
  expect(made).toBe(true);
  expect(disk.operations('makeDirectory')).toBe(1);
});

test('a full disk fails writes and says so', async () => {
  const disk = await prepared();
  const file = await disk.open('/d/f', 'create');
  disk.failWrites('ENOSPC');
  await expect(file.write([bytes(1, 2)], 0)).rejects.toMatchObject({ code: 'ENOSPC' });
});

test('a disk with a capacity takes what fits, page by page, and has room again for what is cut, removed or replaced', async () => {
  const disk = new MemoryDisk({ capacityBytes: 4 * 4096 });
  await disk.makeDirectory('/d');
  const free = async (): Promise<number> => (await disk.space('/d')).freeBytes / 4096;
  const file = await disk.open('/d/f', 'create');
  // A hole takes nothing.
  await file.truncate(100 * 4096);
  await file.write([new Uint8Array(10).fill(1)], 50 * 4096 - 5);
  expect(await free()).toBe(2);
  await expect(file.write([new Uint8Array(3 * 4096).fill(2)], 0)).rejects.toMatchObject({ code: 'ENOSPC' });
  expect(await free()).toBe(0);
  const target = new Uint8Array(3 * 4096);
  await file.read(target, 0);
  expect([target[2 * 4096 - 1], target[2 * 4096]]).toEqual([2, 0]);
  await file.writeDurable([new Uint8Array(8192).fill(3)], 0);
  await expect(file.writeDurable([new Uint8Array(1)], 3 * 4096)).rejects.toMatchObject({ code: 'ENOSPC' });
  await file.truncate(4096);
  expect(await free()).toBe(3);
  const other = await disk.open('/d/g', 'create');
  await other.write([new Uint8Array(8192)], 0);
  await disk.rename('/d/g', '/d/f');
  expect(await free()).toBe(2);
  await disk.remove('/d/f');
  expect(await free()).toBe(4);
  disk.setCapacity(8 * 4096);
  expect(await free()).toBe(8);
});
