/** When files go, and what stays (C1 to C6 of `reclaim.ts`); crashes are in `crash-workloads.testing.ts`. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Disk } from '@sluice/base';
import { DiskError, logIndex, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { FileUse, type SegmentUse } from './file-use.ts';
import { type FinishedFile, journalEntry } from './live-files.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { NodeDisk } from './node-disk.ts';
import { entriesToDrop, type ReclaimView } from './reclaim.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { wrappedDisk } from './test-disk.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const file = (fileId: number, bytes = 100): FinishedFile => ({
  fileId,
  bytes,
  batchBytes: bytes,
  footerAt: 50,
  damaged: false,
});

const dropped = (
  view: Partial<ReclaimView>,
  live: readonly number[] = [],
  evidence: readonly number[] = [],
): number[] =>
  entriesToDrop({
    finished: [file(1), file(2), file(4)].map(journalEntry),
    checkpoint: undefined,
    lives: (fileId) => live.includes(fileId),
    isEvidence: ({ fileId }) => evidence.includes(fileId),
    isHeld: () => false,
    ...view,
  }).flatMap(({ files }) => files.map(({ fileId }) => fileId));

test('the oldest files go, up to the first that lives or is evidence', () => {
  expect(dropped({})).toEqual([1, 2, 4]);
  expect(dropped({}, [4])).toEqual([1, 2]);
  expect(dropped({}, [2])).toEqual([1]);
  expect(dropped({}, [1])).toEqual([]);
  expect(dropped({}, [], [2])).toEqual([1]);
  expect(dropped({ finished: [] })).toEqual([]);
  expect(dropped({ checkpoint: file(3) }, [2], [3])).toEqual([]);
});

test('what goes is no smaller than the checkpoint that is made anew for it (C5)', () => {
  expect(dropped({ checkpoint: file(3, 200) }, [4])).toEqual([1, 2]);
  expect(dropped({ checkpoint: file(3, 201) }, [4])).toEqual([]);
  expect(dropped({ checkpoint: file(3, 201) })).toEqual([1, 2, 4]);
});

const used = (bytes: number): SegmentUse => ({ bytes, extents: 1, memoryBytes: 0 });

test('a file lives as long as one segment in it does, with its bytes', () => {
  const use = new FileUse();
  use.add(1, used(10));
  use.add(1, used(20));
  use.add(2, used(5));
  expect([use.lives(1), use.liveBytesOf(1), use.liveBytesOf(2), use.liveBytes]).toEqual([true, 30, 5, 35]);
  use.remove(1, used(10));
  expect([use.lives(1), use.liveBytesOf(1), use.liveBytes, use.changes]).toEqual([true, 20, 25, 0]);
  use.remove(1, used(20));
  expect([use.lives(1), use.liveBytesOf(1), use.liveBytes, use.changes]).toEqual([false, 0, 5, 1]);
});

const limits = { journalBytesMax: 20_000, tailBytesMax: 0, spaceAheadBytes: 0 };

async function fill(log: LogStore, batches: number, valueBytes = 3000): Promise<void> {
  for (let n = 0; n < batches; n += 1) {
    const base = log.endOffset;
    log.append(testBatch({ base, valueBytes }), testSpan(base, base + 1));
    await durable(log);
  }
}

const group = (node: TestNode): Promise<void> => new Promise((resolve) => node.log.raft.persist({}, resolve));
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

const journals = async (disk: Disk): Promise<readonly string[]> =>
  (await disk.list('/node')).filter((name) => name.startsWith('journal-'));
const checkpoints = async (disk: Disk): Promise<readonly string[]> =>
  (await disk.list('/node')).filter((name) => name.startsWith('checkpoint-'));

/** Two logs over several files; the first log lives in the oldest ones alone. */
async function twoLogs(disk: Disk): Promise<TestNode> {
  const node = await openTestNode({ disk, limits });
  await fill(node.log.log(testLogId(1)), 12);
  await fill(node.log.log(testLogId(2)), 6);
  return node;
}

