import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CommitPace, groupBytesMin } from './commit-pace.ts';
import { MemoryDisk } from './memory-disk.ts';
import type { GroupStats } from './node-log.ts';
import { testBatch, testSpan } from './test-batches.ts';
import { TestClock } from './test-clock.ts';
import { openTestNode, testLogId } from './test-node-log.ts';

const kib = 1024;
const mib = 1024 * 1024;

/** Commits back to back, each of `bytes` that arrived during the one before, on a disk of this speed. */
function fed(pace: CommitPace, disk: { emptyMs: number; bytesPerMs: number }, commits: number, bytes = 0): number {
  let nowMs = 0;
  let size = Math.max(bytes, 4096);
  for (let commit = 0; commit < commits; commit += 1) {
    if (bytes === 0) size = pace.groupBytesMax;
    const ms = disk.emptyMs + size / disk.bytesPerMs;
    pace.arrived(size);
    nowMs += ms;
    pace.committed({ bytes: size, ms, nowMs });
  }
  return nowMs;
}

test.each([
  { what: 'fast', emptyMs: 0.2, bytesPerMs: 1_000_000, expected: [4 * mib, 4 * mib] },
  { what: 'of 20 MB/s', emptyMs: 0.5, bytesPerMs: 20_000, expected: [340_000, 400_000] },
  { what: 'of 100 MB/s', emptyMs: 1, bytesPerMs: 100_000, expected: [1_700_000, 2_000_000] },
  { what: 'of 2 MB/s', emptyMs: 5, bytesPerMs: 2000, expected: [groupBytesMin, 300_000] },
  // 30 ms for anything: smaller groups would take as long, and carry less.
  { what: 'far away', emptyMs: 30, bytesPerMs: 1_000_000, expected: [2 * mib, 4 * mib] },
])('H4: the largest group on a disk that is $what', ({ emptyMs, bytesPerMs, expected }) => {
  const pace = new CommitPace(4 * mib, 0);
  fed(pace, { emptyMs, bytesPerMs }, 60);
  expect(pace.groupBytesMax).toBeGreaterThanOrEqual(expected[0] ?? 0);
  expect(pace.groupBytesMax).toBeLessThanOrEqual(expected[1] ?? 0);
});

test('H4: a disk that becomes fast again gets large groups again, and an accident changes nothing', () => {
  const pace = new CommitPace(4 * mib, 0);
  fed(pace, { emptyMs: 0.5, bytesPerMs: 20_000 }, 60);
  fed(pace, { emptyMs: 0.2, bytesPerMs: 1_000_000 }, 60);
  expect(pace.groupBytesMax).toBe(4 * mib);
  pace.committed({ bytes: 4 * mib, ms: 900, nowMs: 100_000 });
  expect(pace.groupBytesMax).toBe(4 * mib);
});

test.each([
  // 300 MB/s on a disk that is done in 0.4 ms: 120 kB come in meanwhile, 90 kB are counted on.
  { what: 'small and much comes', rate: 300_000, commitMs: 0.4, holds: 60_000, waits: true },
  { what: 'as large as what comes', rate: 300_000, commitMs: 0.4, holds: 120_000, waits: true },
  { what: 'large already', rate: 300_000, commitMs: 0.4, holds: 300_000, waits: false },
  { what: 'small, and little comes', rate: 10_000, commitMs: 0.4, holds: 4000, waits: false },
  { what: 'small, and little comes in a long commit', rate: 10_000, commitMs: 20, holds: 4000, waits: false },
])('H2: a group that is $what: waits $waits', ({ rate, commitMs, holds, waits }) => {
  const pace = new CommitPace(4 * mib, 0);
  const bytes = rate * commitMs;
  fed(pace, { emptyMs: commitMs, bytesPerMs: Number.POSITIVE_INFINITY }, 60, bytes);
  expect(pace.wait(holds) !== undefined).toBe(waits);
});

test('H3: waits that bring nothing become rare, and one that does makes them usual again', () => {
  const pace = new CommitPace(4 * mib, 0);
  const disk = { emptyMs: 0.4, bytesPerMs: Number.POSITIVE_INFINITY };
  const bytes = 120_000;
  fed(pace, disk, 60, bytes);
  let waits = 0;
  for (let commit = 0; commit < 256; commit += 1) {
    if (pace.wait(60_000) !== undefined) {
      waits += 1;
      pace.waited(false);
    }
    pace.arrived(bytes);
    pace.committed({ bytes, ms: 0.4, nowMs: 24 + (commit + 1) * 0.4 });
  }
  expect(waits).toBeLessThan(12);
  pace.waited(true);
  fed(pace, disk, 100, bytes);
  expect(pace.wait(60_000)).toBeDefined();
});

