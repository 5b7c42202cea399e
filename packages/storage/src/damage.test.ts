/** Torn is cut, corrupt is reported and kept (S5 as amended, design §3). */
import { DiskError, isSluiceError, logIndex, offset, SeededRandom, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { frameAlignment, FrameKind, readFrameHeader, writeFrameHeader } from './frame.ts';
import { journalName } from './journal-file.ts';
import type { ReadResult } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { concat, testBatch, testSpan } from './test-batches.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const path = `/node/${journalName(1)}`;

/** One group for each batch: log 1 gets four, then log 2 gets four, with a Raft entry after each. */
async function written(disk: MemoryDisk, seal = true): Promise<Uint8Array[]> {
  const node = await openTestNode({ disk });
  const parts: Uint8Array[] = [];
  for (let n = 0; n < 8; n += 1) {
    const log = node.log.log(testLogId(n < 4 ? 1 : 2));
    const base = log.endOffset;
    const batch = testBatch({ base, valueBytes: 3000, mark: n });
    parts.push(batch.slice());
    log.append(batch, testSpan(base, base + 1));
    const entry = { index: logIndex(n + 1), term: term(1), kind: 0, payload: new Uint8Array(9) };
    await new Promise<void>((resolve) => node.log.raft.persist({ entries: [entry] }, resolve));
  }
  if (seal) await node.close();
  else disk.crash({ keep: 'everything' });
  return parts;
}

const groupAt = (number: number): number => 4096 + (number - 1) * 4096;

test('a flipped bit in the last group is torn: cut, and nothing is lossy', async () => {
  const disk = new MemoryDisk();
  const parts = await written(disk, false);
  disk.flipBit(path, groupAt(8) + 500);
  const node = await openTestNode({ disk });
  expect([node.log.lossy, node.log.damaged, node.log.raft.doubtful]).toEqual([[], false, false]);
  expect(node.log.log(testLogId(2)).endOffset).toBe(3);
  expect(concat([await contents(node.log.log(testLogId(1)))])).toEqual(concat(parts.slice(0, 4)));
  expect(node.log.raft.load().entries).toHaveLength(7);
  await node.close();
});

test('the same bit after a seal is corruption: the log is lossy, and nothing is cut from the file', async () => {
  const disk = new MemoryDisk();
  await written(disk);
  const before = disk.durableBytes(path).length;
  disk.flipBit(path, groupAt(8) + 2000);
  const node = await openTestNode({ disk });
  expect(node.log.lossy.map(({ id, intactEnd, knownEnd }) => ({ id, intactEnd, knownEnd }))).toEqual([
    { id: testLogId(2), intactEnd: 3, knownEnd: 4 },
  ]);
  expect(node.log.lossy[0]?.where).toContain(`${path} at byte ${groupAt(8)}`);
  expect(disk.durableBytes(path)).toHaveLength(before);
  await node.close();
});

test('a damaged batch in the middle is charged to its log alone, and the rest is served', async () => {
  const disk = new MemoryDisk();
  const parts = await written(disk);
  disk.flipBit(path, groupAt(3) + 2000);
  let node = await openTestNode({ disk });
  for (let round = 0; round < 3; round += 1) {
    expect(node.log.lossy.map((report) => [report.id, report.intactEnd])).toEqual([[testLogId(1), 2]]);
    expect(node.log.damaged).toBe(false);
    expect(node.log.raft.doubtful).toBe(false);
    expect(concat([await contents(node.log.log(testLogId(1)))])).toEqual(concat(parts.slice(0, 2)));
    expect(concat([await contents(node.log.log(testLogId(2)))])).toEqual(concat(parts.slice(4)));
    await node.close();
    node = await openTestNode({ disk });
  }
  // It refetches from the intact end, and is whole again when its partition says so.
  const log = node.log.log(testLogId(1));
  for (const batch of parts.slice(2, 4)) log.append(batch.slice(), testSpan(log.endOffset, log.endOffset + 1));
  await durable(log);
  await node.close();
  node = await openTestNode({ disk });
  expect(node.log.lossy).toHaveLength(1);
  expect(concat([await contents(node.log.log(testLogId(1)))])).toEqual(concat(parts.slice(0, 4)));
  node.log.log(testLogId(1)).healed();
  await node.close();
  node = await openTestNode({ disk });
  expect(node.log.lossy).toEqual([]);
  await node.close();
});

test('damage in a group that fills the window is charged to its row alone: the others are as they were written', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk });
  const [log, other] = [node.log.log(testLogId(1)), node.log.log(testLogId(2))];
  const entry = { index: logIndex(1), term: term(1), kind: 0, payload: new Uint8Array(9).fill(7) };
  const isStored = new Promise<void>((resolve) => node.log.raft.persist({ entries: [entry] }, resolve));
  log.append(testBatch({ base: 0, valueBytes: 1_200_000 }), testSpan(0, 1));
  await Promise.all([isStored, durable(log)]);
  other.append(testBatch({ base: 0 }), testSpan(0, 1));
  await durable(other);
  await node.close();
  disk.flipBit(path, groupAt(1) + 600_000);
  const again = await openTestNode({ disk });
  expect(again.log.lossy.map(({ id, intactEnd }) => [id, intactEnd])).toEqual([[testLogId(1), 0]]);
  expect(again.log.raft.load().entries).toEqual([entry]);
  await again.close();
});

