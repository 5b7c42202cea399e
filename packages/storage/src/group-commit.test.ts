import { isSluiceError, logIndex, offset, term } from '@sluice/base';
import { expect, test } from 'vitest';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { contents, durable, openTestNode, testLogId } from './test-node-log.ts';

function append(log: LogStore, valueBytes = 100): void {
  const base = log.endOffset;
  log.append(testBatch({ base, valueBytes }), testSpan(base, base + 1));
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test('what arrives together is one durable write, whatever the number of logs', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk });
  const before = disk.operations('writeDurable');
  const others = [disk.operations('write'), disk.operations('sync')];
  const logs = Array.from({ length: 100 }, (_, n) => node.log.log(testLogId(n)));
  for (const log of logs) append(log);
  await Promise.all(logs.map((log) => durable(log)));
  expect(disk.operations('writeDurable')).toBe(before + 1);
  // What arrives while a group is being written is the next one.
  disk.holdSyncs();
  append(logs[0]!);
  await turn();
  for (const log of logs) append(log);
  await turn();
  disk.releaseSyncs();
  await Promise.all(logs.map((log) => durable(log)));
  expect(disk.operations('writeDurable')).toBe(before + 3);
  expect([disk.operations('write'), disk.operations('sync')]).toEqual(others);
  await node.close();
});

test('groups have a limit, and everything completes in the order of the calls', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { groupBytesMax: 10_000 } });
  const order: string[] = [];
  const done: Promise<void>[] = [];
  for (let n = 0; n < 20; n += 1) {
    const log = node.log.log(testLogId(n));
    log.onDurable = () => order.push(`log ${n}`);
    append(log, 2000);
    done.push(
      new Promise((resolve) =>
        node.log.raft.persist(
          { entries: [{ index: logIndex(n + 1), term: term(1), kind: 0, payload: new Uint8Array(5) }] },
          () => {
            order.push(`raft ${n}`);
            resolve();
          },
        ),
      ),
    );
  }
  await Promise.all(done);
  expect(node.groups.length).toBeGreaterThan(3);
  for (const group of node.groups) expect(group.bytes).toBeLessThan(16_384);
  expect(order.filter((text) => text.startsWith('log'))).toEqual(Array.from({ length: 20 }, (_, n) => `log ${n}`));
  expect(order.filter((text) => text.startsWith('raft'))).toEqual(Array.from({ length: 20 }, (_, n) => `raft ${n}`));
  await node.close();
});

test('a held sync holds every completion, and its age is known', async () => {
  const disk = new MemoryDisk();
  const clock = new TestClock();
  const node = await openTestNode({ disk, clock });
  const log = node.log.log(testLogId(1));
  expect(node.log.oldestUnsyncedMs(clock.monotonicMs())).toBe(0);
  disk.holdSyncs();
  let completed = 0;
  log.onDurable = () => {
    completed += 1;
  };
  append(log);
  node.log.raft.persist({ hardState: { term: term(3), votedFor: 'n' } }, () => {
    completed += 1;
  });
  await turn();
  clock.advance(1500);
  append(log);
  await turn();
  expect([completed, log.durableOffset, log.endOffset]).toEqual([0, 0, 2]);
  expect(node.log.oldestUnsyncedMs(clock.monotonicMs())).toBe(1500);
  expect(node.log.pendingBytes).toBeGreaterThan(300);
  disk.releaseSyncs();
  await turn();
  await turn();
  expect([completed, log.durableOffset]).toEqual([3, 2]);
  expect(node.log.pendingBytes).toBe(0);
  expect(node.log.oldestUnsyncedMs(clock.monotonicMs())).toBe(0);
  await node.close();
});

for (const [name, fail] of [
  ['sync', (disk: MemoryDisk): void => disk.failSyncs()],
  ['write', (disk: MemoryDisk): void => disk.failWrites('ENOSPC')],
] as const) {
  test(`a failed ${name} completes nothing, halts once, refuses everything after and is never tried again`, async () => {
    const disk = new MemoryDisk();
    const node = await openTestNode({ disk });
    const log = node.log.log(testLogId(1));
    append(log);
    await durable(log);
    fail(disk);
    let completed = 0;
    log.onDurable = () => {
      completed += 1;
    };
    append(log);
    node.log.raft.persist({ hardState: { term: term(3), votedFor: 'n' } }, () => {
      completed += 1;
    });
    await turn();
    expect([completed, log.durableOffset]).toEqual([0, 1]);
    expect(node.halts).toHaveLength(1);
    expect(isSluiceError(node.halts[0]) && node.halts[0].code).toBe('STORAGE_FAILED');
    expect(node.halts[0]?.message).toContain('start the node again');
    const written = (): number =>
      disk.operations('writeDurable') +
      disk.operations('sync') +
      disk.operations('write') +
      disk.operations('truncate');
    const before = written();
    expect(() => append(log)).toThrow(expect.objectContaining({ code: 'STORAGE_FAILED' }));
    expect(() => log.truncate(offset(0))).toThrow(expect.objectContaining({ code: 'STORAGE_FAILED' }));
    expect(() => node.log.raft.persist({}, () => undefined)).toThrow(
      expect.objectContaining({ code: 'STORAGE_FAILED' }),
    );
    expect(node.log.hasRoom).toBe(false);
    await node.close();
    expect(written()).toBe(before);
    expect(node.halts).toHaveLength(1);
  });
}

