/** State snapshots: where they are kept, and when there is none (K1 to K3 of `snapshot-places.ts`). */
import type { Disk } from '@sluice/base';
import { expect, test } from 'vitest';
import type { LogStore, StateSnapshot } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = { journalBytesMax: 20_000, tailBytesMax: 0, spaceAheadBytes: 0 };

/** Every snapshot of this log says at which offset it was taken. */
function owned(node: TestNode, number = 1): LogStore {
  const log = node.log.log(testLogId(number));
  log.snapshot = () => ({ offset: log.endOffset, bytes: Buffer.from(`${number} at ${log.endOffset}`) });
  return log;
}

const textOf = (snapshot: StateSnapshot | undefined): string | undefined =>
  snapshot && Buffer.from(snapshot.bytes).toString();

/** Six batches to a file. */
async function fill(log: LogStore, batches: number): Promise<void> {
  for (let n = 0; n < batches; n += 1) {
    const base = log.endOffset;
    log.append(testBatch({ base, valueBytes: 3000 }), testSpan(base, base + 1));
    await durable(log);
  }
}

const group = (node: TestNode): Promise<void> => new Promise((resolve) => node.log.raft.persist({}, resolve));

async function reopened(node: TestNode, disk: Disk): Promise<TestNode> {
  await node.close();
  return openTestNode({ disk, limits });
}

/** Until a checkpoint stands for the files that died. */
async function dropped(disk: Disk, files: number): Promise<void> {
  await expect
    .poll(async () => (await disk.list('/node')).filter((name) => name.startsWith('journal-')).length)
    .toBeLessThanOrEqual(files);
}

test('a log that has no owner has no snapshot, and one whose file is not finished has none yet', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await fill(node.log.log(testLogId(1)), 8);
  await fill(owned(node, 2), 1);
  expect(await node.log.log(testLogId(1)).loadSnapshot()).toBeUndefined();
  expect(await node.log.log(testLogId(2)).loadSnapshot()).toBeUndefined();
  node = await reopened(node, disk);
  expect(await node.log.log(testLogId(1)).loadSnapshot()).toBeUndefined();
  await node.close();
});

test('the newest snapshot is found, at once and after each restart, whatever file it is in', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await fill(owned(node, 2), 2);
  await fill(owned(node), 30);
  const newest = textOf(await node.log.log(testLogId(1)).loadSnapshot());
  expect(newest).toMatch(/^1 at 2\d$/);
  for (let round = 0; round < 3; round += 1) {
    node = await reopened(node, disk);
    expect(textOf(await node.log.log(testLogId(1)).loadSnapshot())).toBe(newest);
    expect(textOf(await node.log.log(testLogId(2)).loadSnapshot())).toBe('2 at 2');
  }
  await node.close();
});

test('a cut below the newest snapshot leaves the one before, and a cut below both none', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  let log = owned(node);
  await fill(log, 30);
  const newest = Number((await log.loadSnapshot())?.offset);
  log.snapshot = undefined;
  log.truncate(at(newest - 1));
  for (const base of [newest - 1, newest]) log.append(testBatch({ base, mark: 1 }), testSpan(base, base + 1));
  // Before the cut is durable, and after.
  const before = textOf(await log.loadSnapshot());
  expect(before).toMatch(/^1 at \d+$/);
  expect(before).not.toBe(`1 at ${newest}`);
  await group(node);
  await fill(log, 3);
  for (let round = 0; round < 2; round += 1) {
    expect(textOf(await log.loadSnapshot())).toBe(before);
    node = await reopened(node, disk);
    log = node.log.log(testLogId(1));
  }
  log.truncate(at(2));
  expect(await log.loadSnapshot()).toBeUndefined();
  await group(node);
  await fill(log, 28);
  node = await reopened(node, disk);
  expect(await node.log.log(testLogId(1)).loadSnapshot()).toBeUndefined();
  await node.close();
});

test('files that are dropped leave their snapshots to the checkpoint, and that to the next', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await fill(owned(node, 2), 2);
  const idle = owned(node, 3);
  await fill(idle, 5);
  await fill(owned(node), 14);
  // All of it expires: what was derived of it goes on to be true.
  idle.restartAt(idle.endOffset);
  idle.snapshot = undefined;
  node.log.log(testLogId(2)).restartAt(at(2));
  const busy = owned(node);
  for (let round = 0; round < 3; round += 1) {
    await fill(busy, 14);
    busy.restartAt(at(busy.endOffset - 1));
    await group(node);
    await dropped(disk, 2);
    expect(textOf(await idle.loadSnapshot())).toBe('3 at 5');
  }
  for (let round = 0; round < 2; round += 1) {
    node = await reopened(node, disk);
    expect(textOf(await node.log.log(testLogId(2)).loadSnapshot())).toBe('2 at 2');
    expect(textOf(await node.log.log(testLogId(3)).loadSnapshot())).toBe('3 at 5');
  }
  expect(node.log.lossy).toEqual([]);
  await node.close();
});

test('a log that goes on elsewhere, or lives again, has nothing of what it was', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await fill(owned(node), 14);
  await fill(owned(node, 2), 14);
  await fill(owned(node, 3), 14);
  await fill(owned(node, 4), 6);
  const [moved, reborn] = [node.log.log(testLogId(1)), node.log.log(testLogId(2))];
  // As a replica does whose log is not its leader's: the same place, and not the same batches below it.
  const replaced = node.log.log(testLogId(3));
  const { endOffset } = replaced;
  expect((await replaced.loadSnapshot())?.offset).toBe(endOffset);
  replaced.truncate(replaced.startOffset);
  replaced.restartAt(endOffset);
  replaced.snapshot = undefined;
  expect(await replaced.loadSnapshot()).toBeUndefined();
  moved.restartAt(at(moved.endOffset + 1));
  moved.snapshot = undefined;
  reborn.delete();
  const again = node.log.log(testLogId(2));
  expect([await moved.loadSnapshot(), await again.loadSnapshot()]).toEqual([undefined, undefined]);
  await fill(again, 1);
  await group(node);
  for (let round = 0; round < 2; round += 1) {
    expect(await node.log.log(testLogId(1)).loadSnapshot()).toBeUndefined();
    expect(await node.log.log(testLogId(2)).loadSnapshot()).toBeUndefined();
    expect(await node.log.log(testLogId(3)).loadSnapshot()).toBeUndefined();
    node = await reopened(node, disk);
  }
  await node.close();
});

test('a damaged snapshot is no loss: the one before counts, or none', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  await fill(owned(node), 30);
  const newest = textOf(await node.log.log(testLogId(1)).loadSnapshot());
  await node.close();
  const texts = [newest];
  for (let found = newest; found !== undefined && texts.length < 4; ) {
    expect(await flipBitOf(disk, found)).toBe(true);
    node = await openTestNode({ disk, limits });
    found = textOf(await node.log.log(testLogId(1)).loadSnapshot());
    expect(node.log.lossy).toEqual([]);
    texts.push(found);
    await node.close();
  }
  expect(texts).toEqual([newest, expect.stringMatching(/^1 at \d+$/), undefined]);
});

/** In the file that holds it. */
async function flipBitOf(disk: MemoryDisk, text: string): Promise<boolean> {
  for (const name of await disk.list('/node')) {
    const path = `/node/${name}`;
    const position = Buffer.from(disk.durableBytes(path)).lastIndexOf(text);
    if (position < 0) continue;
    disk.flipBit(path, position);
    return true;
  }
  return false;
}
