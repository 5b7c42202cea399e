/** The Raft store over both disks, and what only a simulated one can show: damage, a full disk, memory and space. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { InvariantError, isSluiceError } from '@sluice/base';
import type { Disk } from '@sluice/base';
import { crc32c } from '@sluice/record';
import { expect, test } from 'vitest';
import { turn } from './crash-points.testing.ts';
import { MemoryDisk } from './memory-disk.ts';
import { NodeDisk } from './node-disk.ts';
import type { NodeLogLimits } from './node-log.ts';
import { raftSnapshotFileId } from './raft-snapshot-file.ts';
import { compaction, entries, entry, raftStoreConformance, snapshotAt, written } from './raft-store-conformance.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode, type TestNode } from './test-node-log.ts';

const tiny = { journalBytesMax: 16 * 1024, groupBytesMax: 8 * 1024, spaceAheadBytes: 0 };

const snapshotFilesOf = async (disk: Disk, directory: string): Promise<readonly string[]> =>
  (await disk.list(directory)).filter((name) => raftSnapshotFileId(name) !== undefined);

async function over(disk: Disk, directory: string, limits: Partial<NodeLogLimits>, onClose = (): void => undefined) {
  let node: TestNode | undefined;
  return {
    reopen: async () => {
      await node?.close();
      node = await openTestNode({ disk, directory, limits });
      return node.log;
    },
    // What was removed in between is.
    snapshotFiles: async () => {
      await turn();
      return snapshotFilesOf(disk, directory);
    },
    close: async () => {
      await node?.close();
      onClose();
    },
  };
}

raftStoreConformance('MemoryDisk', () => over(new MemoryDisk(), '/node', {}));
raftStoreConformance('MemoryDisk with tiny limits', () => over(new MemoryDisk(), '/node', tiny));
raftStoreConformance('NodeDisk', () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-raft-'));
  return over(new NodeDisk(), `${directory}/node`, tiny, () => fs.rmSync(directory, { recursive: true, force: true }));
});

/** No file is finished: its footer would say once more what rows say. */
const limits = { ...tiny, journalBytesMax: 1024 * 1024 };
const hardState = { term: entry(1, 6).term, votedFor: 'me' };

/** A node that was closed, whose log starts with a snapshot at 8; the path of that. */
async function withSnapshot(disk: MemoryDisk): Promise<string> {
  const node = await openTestNode({ disk, limits });
  await written(node.log.raft, { hardState, entries: entries(1, 10) });
  await node.log.raft.saveSnapshot(snapshotAt(8));
  await written(node.log.raft, compaction(8, 9));
  await node.close();
  const [name = ''] = await snapshotFilesOf(disk, '/node');
  return `/node/${name}`;
}

const damages: readonly [string, (disk: MemoryDisk, file: string) => void | Promise<void>][] = [
  ['missing', (disk, file) => disk.remove(file)],
  ['flipped in its header', (disk, file) => disk.flipBit(file, 13)],
  ['flipped in its meta bytes', (disk, file) => disk.flipBit(file, 53)],
  ['flipped in its bytes', (disk, file) => disk.flipBit(file, 2000)],
  ['shorter', (disk, file) => disk.plant(file, disk.durableBytes(file).slice(0, 1000))],
  ['longer', (disk, file) => disk.plant(file, Buffer.concat([disk.durableBytes(file), Uint8Array.of(0)]))],
  ['empty', (disk, file) => disk.plant(file, new Uint8Array(0))],
];

test.each(damages)('a snapshot that is %s: no log, the hard state, and doubt, also later', async (_, damage) => {
  const disk = new MemoryDisk();
  const file = await withSnapshot(disk);
  await damage(disk, file);
  const isThere = await disk.exists(file);
  for (let opened = 0; opened < 3; opened += 1) {
    const node = await openTestNode({ disk, limits });
    expect(node.log.raft.doubtful).toBe(true);
    expect(node.log.raft.load()).toEqual({ hardState, snapshot: null, entries: [] });
    await node.close();
    // It is evidence.
    expect(await disk.exists(file)).toBe(isThere);
  }
  // What a leader gives it then outlives the next start, also from the first entry on.
  let node = await openTestNode({ disk, limits });
  await written(node.log.raft, { entries: entries(1, 3, 7) });
  await node.close();
  node = await openTestNode({ disk, limits });
  expect(node.log.raft.load()).toEqual({ hardState, snapshot: null, entries: entries(1, 3, 7) });
  await node.log.raft.saveSnapshot(snapshotAt(8, 1, 77));
  await written(node.log.raft, compaction(8, 9, true));
  await node.close();
  node = await openTestNode({ disk, limits });
  expect((await disk.exists(file)) || !isThere).toBe(true);
  expect(node.log.raft.doubtful).toBe(true);
  expect(node.log.raft.load()).toEqual({ hardState, snapshot: snapshotAt(8, 1, 77), entries: [] });
  node.log.raft.healed();
  await written(node.log.raft, {});
  await node.close();
  node = await openTestNode({ disk, limits });
  await turn();
  expect([await snapshotFilesOf(disk, '/node'), node.log.raft.doubtful]).toMatchObject([[expect.any(String)], false]);
  expect((await disk.exists(file)) && isThere).toBe(false);
  expect(node.log.raft.load().snapshot).toEqual(snapshotAt(8, 1, 77));
  await node.close();
});

