/** S9: damage at rest is found although nobody reads there. */
import { expect, test } from 'vitest';
import { journalName } from './journal-file.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { NodeLogLimits } from './node-log.ts';
import { TestClock } from './test-clock.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { durable, openTestNode, testLogId, type TestNode } from './test-node-log.ts';

const hourMs = 3_600_000;
const intervalMs = 60_000;
const rate = 100_000;

interface Scrubbed {
  readonly disk: MemoryDisk;
  readonly clock: TestClock;
  readonly node: TestNode;
}

/** Two logs of 200 KB each in a finished file, and a little of the first in the open one. */
async function filled(limits: Partial<NodeLogLimits> = {}): Promise<Scrubbed> {
  const disk = new MemoryDisk();
  const clock = new TestClock();
  const scrub = { scrubBytesPerSecondMax: rate, scrubIntervalMs: intervalMs, tailBytesMax: 0, ...limits };
  const node = await openTestNode({ disk, clock, limits: scrub });
  for (let round = 0; round < 20; round += 1) {
    for (const number of [1, 2]) await append(node, number, 10_000);
  }
  clock.advance(2 * hourMs);
  await append(node, 1, 100);
  return { disk, clock, node };
}

async function append(node: TestNode, number: number, valueBytes: number): Promise<void> {
  const log = node.log.log(testLogId(number));
  const base = log.endOffset;
  log.append(testBatch({ base, valueBytes, mark: number }), testSpan(base, base + 1));
  await durable(log);
}

/** Piece by piece, until the pass is over. Returns the time that it took. */
async function pass({ clock, node }: Scrubbed): Promise<number> {
  const before = node.log.stats.scrubPasses;
  const beganMs = clock.monotonicMs();
  for (let step = 0; node.log.stats.scrubPasses === before; step += 1) {
    if (step > 2_000) throw new Error('the pass does not end');
    clock.advance(10);
    await new Promise((resolve) => void setImmediate(resolve));
  }
  return clock.monotonicMs() - beganMs;
}

const path = `/node/${journalName(1)}`;

/** Where the last byte of a batch of that log lies, of those that were written for it in the finished file. */
function positionIn(disk: MemoryDisk, batch: Uint8Array): number {
  return Buffer.from(disk.durableBytes(path)).indexOf(batch) + batch.length - 1;
}

test('a pass reads every finished byte of every log, no faster than it may', async () => {
  const it = await filled();
  await pass(it);
  const before = it.node.log.stats.scrubbedBytes;
  it.clock.advance(intervalMs);
  const tookMs = await pass(it);
  const bytes = it.node.log.stats.scrubbedBytes - before;
  const live = it.node.log.log(testLogId(1)).bytes + it.node.log.log(testLogId(2)).bytes;
  // What lies in the open file is not read.
  expect(live - bytes).toBe(testBatch({ base: 20, valueBytes: 100 }).length);
  expect(tookMs).toBeGreaterThan((bytes / rate) * 1_000 * 0.6);
  expect(it.node.log.lossy).toEqual([]);
  await it.node.close();
});

test('a flipped bit that nobody reads is found, and charged to its log', async () => {
  const it = await filled();
  it.disk.flipBit(path, positionIn(it.disk, testBatch({ base: 7, valueBytes: 10_000, mark: 2 })));
  await pass(it);
  expect(it.node.log.lossy.map(({ id, knownEnd }) => [id, knownEnd])).toEqual([[testLogId(2), 20]]);
  const { intactEnd, where } = it.node.log.lossy[0]!;
  expect(intactEnd).toBeLessThanOrEqual(7);
  expect(where).toContain(path);
  expect(it.node.halts).toEqual([]);
  await it.node.close();
});

test('a leader epoch that changed is found, though no batch has it in its checksum', async () => {
  const it = await filled();
  const batch = testBatch({ base: 3, valueBytes: 10_000, mark: 1 });
  it.disk.flipBit(path, positionIn(it.disk, batch) - batch.length + 1 + 15);
  await pass(it);
  expect(it.node.log.lossy.map(({ id }) => id)).toEqual([testLogId(1)]);
  await it.node.close();
});

test('the index at the end of a file is read from the disk again, whatever is known of it', async () => {
  const it = await filled();
  await it.node.log.log(testLogId(1)).read(at(0), at(20), 1_000);
  await it.node.log.log(testLogId(2)).read(at(0), at(20), 1_000);
  // The sections of the logs are the end of the footer.
  const bytes = it.disk.durableBytes(path);
  it.disk.flipBit(
    path,
    bytes.findLastIndex((byte) => byte !== 0),
  );
  await pass(it);
  expect(it.node.log.lossy.map(({ id, intactEnd }) => [id, intactEnd])).toEqual([[testLogId(2), 0]]);
  await it.node.close();
});

test('the next pass begins when the interval is over, and finds what was damaged since', async () => {
  const it = await filled();
  await pass(it);
  it.disk.flipBit(path, positionIn(it.disk, testBatch({ base: 7, valueBytes: 10_000, mark: 2 })));
  const { scrubbedBytes } = it.node.log.stats;
  it.clock.advance(intervalMs / 2);
  await new Promise((resolve) => void setImmediate(resolve));
  expect([it.node.log.stats.scrubbedBytes, it.node.log.lossy]).toEqual([scrubbedBytes, []]);
  it.clock.advance(intervalMs / 2);
  await pass(it);
  expect(it.node.log.lossy).toHaveLength(1);
  await it.node.close();
});

test('what is cut, dropped or deleted under a pass is no damage; a close ends it', async () => {
  const it = await filled();
  const [one, two] = [it.node.log.log(testLogId(1)), it.node.log.log(testLogId(2))];
  it.clock.advance(10);
  one.restartAt(at(15));
  two.delete();
  it.clock.advance(10);
  one.truncate(at(17));
  await pass(it);
  expect([it.node.log.lossy, it.node.halts]).toEqual([[], []]);
  it.clock.advance(intervalMs);
  await it.node.close();
  const { scrubPasses } = it.node.log.stats;
  it.clock.advance(10 * intervalMs);
  expect(it.node.log.stats.scrubPasses).toBe(scrubPasses);
});