test('the disk really has its space back when a topic is deleted, and when one is trimmed', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'sluice-reclaim-'));
  const used = (): number =>
    fs
      .readdirSync(`${directory}/node`)
      .map((name) => fs.statSync(`${directory}/node/${name}`).blocks * 512)
      .reduce((sum, bytes) => sum + bytes, 0);
  try {
    let node = await openTestNode({ disk: new NodeDisk(), directory: `${directory}/node`, limits });
    for (const number of [1, 2]) await fill(node.log.log(testLogId(number)), 40, 5000);
    const full = used();
    expect(full).toBeGreaterThan(400_000);
    node.log.log(testLogId(1)).delete();
    await group(node);
    await node.close();
    expect(used()).toBeLessThan(full * 0.6);
    node = await openTestNode({ disk: new NodeDisk(), directory: `${directory}/node`, limits });
    const log = node.log.log(testLogId(2));
    log.restartAt(at(38));
    await group(node);
    await node.close();
    expect(used()).toBeLessThan(full * 0.15);
    node = await openTestNode({ disk: new NodeDisk(), directory: `${directory}/node`, limits });
    expect(node.log.logIds()).toEqual([testLogId(2)]);
    expect([node.log.log(testLogId(2)).startOffset, node.log.log(testLogId(2)).endOffset]).toEqual([38, 40]);
    expect(node.log.lossy).toEqual([]);
    await node.close();
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
});

test('figures say what is on the disk and what lives of it', async () => {
  const disk = new MemoryDisk();
  const node = await twoLogs(disk);
  const before = node.log.stats;
  const logBytes = (): number => node.log.logIds().reduce((sum, id) => sum + node.log.log(id).bytes, 0);
  expect(before.liveBytes).toBe(logBytes());
  expect(before.diskBytes).toBeGreaterThan(before.liveBytes);
  node.log.log(testLogId(1)).delete();
  await node.close();
  expect(node.log.stats.liveBytes).toBe(logBytes());
  expect(node.log.stats.journalFiles).toBeLessThan(before.journalFiles);
  let bytes = 0;
  for (const name of [...(await journals(disk)), ...(await checkpoints(disk))]) {
    bytes += disk.durableBytes(`/node/${name}`).length;
  }
  const again = await openTestNode({ disk, limits });
  expect(again.log.stats.diskBytes).toBe(bytes);
  expect(again.log.stats.liveBytes).toBe(node.log.stats.liveBytes);
  await again.close();
});

test('groups are durable while a drop waits for the disk, and one drop at most is in flight', async () => {
  const held: (() => void)[] = [];
  const memory = new MemoryDisk();
  let created = 0;
  const disk = wrappedDisk(
    memory,
    {},
    {
      open: async (name, mode) => {
        if (name.includes('checkpoint-') && mode === 'create') {
          created += 1;
          await new Promise<void>((resolve) => void held.push(resolve));
        }
        return memory.open(name, mode);
      },
    },
  );
  const node = await twoLogs(disk);
  node.log.log(testLogId(1)).delete();
  await group(node);
  await turn();
  expect(created).toBe(1);
  const log = node.log.log(testLogId(2));
  await fill(log, 12);
  log.restartAt(at(17));
  await group(node);
  await turn();
  expect([created, (await journals(disk)).length]).toEqual([1, node.log.stats.journalFiles]);
  held.shift()?.();
  await turn();
  // What died meanwhile goes in the next.
  expect(created).toBe(2);
  held.shift()?.();
  await node.close();
  expect([(await checkpoints(disk)).length, node.log.stats.journalFiles]).toEqual([1, (await journals(disk)).length]);
  expect(await contents((await openTestNode({ disk, limits })).log.log(testLogId(2)))).toHaveLength(
    testBatch({ base: 17, valueBytes: 3000 }).length,
  );
});

