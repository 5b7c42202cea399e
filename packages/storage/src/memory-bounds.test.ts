/** What storage holds in memory, under more load than it has memory for: no bound is passed, and everybody is served. */
import type { DiskFile, Offset } from '@sluice/base';
import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import type { LogStore } from './log-store.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { NodeLogStats } from './node-log.ts';
import { at, testBatch, testSpan } from './test-batches.ts';
import { wrappedDisk } from './test-disk.ts';
import { durable, openTestNode, testLogId } from './test-node-log.ts';
import type { TestNode } from './test-node-log.ts';

const kib = 1024;
const limits = {
  journalBytesMax: 4 * kib * kib,
  groupBytesMax: 64 * kib,
  tailBytesMax: 512 * kib,
  pendingBytesMax: 128 * kib,
  readBufferBytesMax: kib * kib,
  indexBytesMax: 32 * kib,
  scrubBytesPerSecondMax: 0,
};
const appendBytesMax = 24 * kib;

/** The most that was there at once, of each; as the log counts it, and as the disk was asked for it. */
class Peaks {
  readonly disk: MemoryDisk;
  readonly under: ReturnType<typeof wrappedDisk>;
  readonly seen = { tailBytes: 0, pendingBytes: 0, indexBytes: 0, readBytes: 0, readsWaiting: 0, openReads: 0 };
  #openReads = 0;

  constructor() {
    this.disk = new MemoryDisk({ complete: (run) => void setImmediate(run) });
    const opened = (bytes: number): void => {
      this.#openReads += bytes;
      this.seen.openReads = Math.max(this.seen.openReads, this.#openReads);
    };
    this.under = wrappedDisk(this.disk, {
      async read(this: DiskFile, target, position) {
        opened(target.length);
        try {
          return await this.read(target, position);
        } finally {
          opened(-target.length);
        }
      },
    });
  }

  note({ tailBytes, indexBytes, readBytes, readsWaiting }: NodeLogStats, pendingBytes: number): void {
    const now = { tailBytes, indexBytes, readBytes, readsWaiting, pendingBytes };
    for (const [name, value] of Object.entries(now) as [keyof typeof now, number][]) {
      this.seen[name] = Math.max(this.seen[name], value);
    }
  }
}

async function write(node: TestNode, logs: readonly LogStore[], { count, note }: { count: number; note: () => void }) {
  const random = new SeededRandom(7);
  for (let written = 0; written < count; written += 1) {
    const log = logs[random.below(logs.length)]!;
    const base = log.endOffset;
    const batch = testBatch({ base, valueBytes: 10 + random.below(appendBytesMax - 200) });
    // As brokers do: who has no credit waits.
    await new Promise<void>((resolve) => node.log.whenRoom(resolve));
    log.append(batch, testSpan(base, base + 1));
    note();
  }
}

/** Reads the log from its start, in steps of its own; returns how many records it met. */
async function readAll(log: LogStore, end: Offset, { bytesMax, note }: { bytesMax: number; note: () => void }) {
  let [from, records] = [at(0), 0];
  while (from < end) {
    const read = await log.read(from, end, bytesMax);
    note();
    if (read.kind === 'out-of-range' || read.endOffset === from) throw new Error(`nothing to read at ${from}`);
    records += read.endOffset - from;
    from = read.endOffset;
  }
  return records;
}

test('many readers of old records and a writer that never rests stay within all bounds, and none of them starves', async () => {
  const peaks = new Peaks();
  const node = await openTestNode({ disk: peaks.under, limits });
  const note = (): void => peaks.note(node.log.stats, node.log.pendingBytes);
  const logs = [1, 2, 3, 4, 5].map((number) => node.log.log(testLogId(number)));
  await write(node, logs, { count: 1500, note });
  await Promise.all(logs.map(durable));
  const ends = logs.map((log) => log.endOffset);
  const readers = Array.from({ length: 60 }, (_, number) => {
    const which = number % logs.length;
    return readAll(logs[which]!, ends[which]!, { bytesMax: 4 * kib + number * 5 * kib, note });
  });
  const writer = write(node, logs, { count: 500, note });
  const read = await Promise.all(readers);
  await writer;
  await Promise.all(logs.map(durable));
  expect(read).toEqual(Array.from({ length: 60 }, (_, number) => ends[number % logs.length]!));
  const { seen } = peaks;
  expect(seen.tailBytes).toBeLessThanOrEqual(limits.tailBytesMax);
  expect(seen.pendingBytes).toBeLessThanOrEqual(limits.pendingBytesMax + appendBytesMax);
  expect(seen.readBytes).toBeLessThanOrEqual(limits.readBufferBytesMax);
  expect(seen.openReads).toBeLessThanOrEqual(limits.readBufferBytesMax);
  expect(seen.indexBytes).toBeLessThanOrEqual(limits.indexBytesMax);
  // It was more than there is room for.
  expect([seen.readsWaiting > 30, seen.readBytes > limits.readBufferBytesMax / 2]).toEqual([true, true]);
  expect([seen.tailBytes > limits.tailBytesMax - 64 * kib, seen.indexBytes > limits.indexBytesMax / 2]).toEqual([
    true,
    true,
  ]);
  expect([node.log.stats.readBytes, node.log.stats.readsWaiting, node.halts]).toEqual([0, 0, []]);
  await node.close();
}, 60_000);

test('I1: small batches finish a file before its rows take half of the memory for indexes', async () => {
  const node = await openTestNode({ disk: new MemoryDisk(), limits: { ...limits, indexBytesMax: 9600 } });
  const log = node.log.log(testLogId(1));
  for (let base = 0; base < 250; base += 1) {
    log.append(testBatch({ base }), testSpan(base, base + 1));
    await durable(log);
  }
  // 100 rows a file.
  expect(node.log.stats.journalFiles).toBe(3);
  expect(node.log.stats.diskBytes).toBeLessThan(limits.journalBytesMax);
  await node.close();
});

test('a record that is larger than the memory for reads is read all the same', async () => {
  const node = await openTestNode({
    disk: new MemoryDisk(),
    limits: { ...limits, tailBytesMax: kib, readBufferBytesMax: 100 * kib, groupBytesMax: 4 * kib * kib },
  });
  const log = node.log.log(testLogId(1));
  for (let base = 0; base < 4; base += 1) {
    log.append(testBatch({ base, valueBytes: 300 * kib }), testSpan(base, base + 1));
    await durable(log);
  }
  const read = await Promise.all([0, 1, 2].map(async (from) => log.read(at(from), at(4), kib)));
  expect(read.map((each) => (each.kind === 'batches' ? each.endOffset : undefined))).toEqual([1, 2, 3]);
  await node.close();
});
