/** Rewrites that are asked for, with transforms: every batch passes the transform once it counts, and reads go on. */
import { batchesIn, emptyBatch } from '@sluice/record';
import { expect, test } from 'vitest';
import { inspectDirectory } from './inspect.ts';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import { at, concat, testBatch, testSpan } from './test-batches.ts';
import { wrappedDisk } from './test-disk.ts';
import { contents, durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = {
  journalBytesMax: 64 * 1024,
  groupBytesMax: 32 * 1024,
  // Half of what is appended.
  tailBytesMax: 200 * 1024,
  spaceAheadBytes: 0,
  rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY,
};

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Each append has three batches of one record. */
async function fill(log: LogStore, appends: number): Promise<void> {
  for (let n = 0; n < appends; n += 1) {
    const base = log.endOffset;
    const batches = [0, 1, 2].map((more) => testBatch({ base: base + more, valueBytes: 6000 }));
    log.append(concat(batches), testSpan(base, base + 3));
    await durable(log);
  }
}

/** All batches that end at or below `upTo` become one empty batch of each piece. */
const emptying =
  (upTo: number, seen: number[] = []) =>
  (batches: Uint8Array): Uint8Array => {
    const out: Uint8Array[] = [];
    let from: number | undefined;
    let end = 0;
    const flush = (): void => {
      if (from !== undefined)
        out.push(emptyBatch({ baseOffset: from, endOffset: end, leaderEpoch: 0, maxTimestamp: 1 }));
      from = undefined;
    };
    for (const found of batchesIn(batches)) {
      if (!found.ok) throw new Error(found.problem.message);
      const { baseOffset, lastOffsetDelta, batchBytes } = found.header;
      if (baseOffset + lastOffsetDelta < upTo) {
        seen.push(baseOffset);
        from ??= baseOffset;
        end = baseOffset + lastOffsetDelta + 1;
        continue;
      }
      flush();
      out.push(batches.slice(found.position, found.position + batchBytes));
    }
    flush();
    return concat(out);
  };

async function expectReadable(log: LogStore): Promise<void> {
  for (let start = 0; start < log.endOffset; start += 1) {
    let from = start;
    while (from < log.endOffset) {
      const read = await log.read(at(from), log.endOffset, 500);
      if (read.kind === 'out-of-range' || read.endOffset <= from) throw new Error(`nothing to read at ${from}`);
      from = read.endOffset;
    }
  }
}

// In the middle of an append each, before, in and behind where the tail begins.
test.each([7, 25, 31, 34, 37, 40, 43])(
  'a log reads on from every offset after all up to %d became one empty batch, in memory too',
  async (upTo) => {
    const disk = new MemoryDisk();
    let node = await openTestNode({ disk, limits });
    const log = (): LogStore => node.log.log(testLogId(1));
    await fill(log(), 20);
    const before = log().bytes;
    // What the tail holds is read at once.
    const inTail = Array.from({ length: 60 }, (_, from) => !(log().read(at(from), at(60), 1) instanceof Promise));
    expect([inTail[20], inTail[40]]).toEqual([false, true]);
    // The second makes one of what the first made of each piece.
    for (let round = 0; round < 2; round += 1) {
      expect(await node.log.rewrite([{ id: testLogId(1), upTo, transform: emptying(upTo) }])).toBe(true);
      await expectReadable(log());
    }
    expect(log().bytes).toBeLessThan(before - (upTo - 1) * 6000);
    await node.close();
    node = await openTestNode({ disk, limits });
    await expectReadable(log());
    expect([node.log.lossy, node.halts]).toEqual([[], []]);
    await node.close();
  },
);

test('a transform is given what one file has of a log together: what it can join it joins at once', async () => {
  const disk = new MemoryDisk();
  const node = await openTestNode({ disk, limits: { ...limits, tailBytesMax: 0 } });
  const log = node.log.log(testLogId(1));
  // A group and a run each, fifteen of them in a file.
  for (let base = 0; base < 50; base += 1) {
    log.append(testBatch({ base }), testSpan(base, base + 1));
    await durable(log);
  }
  const upTo = 40;
  let calls = 0;
  const transform = (batches: Uint8Array): Uint8Array => {
    calls += 1;
    return emptying(upTo)(batches);
  };
  expect(await node.log.rewrite([{ id: testLogId(1), upTo, transform }])).toBe(true);
  const ends: number[] = [];
  for await (const header of log.headers(at(0))) ends.push(header.baseOffset + header.lastOffsetDelta + 1);
  expect(ends.filter((end) => end <= upTo).length).toBe(calls);
  expect(calls).toBeLessThan(6);
  await expectReadable(log);
  await node.close();
  // Who looks into the directory sees what is left.
  const { topicId, partition } = testLogId(1);
  const { logs } = await inspectDirectory(disk, '/node', { log: `${topicId}/${partition}`, batches: true });
  const [first] = logs[0]?.runs?.[0]?.batches ?? [];
  expect(first).toMatchObject({ base: 0, end: ends[0], records: 0, bytes: 61 });
});

test('a transform is called no more once its log was deleted, and not for what has its id next', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits: { ...limits, tailBytesMax: 0 } });
  const first = node.log.log(testLogId(1));
  await fill(first, 20);
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const upTo = 40;
  let calls = 0;
  const transform = async (batches: Uint8Array): Promise<Uint8Array> => {
    calls += 1;
    reached.resolve();
    await gate.promise;
    return emptying(upTo)(batches);
  };
  const rewritten = node.log.rewrite([{ id: first.id, upTo, transform }]);
  await reached.promise;
  first.delete();
  const next = node.log.log(testLogId(1));
  await fill(next, 20);
  const whole = await contents(next);
  gate.resolve();
  expect(await rewritten).toBe(true);
  expect(calls).toBe(1);
  expect(Buffer.compare(await contents(next), whole)).toBe(0);
  await node.close();
  node = await openTestNode({ disk, limits });
  expect(Buffer.compare(await contents(node.log.log(testLogId(1))), whole)).toBe(0);
  expect([node.log.lossy, node.halts]).toEqual([[], []]);
  await node.close();
});