for (const heldAt of ['open', 'read'] as const) {
  test(`a read that a drop overtakes at its ${heldAt} ends out of range, and the log is not lossy`, async () => {
    const memory = new MemoryDisk();
    const held: (() => void)[] = [];
    let holds = false;
    const handles = new Map<string, number>();
    const wait = (at: 'open' | 'read'): Promise<void> =>
      holds && at === heldAt ? new Promise((resolve) => void held.push(resolve)) : Promise.resolve();
    const open: Disk['open'] = async (name, mode) => {
      if (mode === 'existing') await wait('open');
      const opened = await memory.open(name, mode);
      handles.set(name, (handles.get(name) ?? 0) + 1);
      return {
        ...opened,
        read: async (target, position) => {
          await wait('read');
          return opened.read(target, position);
        },
        close: async () => {
          handles.set(name, (handles.get(name) ?? 0) - 1);
          await opened.close();
        },
      };
    };
    const disk = wrappedDisk(memory, {}, { open });
    const node = await twoLogs(disk);
    const first = `/node/${(await journals(disk))[0]}`;
    const log = node.log.log(testLogId(1));
    holds = true;
    const read = log.read(at(0), at(12), 100_000);
    await turn();
    expect(held).toHaveLength(1);
    holds = false;
    log.restartAt(at(12));
    await group(node);
    await turn();
    expect(await disk.exists(first)).toBe(false);
    for (const go of held) go();
    expect(await read).toEqual({ kind: 'out-of-range', startOffset: 12, endOffset: 12 });
    expect(node.log.lossy).toEqual([]);
    expect((await log.read(at(3), at(12), 100)).kind).toBe('out-of-range');
    // The space is the disk's again once nobody holds the file.
    expect(handles.get(first)).toBe(0);
    await node.close();
  });
}

function raftState(node: TestNode): unknown {
  const { hardState, entries } = node.log.raft.load();
  return { hardState, entries: entries.map(({ index, payload }) => [index, payload.length]) };
}

test('Raft entries and empty logs outlive the files that they were written in', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  node.log.raft.load();
  const entries = [1, 2, 3].map((n) => ({ index: logIndex(n), term: term(2), kind: n, payload: new Uint8Array(n) }));
  node.log.raft.persist({ hardState: { term: term(2), votedFor: 'me' }, entries }, () => undefined);
  node.log.log(testLogId(3)).restartAt(at(77));
  await fill(node.log.log(testLogId(1)), 12);
  node.log.raft.persist({ truncateFrom: logIndex(3) }, () => undefined);
  node.log.log(testLogId(1)).delete();
  for (let round = 0; round < 3; round += 1) {
    await fill(node.log.log(testLogId(2)), 12);
    node.log.log(testLogId(2)).restartAt(node.log.log(testLogId(2)).endOffset);
    await group(node);
    await node.close();
    expect(await checkpoints(disk)).toHaveLength(1);
    expect((await journals(disk)).length).toBeLessThan(3);
    node = await openTestNode({ disk, limits });
    expect([node.log.lossy, node.log.damaged, node.log.raft.doubtful]).toEqual([[], false, false]);
    expect(raftState(node)).toEqual({
      hardState: { term: 2, votedFor: 'me' },
      entries: [
        [1, 1],
        [2, 2],
      ],
    });
    expect(node.log.log(testLogId(3)).startOffset).toBe(77);
  }
  await node.close();
});

test('a missing or damaged checkpoint is damage, and so is a missing file behind it', async () => {
  for (const harm of ['missing', 'table', 'entries', 'next file'] as const) {
    const disk = new MemoryDisk();
    let node = await openTestNode({ disk, limits });
    node.log.raft.load();
    const entry = { index: logIndex(1), term: term(1), kind: 0, payload: new Uint8Array(500) };
    node.log.raft.persist({ entries: [entry] }, () => undefined);
    // The third log goes on, in the last file, from what only the checkpoint knows.
    const third = node.log.log(testLogId(3));
    await fill(third, 1);
    third.restartAt(at(1));
    await fill(node.log.log(testLogId(1)), 12);
    await fill(node.log.log(testLogId(2)), 12);
    await fill(third, 1);
    node.log.log(testLogId(1)).delete();
    await node.close();
    const checkpoint = `/node/${(await checkpoints(disk))[0]}`;
    if (harm === 'missing') await disk.remove(checkpoint);
    else if (harm === 'next file') await disk.remove(`/node/${(await journals(disk))[0]}`);
    else disk.flipBit(checkpoint, harm === 'table' ? 8192 + 80 : 4096 + 100);
    node = await openTestNode({ disk, limits });
    expect([harm, node.log.raft.doubtful]).toEqual([harm, true]);
    expect([harm, node.log.damaged]).toEqual([harm, harm !== 'entries']);
    const lossy = { missing: [testLogId(3)], table: [testLogId(3)], entries: [], 'next file': [testLogId(2)] };
    expect([harm, node.log.lossy.map(({ id }) => id)]).toEqual([harm, lossy[harm]]);
    // Nothing that is left goes away over it.
    const left = await disk.list('/node');
    const log = node.log.log(testLogId(2));
    log.restartAt(log.endOffset);
    await group(node);
    await turn();
    expect((await disk.list('/node')).length).toBeGreaterThanOrEqual(left.length);
    await node.close();
  }
});

