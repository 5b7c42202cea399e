/**
 * Two passes of compaction, the second of which removes tombstones, cut at every disk operation with every kind of leftover:
 * what is found is whole, and a reader from the start ends with the newest value of each key, then and after one more pass.
 */
import { leaderEpoch, offset, SeededRandom } from '@sluice/base';
import {
  BatchBuilder,
  batchesIn,
  compressionOver,
  decodeRecords,
  draftOf,
  LogCompaction,
  patchBatch,
  unstamped,
} from '@sluice/record';
import { expect, test } from 'vitest';
import { CrashingDisk } from './crash-points.testing.ts';
import type { LogStore } from './log-store.ts';
import type { CrashOptions } from './memory-file.ts';
import { concat, testSpan } from './test-batches.ts';
import { durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const limits = {
  journalBytesMax: 6 * 4096,
  groupBytesMax: 8 * 1024,
  tailBytesMax: 0,
  spaceAheadBytes: 0,
  rewriteBytesPerSecondMax: Number.POSITIVE_INFINITY,
};
const none = (): never => {
  throw new Error('nothing here is compressed');
};
const compression = compressionOver({ compress: none, decompress: none, compressLater: none, decompressLater: none });
const keys = 6;
const batches = 33;

const keyOf = (at: number): number => (at * 5) % keys;
/** Every third record of a key ends it, also the last of some. */
const valueOf = (at: number): Uint8Array | null =>
  (Math.floor(at / keys) + keyOf(at)) % 3 === 2 ? null : new Uint8Array(700).fill(at);

function keyedBatch(base: number): Uint8Array {
  const builder = new BatchBuilder();
  for (const at of [base, base + 1]) {
    builder.append(draftOf({ timestamp: 1000 + at, key: Uint8Array.of(keyOf(at)), value: valueOf(at), headers: [] }));
  }
  const batch = builder.build(unstamped);
  patchBatch(batch, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(0) });
  return batch;
}

interface Found {
  readonly values: ReadonlyMap<number, number>;
  readonly offsets: readonly number[];
  readonly newest: ReadonlyMap<number, number>;
}

/** All records from the start; the batches follow each other. */
async function readAll(log: LogStore): Promise<Found> {
  const [values, newest, offsets] = [new Map<number, number>(), new Map<number, number>(), [] as number[]];
  let next: number = log.startOffset;
  while (next < log.endOffset) {
    const read = await log.read(offset(next), log.endOffset, 5000);
    if (read.kind === 'out-of-range' || read.bytes === 0) throw new Error(`nothing to read at ${next}`);
    for (const part of read.batches) {
      for (const found of batchesIn(part)) {
        if (!found.ok || found.header.baseOffset !== next) throw new Error(`a gap at ${next}`);
        next += found.header.lastOffsetDelta + 1;
        const decoded = decodeRecords(part.subarray(found.position));
        if (!decoded.ok) throw new Error(decoded.problem.message);
        for (const { offset: at, key, value } of decoded.value) {
          const [name = -1] = key ?? [];
          expect([at, name, value?.[0], value?.length]).toEqual([at, keyOf(at), valueOf(at)?.[0], valueOf(at)?.length]);
          offsets.push(at);
          newest.set(name, at);
          if (value === null) values.delete(name);
          else values.set(name, at);
        }
      }
    }
  }
  return { values, offsets, newest };
}

/** Over everything that is in finished files. */
async function pass(node: TestNode, passedMs: number): Promise<boolean> {
  const log = node.log.log(testLogId(1));
  const upTo = log.expiredEnd({ appendedBeforeMs: Number.POSITIVE_INFINITY });
  const newest = new Map<number, number>();
  for (let at = 0; at < upTo; at += 1) newest.set(keyOf(at), at);
  const compaction = new LogCompaction({
    end: upTo,
    isNewest: ([key = -1], at) => newest.get(key) === at,
    inProducerWindow: () => false,
    passedMs,
    newHorizonMs: 10,
    batchBytesMax: 100_000,
    compression,
    turn: () => Promise.resolve(),
  });
  const transform = async (given: Uint8Array): Promise<Uint8Array> => {
    const parts: Uint8Array[] = [];
    for (const found of batchesIn(given)) {
      if (!found.ok) throw new Error(found.problem.message);
      const batch = given.slice(found.position, found.position + found.header.batchBytes);
      parts.push(...(await compaction.next(batch, found.header)));
    }
    return concat([...parts, ...compaction.finish()]);
  };
  return node.log.rewrite([{ id: testLogId(1), upTo, transform }]);
}

async function write(crashing: CrashingDisk): Promise<void> {
  const node = await openTestNode({ disk: crashing.disk, limits: { ...limits, rewriteBytesPerSecondMax: 0 } });
  const log = node.log.log(testLogId(1));
  for (let base = 0; base < batches * 2; base += 2) {
    log.append(keyedBatch(base), testSpan(base, base + 2));
    await durable(log);
  }
  await node.close();
}

async function passes(crashing: CrashingDisk): Promise<void> {
  const node = await openTestNode({ disk: crashing.disk, limits });
  await pass(node, 0);
  await pass(node, 20);
  await node.close();
}

const leftovers: readonly ((seed: number) => CrashOptions)[] = [
  () => ({ keep: 'nothing' }),
  (seed) => ({ keep: new SeededRandom(seed), tearLastWrite: new SeededRandom(seed) }),
];

/** Undefined when the work was done before. */
async function crashedAt(point: number, leftover: CrashOptions): Promise<Found | undefined> {
  const crashing = new CrashingDisk();
  await write(crashing);
  if (await crashing.run(point, () => passes(crashing))) return undefined;
  crashing.disk.crash(leftover);
  const node = await openTestNode({ disk: crashing.disk, limits });
  const log = node.log.log(testLogId(1));
  const found = await readAll(log);
  expect([node.log.lossy, log.endOffset]).toEqual([[], batches * 2]);
  expect(await pass(node, 20)).toBe(true);
  expect((await readAll(log)).values).toEqual(found.values);
  expect(node.halts).toEqual([]);
  await node.close();
  return found;
}

test('a crash at any operation of two passes leaves a log that reads to the same end', async () => {
  const crashing = new CrashingDisk();
  await write(crashing);
  const before = await openTestNode({ disk: crashing.disk, limits: { ...limits, rewriteBytesPerSecondMax: 0 } });
  const whole = await readAll(before.log.log(testLogId(1)));
  await before.close();
  expect(whole.values.size).toBeLessThan(keys);
  const lengths = new Set<number>();
  let points = 0;
  for (let isOver = false; !isOver; points += 1) {
    for (const leftover of leftovers) {
      const found = await crashedAt(points, leftover(points));
      isOver = found === undefined;
      if (found === undefined) break;
      expect([points, found.values]).toEqual([points, whole.values]);
      lengths.add(found.offsets.length);
    }
  }
  expect(points).toBeGreaterThan(50);
  // Whole, compacted, and without tombstones; what lies in the open file stays.
  const [least = 0, ...more] = [...lengths].toSorted((a, b) => a - b);
  expect([least < keys * 2, more.length > 1, more.at(-1)]).toEqual([true, true, batches * 2]);
}, 120_000);