test('what a rewrite that was under way copied without the transform passes it all the same', async () => {
  const memory = new MemoryDisk();
  const gate = Promise.withResolvers<void>();
  let isHeld = false;
  const disk = wrappedDisk(
    memory,
    {},
    {
      open: async (path, mode) => {
        if (path.includes('sorted-') && mode === 'create' && !isHeld) {
          isHeld = true;
          await gate.promise;
        }
        return memory.open(path, mode);
      },
    },
  );
  const node: TestNode = await openTestNode({ disk, limits });
  const log = node.log.log(testLogId(1));
  // Short runs: four files are put together by themselves.
  for (let n = 0; n < 60 && !isHeld; n += 1) {
    await fill(log, 1);
    await turn();
  }
  expect(isHeld).toBe(true);
  const upTo = 12;
  const seen: number[] = [];
  const rewritten = node.log.rewrite([{ id: testLogId(1), upTo, transform: emptying(upTo, seen) }]);
  gate.resolve();
  expect(await rewritten).toBe(true);
  expect([...new Set(seen)]).toEqual(Array.from({ length: upTo }, (_, offset) => offset));
  await expectReadable(log);
  await node.close();
});

test('of a set only the parts that hold the log are written anew', async () => {
  const disk = new MemoryDisk();
  let node = await openTestNode({ disk, limits });
  const logs = (): readonly LogStore[] => [1, 2].map((number) => node.log.log(testLogId(number)));
  const journals = (): number => node.log.stats.journalFiles;
  // Short runs of two topics: four files at a time become a set, which has parts of each.
  for (let n = 0; n < 30; n += 1) for (const log of logs()) await fill(log, 1);
  while (journals() > 4) await turn();
  const [asked, other] = logs();
  if (asked === undefined || other === undefined) throw new Error('two logs');
  const upTo = asked.endOffset / 2;
  const before = node.log.stats.rewrittenBytes;
  expect(await node.log.rewrite([{ id: asked.id, upTo, transform: emptying(upTo) }])).toBe(true);
  expect(other.bytes).toBeGreaterThan(500_000);
  expect(node.log.stats.rewrittenBytes - before).toBeLessThan(100_000);
  for (const log of logs()) expect(await contents(log)).toHaveLength(log.bytes);
  await node.close();
  node = await openTestNode({ disk, limits });
  for (const log of logs()) expect(await contents(log)).toHaveLength(log.bytes);
  expect([node.log.lossy, node.halts]).toEqual([[], []]);
  await node.close();
});