test('when the row is lost that cut away what was dropped, the log is lossy and nothing is invented (X4)', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  // Three to a file: one that lives for another log too, and the open one that has nothing of this.
  await fill(log, 11);
  await fill(node.log.log(testLogId(2)), 2);
  const open = (await journals(disk)).at(-1)!;
  const position = disk.durableBytes(`/node/${open}`).length;
  log.restartAt(at(10));
  await group(node);
  await turn();
  expect(await journals(disk)).toHaveLength(2);
  disk.crash({ keep: 'nothing' });
  // The last group, so that what it says is cut as torn.
  disk.flipBit(`/node/${open}`, position + 70);
  node = await openTestNode({ disk, limits });
  expect(node.log.lossy).toMatchObject([{ id: testLogId(1), intactEnd: 0, knownEnd: 11 }]);
  const lossy = node.log.log(testLogId(1));
  expect([lossy.startOffset, lossy.endOffset]).toEqual([0, 0]);
  // Finishes the file that says so.
  await fill(node.log.log(testLogId(2)), 6);
  await node.close();
  node = await openTestNode({ disk, limits });
  expect(node.log.lossy).toMatchObject([{ intactEnd: 0 }]);
  expect([node.log.log(testLogId(1)).endOffset, node.log.log(testLogId(1)).bytes]).toEqual([0, 0]);
  await node.close();
});

for (const found of ['recovery', 'read'] as const) {
  test(`a file whose damage, met by a ${found}, made a log lossy stays until the log is healed`, async () => {
    const disk = new MemoryDisk();
    let node = await twoLogs(disk);
    const first = `/node/${(await journals(disk))[0]}`;
    if (found === 'recovery') {
      await node.close();
      // A row of the file, and its footer, so that the file is scanned.
      disk.flipBit(first, 4096 + 2 * 4096 + 1000);
      disk.flipBit(first, disk.durableBytes(first).length - 4096 + 100);
      node = await openTestNode({ disk, limits });
    } else {
      disk.flipBit(first, 4096 + 1000);
      const read = node.log.log(testLogId(1)).read(at(0), at(9), 100_000);
      await Promise.resolve(read).catch(() => undefined);
    }
    const log = node.log.log(testLogId(1));
    expect(log.lossy?.where).toContain(first);
    // It is refetched from elsewhere.
    log.restartAt(at(500));
    await fill(log, 12);
    expect(await disk.exists(first)).toBe(true);
    log.healed();
    await group(node);
    await turn();
    expect(await disk.exists(first)).toBe(false);
    await node.close();
    node = await openTestNode({ disk, limits });
    expect([node.log.lossy, node.log.raft.doubtful]).toEqual([[], false]);
    expect(node.log.log(testLogId(1)).startOffset).toBe(500);
    await node.close();
  });
}

test('that whole groups were lost stays known when the files around them are dropped', async () => {
  const disk = new MemoryDisk();
  let node = await twoLogs(disk);
  await node.close();
  await disk.remove(`/node/${(await journals(disk))[1]}`);
  for (let round = 0; round < 3; round += 1) {
    node = await openTestNode({ disk, limits });
    expect([round, node.log.damaged, node.log.raft.doubtful]).toEqual([round, true, round === 0]);
    node.log.raft.healed();
    for (const number of [1, 2]) {
      const log = node.log.log(testLogId(number));
      expect([round, number, log.lossy === undefined]).toEqual([round, number, round > 0 || number === 2]);
      if (log.lossy !== undefined) log.healed();
      log.restartAt(at(log.endOffset + 10));
      await fill(log, 6);
    }
    await group(node);
    await node.close();
    expect([round, await checkpoints(disk)]).toEqual([round, [expect.any(String)]]);
    expect((await journals(disk)).length).toBeLessThan(6);
  }
});