test('a lost group is charged to every log that cannot show that it was not in it', async () => {
  const disk = new MemoryDisk();
  const parts = await written(disk);
  disk.flipBit(path, groupAt(2) + 10);
  const node = await openTestNode({ disk });
  // Log 1 misses its second batch; log 2 begins behind the hole, with a row that says so.
  expect(node.log.lossy.map((report) => [report.id, report.intactEnd, report.knownEnd])).toEqual([
    [testLogId(1), 1, 4],
  ]);
  expect(node.log.damaged).toBe(true);
  expect(node.log.raft.doubtful).toBe(true);
  expect(node.log.raft.load().entries).toHaveLength(1);
  expect(concat([await contents(node.log.log(testLogId(2)))])).toEqual(concat(parts.slice(4)));
  await node.close();
  const again = await openTestNode({ disk });
  expect(again.log.raft.doubtful).toBe(true);
  again.log.raft.healed();
  await again.close();
  const healed = await openTestNode({ disk });
  expect(healed.log.raft.doubtful).toBe(false);
  await healed.close();
});

test('a flipped bit outside of what the batch CRC covers is found too', async () => {
  const disk = new MemoryDisk();
  const parts = await written(disk);
  const position = Buffer.from(disk.durableBytes(path)).indexOf(Buffer.from(parts[2]!));
  // The leader epoch, which the leader writes after the producer made the CRC.
  disk.flipBit(path, position + 13);
  const node = await openTestNode({ disk });
  expect(node.log.lossy.map((report) => [report.id, report.intactEnd])).toEqual([[testLogId(1), 2]]);
  await node.close();
});

test('a group of another file, another place or another past is not taken for one', async () => {
  for (const stale of ['none', 'file', 'position', 'chain'] as const) {
    const disk = new MemoryDisk();
    await written(disk, false);
    // Without the space ahead.
    const bytes = disk.durableBytes(path).subarray(0, groupAt(9));
    const last = readFrameHeader(bytes.subarray(groupAt(8)), { fileId: 1, position: groupAt(8) });
    const frame = new Uint8Array(frameAlignment);
    writeFrameHeader(frame, {
      kind: FrameKind.group,
      fileId: stale === 'file' ? 77 : 1,
      number: 9,
      position: stale === 'position' ? groupAt(12) : groupAt(9),
      tableBytes: 0,
      payloadBytes: 0,
      rowCount: 0,
      previousChecksum: (last?.checksum ?? 0) ^ (stale === 'chain' ? 1 : 0),
      tableCrc: 0,
      appendedMs: 0,
    });
    disk.plant(path, concat([bytes, frame]));
    const node = await openTestNode({ disk });
    expect(node.log.lossy).toEqual([]);
    expect([node.log.log(testLogId(1)).endOffset, node.log.log(testLogId(2)).endOffset]).toEqual([4, 4]);
    expect(disk.durableBytes(path)).toHaveLength(bytes.length + (stale === 'none' ? frameAlignment : 0));
    await node.close();
  }
});

test('a missing file that the manifest names is damage', async () => {
  const disk = new MemoryDisk();
  await written(disk);
  await disk.remove(path);
  await disk.syncDirectory('/node');
  const node = await openTestNode({ disk });
  expect(node.log.damaged).toBe(true);
  expect(node.log.raft.doubtful).toBe(true);
  await node.close();
});

test('journal files without a manifest are not taken for an empty directory', async () => {
  const disk = new MemoryDisk();
  await written(disk);
  await disk.remove('/node/manifest');
  await expect(openTestNode({ disk })).rejects.toMatchObject({ code: 'DIRECTORY_DAMAGED' });
  expect(await disk.exists(path)).toBe(true);
});

test('a damaged manifest says what to do', async () => {
  const disk = new MemoryDisk();
  await written(disk);
  disk.flipBit('/node/manifest', 60);
  await expect(openTestNode({ disk })).rejects.toMatchObject({
    code: 'DIRECTORY_DAMAGED',
    message: expect.stringContaining('give the node an empty one') as unknown,
  });
});