test('whatever happens, groups stay within their bounds and waits within theirs', () => {
  const event = fc.record({
    arrived: fc.integer({ min: 0, max: 20 * mib }),
    bytes: fc.integer({ min: 4096, max: 8 * mib }),
    ms: fc.double({ min: 0, max: 5000, noNaN: true }),
    idleMs: fc.double({ min: 0, max: 100, noNaN: true }),
    worth: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.integer({ min: 4096, max: 16 * mib }), fc.array(event, { maxLength: 60 }), (bytesMax, events) => {
      const pace = new CommitPace(bytesMax, 0);
      let nowMs = 0;
      let slowestMs = 0;
      for (const { arrived, bytes, ms, idleMs, worth } of events) {
        pace.arrived(arrived);
        nowMs += ms + idleMs;
        slowestMs = Math.max(slowestMs, ms);
        pace.committed({ bytes, ms, nowMs });
        expect(pace.groupBytesMax).toBeLessThanOrEqual(bytesMax);
        expect(pace.groupBytesMax).toBeGreaterThanOrEqual(Math.min(groupBytesMin, bytesMax));
        const wait = pace.wait(Math.floor(bytes / 8));
        if (wait === undefined) continue;
        expect(wait.ms).toBeLessThanOrEqual(Math.min(2, slowestMs));
        expect(wait.bytes).toBeGreaterThan(Math.floor(bytes / 8));
        expect(wait.bytes).toBeLessThanOrEqual(pace.groupBytesMax);
        pace.waited(worth);
      }
    }),
  );
});

// The node log over a simulated disk of a given speed

interface Simulated {
  readonly emptyMs: number;
  readonly bytesPerMs: number;
  readonly batchBytes: number;
  /** Per millisecond; fractions count. */
  readonly batchesPerMs: number;
  readonly forMs: number;
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
const stepMs = 0.05;

async function simulated(what: Simulated): Promise<readonly GroupStats[]> {
  const { emptyMs, bytesPerMs, batchBytes, batchesPerMs, forMs } = what;
  const clock = new TestClock();
  const disk = new MemoryDisk({
    clock,
    delayMs: ({ kind, bytes }) => (kind === 'writeDurable' ? emptyMs + bytes / bytesPerMs : 0),
  });
  const node = await openTestNode({ disk, clock });
  const log = node.log.log(testLogId(1));
  let owed = 0;
  for (let nowMs = 0; nowMs < forMs; nowMs += stepMs) {
    for (owed += batchesPerMs * stepMs; owed >= 1 && node.log.hasRoom; owed -= 1) {
      const base = log.endOffset;
      log.append(testBatch({ base, valueBytes: batchBytes }), testSpan(base, base + 1));
    }
    await turn();
    clock.advance(stepMs);
  }
  disk.crash({ keep: 'nothing' });
  return node.groups;
}

test('a slow disk gets groups that it writes in time', async () => {
  const groups = await simulated({
    emptyMs: 1,
    bytesPerMs: 50_000,
    batchBytes: 64 * kib,
    batchesPerMs: 1,
    forMs: 1500,
  });
  const settled = groups.slice(-10);
  for (const { writeMs, bytes } of settled) {
    expect(writeMs).toBeLessThan(24);
    expect(bytes).toBeLessThan(1.2 * mib);
    expect(bytes).toBeGreaterThan(512 * kib);
  }
  expect(settled).toHaveLength(10);
});

test('a fast disk under much load gets fewer and larger groups than it has time for', async () => {
  const forMs = 60;
  const groups = await simulated({ emptyMs: 0.4, bytesPerMs: 4_000_000, batchBytes: 4 * kib, batchesPerMs: 75, forMs });
  // Without a wait: as many as the disk can take, one after the other.
  const meanMs = groups.reduce((sum, { writeMs }) => sum + writeMs, 0) / groups.length;
  expect(groups.length).toBeLessThan((0.7 * forMs) / meanMs);
  for (const { queueMs, writeMs } of groups) expect(queueMs + writeMs).toBeLessThan(4);
});

test.each([
  { batchesPerMs: 1, batchBytes: 100 },
  { batchesPerMs: 10, batchBytes: kib },
])('H1: $batchesPerMs batches of $batchBytes B in a millisecond never wait but for the disk', async (load) => {
  const emptyMs = 0.4;
  const groups = await simulated({ ...load, emptyMs, bytesPerMs: 4_000_000, forMs: 60 });
  expect(groups.length).toBeGreaterThan(50);
  for (const { queueMs } of groups) expect(queueMs).toBeLessThan(emptyMs + 2 * stepMs);
});