test('damage in a dead file that nobody has met keeps it, for recovery to judge', async () => {
  const disk = new MemoryDisk();
  const node = await twoLogs(disk);
  const first = `/node/${(await journals(disk))[0]}`;
  disk.flipBit(first, disk.durableBytes(first).length - 4096 + 100);
  node.log.log(testLogId(1)).delete();
  await group(node);
  await node.close();
  expect(await disk.exists(first)).toBe(true);
  // A footer alone is no loss.
  const again = await openTestNode({ disk, limits });
  expect(again.log.lossy).toEqual([]);
  await again.close();
  expect(await disk.exists(first)).toBe(false);
});

test('without room for a checkpoint nothing goes and nothing fails; another error stops the node', async () => {
  const memory = new MemoryDisk();
  let failure: string | undefined = 'ENOSPC';
  const disk = wrappedDisk(
    memory,
    {},
    {
      open: async (name, mode) => {
        const opened = await memory.open(name, mode);
        if (!name.includes('checkpoint-') || mode !== 'create') return opened;
        return {
          ...opened,
          writeDurable: async (buffers, position) => {
            if (failure !== undefined) throw new DiskError(failure, name, `write ${name}: ${failure}`);
            await opened.writeDurable(buffers, position);
          },
        };
      },
    },
  );
  const node = await twoLogs(disk);
  const files = (await journals(disk)).length;
  node.log.log(testLogId(1)).delete();
  await group(node);
  await turn();
  expect((await journals(disk)).length).toBeGreaterThanOrEqual(files);
  expect([await checkpoints(disk), node.halts]).toEqual([[], []]);
  // The next file that dies is another chance.
  failure = undefined;
  node.log.log(testLogId(2)).restartAt(at(6));
  await fill(node.log.log(testLogId(2)), 1);
  await turn();
  expect((await journals(disk)).length).toBeLessThan(3);
  failure = 'EIO';
  await fill(node.log.log(testLogId(2)), 12);
  node.log.log(testLogId(2)).restartAt(at(19));
  await group(node);
  await turn();
  expect(node.halts.map((halt) => halt.message)).toEqual([expect.stringContaining('EIO')]);
  expect(() => node.log.log(testLogId(2)).restartAt(at(20))).toThrow(
    expect.objectContaining({ code: 'STORAGE_FAILED' }),
  );
});

test('a file with rows is finished by age, also while nobody writes, and a clock that jumps finishes one', async () => {
  const disk = new MemoryDisk();
  const clock = new TestClock(1_700_000_000_000);
  const node = await openTestNode({ disk, clock, limits: { journalAgeMsMax: 10_000 } });
  const log = node.log.log(testLogId(1));
  // An open file without rows stays as it is.
  clock.advance(50_000);
  await turn();
  expect(node.log.stats.journalFiles).toBe(1);
  await fill(log, 1);
  clock.advance(9_999);
  await turn();
  expect([node.log.stats.journalFiles, log.expiredEnd({ bytesMax: 0 })]).toEqual([1, 0]);
  clock.advance(1);
  await turn();
  expect([node.log.stats.journalFiles, log.expiredEnd({ bytesMax: 0 })]).toEqual([2, 1]);
  clock.advance(50_000);
  await turn();
  expect(node.log.stats.journalFiles).toBe(2);
  await node.close();
  // It is as old as its first row, whoever wrote that.
  let again = await openTestNode({ disk, clock, limits: { journalAgeMsMax: 10_000 } });
  await fill(again.log.log(testLogId(1)), 1);
  await again.close();
  clock.advance(6_000);
  again = await openTestNode({ disk, clock, limits: { journalAgeMsMax: 10_000 } });
  await fill(again.log.log(testLogId(1)), 1);
  expect(again.log.stats.journalFiles).toBe(2);
  clock.advance(6_000);
  await turn();
  expect(again.log.stats.journalFiles).toBe(3);
  await again.close();
  const early = new TestClock(1_600_000_000_000);
  again = await openTestNode({ disk, clock: early, limits: { journalAgeMsMax: 10_000 } });
  await fill(again.log.log(testLogId(1)), 3);
  expect(again.log.stats.journalFiles).toBe(3);
  await again.close();
});