test('a damaged footer costs a scan and nothing else', async () => {
  const disk = new MemoryDisk();
  const limits = { journalBytesMax: 20_000 };
  let node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  const parts: Uint8Array[] = [];
  for (let n = 0; n < 12; n += 1) {
    parts.push(testBatch({ base: n, valueBytes: 3000 }));
    log.append(testBatch({ base: n, valueBytes: 3000 }), testSpan(n, n + 1));
    await durable(log);
  }
  expect(node.log.stats.journalFiles).toBeGreaterThan(2);
  await node.close();
  disk.flipBit(path, disk.durableBytes(path).length - 4000);
  node = await openTestNode({ disk, limits });
  expect(node.log.lossy).toEqual([]);
  expect(concat([await contents(node.log.log(testLogId(1)))])).toEqual(concat(parts));
  await node.close();
});

test('decay in a finished file is found by the read, which serves what is good and reports the rest', async () => {
  const disk = new MemoryDisk();
  const limits = { journalBytesMax: 20_000, tailBytesMax: 0 };
  const node = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 12; n += 1) {
    log.append(testBatch({ base: n, valueBytes: 3000 }), testSpan(n, n + 1));
    await durable(log);
  }
  disk.flipBit(path, groupAt(2) + 1000);
  const read = await log.read(offset(0), offset(12), 100_000);
  expect(read.kind === 'batches' && read.endOffset).toBe(1);
  await expect(log.read(offset(1), offset(12), 100_000)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  expect(log.lossy).toMatchObject({ intactEnd: 1 });
  expect(node.log.lossy).toHaveLength(1);
  await node.close();
});

test('damage that a read meets is told once, and again when it is further back, up to a batch boundary', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { journalBytesMax: 20_000, tailBytesMax: 0 } });
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 12; n += 1) {
    log.append(testBatch({ base: n * 10, records: 10, valueBytes: 300 }), testSpan(n * 10, n * 10 + 10));
    await durable(log);
  }
  const told: unknown[] = [];
  log.onLossy = ({ intactEnd, knownEnd, whileOpen }) => told.push([intactEnd, knownEnd, whileOpen]);
  const fails = async (from: number): Promise<void> => {
    await expect(log.read(offset(from), offset(120), 100_000)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  };
  disk.flipBit(path, groupAt(3) + 1000);
  await fails(25);
  await fails(20);
  expect([told, node.log.stats.damages]).toEqual([[[20, 120, true]], 1]);
  disk.flipBit(path, groupAt(2) + 1000);
  await fails(13);
  expect([told.at(-1), told.length, node.log.stats.damages]).toEqual([[10, 120, true], 2, 2]);
  log.truncate(offset(10));
  log.append(testBatch({ base: 10, records: 10, valueBytes: 300 }), testSpan(10, 20));
  await durable(log);
  expect(batchEnd(await log.read(offset(0), offset(20), 100_000))).toBe(20);
  log.healed();
  expect([log.lossy, node.log.lossy, node.halts]).toEqual([undefined, [], []]);
  await node.close();
});

test('a place that the disk cannot read is damage, and nothing halts', async () => {
  let isBad = false;
  const disk = new MemoryDisk({ faults: ({ kind }) => (isBad && kind === 'read' ? { fail: 'EIO' } : 'run') });
  const node = await openTestNode({ disk, limits: { tailBytesMax: 0 } });
  const log = node.log.log(testLogId(1));
  log.append(testBatch({ base: 0, records: 10 }), testSpan(0, 10));
  await durable(log);
  isBad = true;
  await expect(log.read(offset(5), offset(10), 100)).rejects.toMatchObject({ code: 'STORAGE_FAILED' });
  expect([log.lossy?.intactEnd, node.halts]).toEqual([0, []]);
  await node.close();
});

const batchEnd = (read: ReadResult): number => (read.kind === 'batches' ? read.endOffset : -1);

test('random bytes as a journal file, and random bits in one, never hang and never throw but what is typed', async () => {
  const random = new SeededRandom(11);
  let opened = 0;
  const whole = new MemoryDisk();
  await written(whole);
  const good = whole.durableBytes(path);
  for (let round = 0; round < 150; round += 1) {
    const disk = new MemoryDisk();
    await written(disk);
    const bytes =
      round % 3 === 0 ? Uint8Array.from({ length: random.below(30_000) }, () => random.below(256)) : good.slice();
    if (round % 3 > 0) for (let flips = 0; flips < 1 + random.below(20); flips += 1) flip(bytes, random);
    disk.plant(path, round % 3 === 2 ? bytes.subarray(0, random.below(bytes.length)) : bytes);
    const node = await openTestNode({ disk }).catch((error: unknown) => error);
    if (isNode(node)) {
      for (const id of node.log.logIds()) await contents(node.log.log(id));
      await node.close();
      opened += 1;
    } else if (!isSluiceError(node) && !(node instanceof DiskError)) throw node;
  }
  expect(opened).toBeGreaterThan(100);
}, 30_000);

function flip(bytes: Uint8Array, random: SeededRandom): void {
  const position = random.below(bytes.length);
  bytes[position] = (bytes[position] ?? 0) ^ (1 << random.below(8));
}

const isNode = (value: unknown): value is TestNode => typeof value === 'object' && value !== null && 'log' in value;