test('what was appended while the failing group was under way is not completed either', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk });
  const log = node.log.log(testLogId(1));
  disk.holdSyncs();
  append(log);
  await turn();
  append(log);
  disk.failSyncs(1);
  disk.releaseSyncs();
  await turn();
  await turn();
  expect(log.durableOffset).toBe(0);
  expect(node.halts).toHaveLength(1);
});

test('bytes that were cut while on their way to the disk are never reported, though others took their offsets', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk });
  const log = node.log.log(testLogId(1));
  const reports: number[] = [];
  log.onDurable = (end) => reports.push(end);
  disk.holdSyncs();
  for (let n = 0; n < 5; n += 1) append(log);
  await turn();
  log.truncate(offset(2));
  for (let n = 0; n < 8; n += 1) append(log);
  disk.releaseSyncs();
  disk.holdSyncs();
  await turn();
  expect([reports, log.durableOffset, log.endOffset]).toEqual([[2], 2, 10]);
  disk.releaseSyncs();
  await turn();
  expect(reports).toEqual([2, 10]);
  await node.close();
});

test('a cut under a read from the disk is seen by the read', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { tailBytesMax: 0 } });
  const log = node.log.log(testLogId(1));
  for (let n = 0; n < 5; n += 1) append(log);
  await durable(log);
  await turn();
  const reading = log.read(offset(0), offset(5), 100_000);
  expect(reading).toBeInstanceOf(Promise);
  log.truncate(offset(2));
  const read = await reading;
  expect(read.kind === 'batches' && read.endOffset).toBe(2);
  await node.close();
});

test('room is withheld while the disk is behind, and given back in order', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { pendingBytesMax: 1000 } });
  const log = node.log.log(testLogId(1));
  const got: number[] = [];
  node.log.whenRoom(() => got.push(0));
  expect(got).toEqual([0]);
  disk.holdSyncs();
  append(log, 2000);
  expect(node.log.hasRoom).toBe(false);
  node.log.whenRoom(() => got.push(1));
  node.log.whenRoom(() => got.push(2));
  await turn();
  expect(got).toEqual([0]);
  disk.releaseSyncs();
  await durable(log);
  await turn();
  expect(got).toEqual([0, 1, 2]);
  await node.close();
});

test('an idle log seals its last group once', async () => {
  const disk = new MemoryDisk();
  const clock = new TestClock();
  const node = await openTestNode({ disk, clock, limits: { sealAfterIdleMs: 50 } });
  append(node.log.log(testLogId(1)));
  await durable(node.log.log(testLogId(1)));
  await turn();
  const groups = node.log.stats.groups;
  clock.advance(49);
  await turn();
  expect(node.log.stats.groups).toBe(groups);
  clock.advance(1);
  await turn();
  expect(node.log.stats.groups).toBe(groups + 1);
  clock.advance(1000);
  await turn();
  expect(node.log.stats.groups).toBe(groups + 1);
  await node.close();
});

test('the tail counts each backing store once, stays within its limit and never drops what is not durable', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { tailBytesMax: 512 * 1024, groupBytesMax: 100_000 } });
  const log = node.log.log(testLogId(1));
  disk.holdSyncs();
  for (let n = 0; n < 50; n += 1) append(log, 32_000);
  await turn();
  // One group is durable and evicted, the others are not.
  disk.releaseSyncs();
  disk.holdSyncs();
  await turn();
  expect(log.durableOffset).toBeGreaterThan(0);
  expect(log.durableOffset).toBeLessThan(10);
  expect(log.read(log.durableOffset, offset(50), 10_000_000)).not.toBeInstanceOf(Promise);
  expect(node.log.stats.tailBytes).toBeGreaterThan(40 * 32_000);
  disk.releaseSyncs();
  await durable(log);
  await turn();
  expect(node.log.stats.tailBytes).toBeLessThanOrEqual(512 * 1024);
  expect(log.read(offset(0), offset(50), 1_000_000)).toBeInstanceOf(Promise);
  expect((await contents(log)).length).toBeGreaterThan(50 * 32_000);
  await node.close();
});

test('small appends do not pin the buffer that they came in, large ones are kept as they are', async () => {
  const node = await openTestNode({ disk: new MemoryDisk() });
  const log = node.log.log(testLogId(1));
  const socket = new Uint8Array(1024 * 1024);
  const small = testBatch({ base: 0, valueBytes: 100 });
  socket.set(small);
  log.append(socket.subarray(0, small.length), testSpan(0, 1));
  socket.fill(0);
  const read = await log.read(offset(0), offset(1), 1000);
  expect(read.kind === 'batches' && read.batches[0]).toEqual(small);
  expect(node.log.stats.tailBytes).toBeLessThan(128 * 1024);
  const large = testBatch({ base: 1, valueBytes: 20_000 });
  log.append(large, testSpan(1, 2));
  const again = await log.read(offset(1), offset(2), 1000);
  expect(again.kind === 'batches' && again.batches[0]?.buffer).toBe(large.buffer);
  await node.close();
});

test('a backing store that the tail let go of counts again when another batch lies in it', async () => {
  const node = await openTestNode({ disk: new MemoryDisk() });
  const log = node.log.log(testLogId(1));
  const store = new Uint8Array(200_000);
  const batch = testBatch({ base: 0, valueBytes: 20_000 });
  for (const at of [0, 100_000]) {
    store.set(batch, at);
    log.append(store.subarray(at, at + batch.length), testSpan(0, 1));
    expect(node.log.stats.tailBytes).toBeGreaterThan(200_000);
    await durable(log);
    log.truncate(offset(0));
    expect(node.log.stats.tailBytes).toBe(0);
  }
  await node.close();
});