test('a snapshot of another format is refused, with what to do', async () => {
  const disk = new MemoryDisk();
  const file = await withSnapshot(disk);
  const bytes = disk.durableBytes(file).slice();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint16(4, 9);
  view.setUint32(48, crc32c(bytes.subarray(0, 48)));
  disk.plant(file, bytes);
  const refused = await openTestNode({ disk, limits }).catch((error: unknown) => error);
  expect(isSluiceError(refused) && refused.code).toBe('UNSUPPORTED_VERSION');
});

test('a record is not taken before its snapshot is durable', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits });
  disk.holdSyncs();
  let isSaved = false;
  const saving = node.log.raft.saveSnapshot(snapshotAt(3)).then(() => (isSaved = true));
  await turn();
  expect(isSaved).toBe(false);
  expect(() => node.log.raft.persist(compaction(3, 4, true), () => undefined)).toThrow(InvariantError);
  disk.releaseSyncs();
  await saving;
  await written(node.log.raft, compaction(3, 4, true));
  await node.close();
});

test('the snapshot before stays until the record that replaces it is durable', async () => {
  const disk = new MemoryDisk();
  const file = await withSnapshot(disk);
  const node = await openTestNode({ disk, limits });
  await node.log.raft.saveSnapshot(snapshotAt(9));
  disk.holdSyncs();
  const named = written(node.log.raft, compaction(9, 10));
  await turn();
  expect([await disk.exists(file), await snapshotFilesOf(disk, '/node')]).toMatchObject([true, { length: 2 }]);
  disk.releaseSyncs();
  await named;
  await turn();
  expect([await disk.exists(file), await snapshotFilesOf(disk, '/node')]).toMatchObject([false, { length: 1 }]);
  await node.close();
});

test('a full disk: the snapshot waits for room, and is whole then', async () => {
  const disk = new MemoryDisk({ capacityBytes: 1024 * 1024 });
  const clock = new TestClock();
  const node = await openTestNode({ disk, clock, limits: { ...limits, diskReserveBytes: 0 } });
  await written(node.log.raft, { entries: entries(1, 10) });
  let isSaved = false;
  const saving = node.log.raft.saveSnapshot(snapshotAt(9, 1, 1024 * 1024)).then(() => (isSaved = true));
  await turn();
  expect([isSaved, node.log.disk.isLow, await snapshotFilesOf(disk, '/node')]).toEqual([false, true, []]);
  // The log goes on beside it.
  await written(node.log.raft, { entries: entries(11, 12) });
  disk.setCapacity(4 * 1024 * 1024);
  clock.advance(1000);
  await saving;
  await written(node.log.raft, compaction(9, 10));
  expect([node.halts, await snapshotFilesOf(disk, '/node')]).toMatchObject([[], [expect.any(String)]]);
  await node.close();
  const again = await openTestNode({ disk, limits });
  expect(again.log.raft.load()).toMatchObject({ snapshot: snapshotAt(9, 1, 1024 * 1024), entries: entries(10, 12) });
  await again.close();
});

test('closed while it waits for room, it is refused', async () => {
  const disk = new MemoryDisk({ capacityBytes: 1024 * 1024 });
  const node = await openTestNode({ disk, limits: { ...limits, diskReserveBytes: 0 } });
  const saving = node.log.raft.saveSnapshot(snapshotAt(9, 1, 1024 * 1024)).catch((error: unknown) => error);
  await turn();
  await node.close();
  expect(await saving).toMatchObject({ code: 'ENOSPC' });
  expect([node.halts, await snapshotFilesOf(disk, '/node')]).toEqual([[], []]);
});

test('compaction gives the journal files back, and neither memory nor a start grows with what was compacted', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits: tiny });
  const sizes: number[] = [];
  const found: unknown[] = [];
  for (let round = 1; round <= 40; round += 1) {
    const last = round * 100;
    for (let from = last - 99; from <= last; from += 10) {
      await written(node.log.raft, { entries: entries(from, from + 9) });
    }
    await node.log.raft.saveSnapshot(snapshotAt(last));
    await written(node.log.raft, compaction(last, last - 4));
    await turn();
    sizes.push(node.log.stats.diskBytes);
    if (round % 10 > 0) continue;
    await node.close();
    node = await openTestNode({ disk, limits: tiny });
    const { snapshot, entries: held } = node.log.raft.load();
    found.push([snapshot?.index, held[0]?.index, held.at(-1)?.index, held.length]);
    await turn();
  }
  expect(found).toEqual([10, 20, 30, 40].map((round) => [round * 100, round * 100 - 4, round * 100, 5]));
  expect(Math.max(...sizes)).toBeLessThan(8 * tiny.journalBytesMax);
  await node.close();
});
