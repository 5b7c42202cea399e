/** What goes first on the stream of one follower, over logs that the test scripts: how far they are in memory, and when a read is over. */
import { nodeId, offset, silentLogger } from '@sluice/base';
import type { Offset } from '@sluice/base';
import type { ReadResult } from '@sluice/storage';
import { ManualClock } from '@sluice/wire';
import type { ReplicaPush } from '@sluice/wire';
import { expect, test } from 'vitest';
import { CatchUpBudget } from './catch-up-budget.ts';
import { FollowerPushes } from './follower-pushes.ts';
import { Slot } from './follower-slot.ts';
import type { PartitionHost } from './partition-host.ts';

const KiB = 1024;
const batchBytes = 1_000;
const windowBytes = 64 * KiB;
const follower = 2;

/** A partition whose offsets are batches of the same size. */
class ScriptedLog {
  tailStart: Offset = offset(0);
  endOffset: Offset = offset(0);
  highWatermark: Offset = offset(0);
  /** How often somebody looked where the high watermark is. */
  looks = 0;
  readonly coldReads: (() => void)[] = [];
  /** Whom acks wait for. */
  maximalIsr: readonly number[] = [];

  read(from: Offset, upTo: Offset, bytesMax: number): ReadResult | Promise<ReadResult> {
    const count = Math.max(1, Math.min(upTo - from, Math.floor(bytesMax / batchBytes)));
    const read: ReadResult = {
      kind: 'batches',
      batches: [new Uint8Array(count * batchBytes).fill(0xff)],
      bytes: count * batchBytes,
      endOffset: offset(from + count),
    };
    if (from >= this.tailStart) return read;
    return new Promise((resolve) => void this.coldReads.push(() => resolve(read)));
  }

  /** As far as a slot asks it. */
  get host(): PartitionHost {
    const look = (): Offset => {
      this.looks += 1;
      return this.highWatermark;
    };
    const replica = { logStart: offset(0), highWatermark: offset(0), maximalIsr: this.maximalIsr };
    Object.defineProperty(replica, 'highWatermark', { get: look });
    return { log: this, replica, topicName: 'orders', error: (code: string) => new Error(code) } as never;
  }
}

function stream(bytesPerSecond = 1024 ** 3) {
  const clock = new ManualClock();
  const sent: ReplicaPush[] = [];
  const counts = { pushedBytes: 0, catchUpBytes: 0 };
  const budget = new CatchUpBudget(clock, bytesPerSecond);
  const pushes = new FollowerPushes({
    nodeId: nodeId(follower),
    sender: { bufferedBytes: 0, whenDrained: () => undefined },
    clock,
    logger: silentLogger,
    budget,
    counts,
    send: (some) => void sent.push(...some),
    refuse: () => undefined,
  });
  let slots = 0;
  /** A follower stands at 0 of a log that ends at `end`, the last `inTail` of it in memory. */
  const slot = (end: number, inTail: number, maximalIsr: readonly number[] = [1]) => {
    const log = new ScriptedLog();
    log.maximalIsr = maximalIsr;
    log.endOffset = offset(end);
    log.tailStart = offset(end - inTail);
    slots += 1;
    const made = new Slot(pushes, log.host, slots);
    made.pushing = true;
    pushes.wake(made);
    return { log, slot: made };
  };
  const append = ({ log, slot: to }: ReturnType<typeof slot>, count = 1): void => {
    log.endOffset = offset(log.endOffset + count);
    to.onAppended(count * batchBytes);
  };
  const bytesOf = (number: number): number =>
    sent.filter((push) => push.slot === number).reduce((sum, { batches }) => sum + (batches[0]?.byteLength ?? 0), 0);
  return { clock, sent, counts, pushes, slot, append, bytesOf };
}

test.each([10, 5_000])('a high watermark that moves costs the same whatever the number of slots: %d', async (count) => {
  const { clock, sent, slot } = stream();
  const all = Array.from({ length: count }, () => slot(0, 0));
  await clock.pass(10);
  expect(sent.length).toBe(count);
  for (const { log } of all) log.looks = 0;
  const moved = all[count >> 1]!;
  moved.log.highWatermark = offset(1);
  moved.slot.onReadable();
  await clock.pass(10);
  expect(sent.slice(count)).toMatchObject([{ slot: moved.slot.number, highWatermark: 1, batches: [] }]);
  expect(all.reduce((sum, { log }) => sum + log.looks, 0)).toBeLessThan(10);
});

test.each([10, 5_000])('without credit a turn does not look at %d slots that wait for it', async (count) => {
  const { clock, pushes, sent, slot, append } = stream();
  const all = Array.from({ length: count }, () => slot(5, 5));
  await clock.settle();
  for (const { log } of all) log.looks = 0;
  append(all[0]!);
  await clock.settle();
  expect([sent.length, all.reduce((sum, { log }) => sum + log.looks, 0)]).toEqual([0, 0]);
  pushes.grant(5_000 * 5 * batchBytes);
  await clock.settle();
  expect(sent.filter(({ batches }) => batches.length > 0).length).toBe(count);
});

test('one read behind the tail at a time, and what is new passes it', async () => {
  const { clock, pushes, slot, append, bytesOf } = stream();
  pushes.grant(windowBytes);
  const behind = [slot(100, 0), slot(100, 0), slot(100, 0)];
  const head = slot(0, 0);
  await clock.settle();
  const reads = (): number => behind.reduce((sum, { log }) => sum + log.coldReads.length, 0);
  expect([reads(), pushes.behindCount]).toEqual([1, 3]);
  append(head);
  await clock.settle();
  expect([bytesOf(head.slot.number), reads()]).toEqual([batchBytes, 1]);
  behind[0]!.log.coldReads.shift()?.();
  await clock.pass(1);
  // The next one has its turn.
  expect([bytesOf(1), behind.map(({ log }) => log.coldReads.length)]).toEqual([16 * batchBytes, [0, 1, 0]]);
});

test('of what is behind that goes first which acks wait for, and after three of it one of the others', async () => {
  const { clock, pushes, slot, sent, counts } = stream();
  const others = [slot(10_000, 0), slot(10_000, 0)];
  const awaited = [slot(10_000, 0, [1, follower]), slot(10_000, 0, [1, follower])];
  pushes.grant(windowBytes);
  let granted = 0;
  await clock.settle();
  for (let turn = 0; turn < 10; turn += 1) {
    for (const { log } of [...others, ...awaited]) log.coldReads.shift()?.();
    await clock.pass(1);
    pushes.grant(counts.pushedBytes - granted);
    granted = counts.pushedBytes;
  }
  const order = sent.filter(({ batches }) => batches.length > 0).map((push) => push.slot);
  expect(order.slice(0, 8)).toEqual([3, 4, 3, 1, 4, 3, 4, 2]);
});

test('the first push confirms the position at once, also of a slot that waits to be read', async () => {
  const { clock, pushes, slot, sent } = stream();
  pushes.grant(windowBytes);
  const [first, second] = [slot(100, 0), slot(100, 0)];
  await clock.settle();
  expect(sent).toMatchObject([first, second].map(({ slot: { number } }) => ({ slot: number, batches: [] })));
});

test('what is behind has at most half of the window under way, and the head has the rest', async () => {
  const { clock, pushes, slot, append, bytesOf } = stream();
  pushes.grant(windowBytes);
  const behind = slot(1_000, 0);
  const head = slot(0, 0);
  await clock.settle();
  for (let round = 0; round < 10; round += 1) {
    behind.log.coldReads.shift()?.();
    await clock.pass(1);
  }
  expect(bytesOf(behind.slot.number)).toBeGreaterThan(windowBytes / 2 - 16_000);
  expect(bytesOf(behind.slot.number)).toBeLessThan(windowBytes / 2 + 16_000);
  append(head, 20);
  await clock.settle();
  expect(bytesOf(head.slot.number)).toBe(20 * batchBytes);
});

test('a head that takes all credit that comes does not keep what is behind waiting for ever (P4)', async () => {
  const { clock, pushes, slot, append, bytesOf } = stream();
  pushes.grant(4_096 * KiB);
  const head = slot(0, 0);
  await clock.settle();
  append(head, 10_000);
  await clock.settle();
  const behind = slot(100_000, 0);
  for (let round = 0; round < 20; round += 1) {
    append(head, 2_000);
    pushes.grant(1_024 * KiB);
    await clock.pass(1);
    behind.log.coldReads.shift()?.();
    await clock.pass(1);
  }
  const [behindBytes, headBytes] = [bytesOf(behind.slot.number), bytesOf(head.slot.number)];
  // A quarter to a half of what was granted.
  expect(behindBytes).toBeGreaterThan(5_000 * KiB);
  expect(behindBytes).toBeLessThan(11_000 * KiB);
  expect(headBytes).toBeGreaterThan(10_000 * KiB);
});

test('what is behind goes at the rate of the budget, and what its partition takes in comes on top', async () => {
  const perSecond = 100_000;
  const { clock, pushes, slot, append, counts } = stream(perSecond);
  pushes.grant(windowBytes);
  const behind = slot(10_000, 0);
  /** One second; its log takes in so many batches meanwhile. */
  const second = async (appended: number): Promise<number> => {
    const before = counts.catchUpBytes;
    for (let step = 0; step < 100; step += 1) {
      if (step % 10 === 0 && appended > 0) {
        append(behind, appended / 10);
        behind.log.tailStart = behind.log.endOffset;
      }
      behind.log.coldReads.shift()?.();
      await clock.pass(10);
      pushes.grant(counts.pushedBytes - granted);
      granted = counts.pushedBytes;
    }
    return counts.catchUpBytes - before;
  };
  let granted = 0;
  await second(0);
  const still = await second(0);
  expect(still).toBeGreaterThan(0.8 * perSecond);
  expect(still).toBeLessThan(1.2 * perSecond);
  await second(200);
  const growing = await second(200);
  expect(growing).toBeGreaterThan(0.9 * perSecond + 200 * batchBytes);
  expect(growing).toBeLessThan(1.2 * perSecond + 200 * batchBytes);
});

test('a read that a new position voids is not pushed, and the slot goes on from there', async () => {
  const { clock, pushes, slot, sent } = stream();
  pushes.grant(windowBytes);
  const { log, slot: moved } = slot(100, 10);
  await clock.settle();
  pushes.stop(moved);
  moved.nextOffset = offset(95);
  moved.marksSent = undefined;
  moved.pushing = true;
  pushes.wake(moved);
  log.coldReads.shift()?.();
  await clock.settle();
  const data = sent.filter(({ batches }) => batches.length > 0);
  expect(data.map(({ batches }) => batches[0]?.byteLength)).toEqual([5 * batchBytes]);
});

test('a read that fails is refused, and the other slots go on', async () => {
  const refused: number[] = [];
  const clock = new ManualClock();
  const sent: ReplicaPush[] = [];
  const pushes: FollowerPushes = new FollowerPushes({
    nodeId: nodeId(follower),
    sender: { bufferedBytes: 0, whenDrained: () => undefined },
    clock,
    logger: silentLogger,
    budget: new CatchUpBudget(clock, 1024 ** 3),
    counts: { pushedBytes: 0, catchUpBytes: 0 },
    send: (some) => void sent.push(...some),
    refuse: (slot) => void refused.push(slot.number),
  });
  pushes.grant(windowBytes);
  const logs = [new ScriptedLog(), new ScriptedLog()];
  const slots = logs.map((log, at) => new Slot(pushes, log.host, at + 1));
  logs[0]!.read = () => Promise.reject(new Error('the disk is gone'));
  for (const [at, log] of logs.entries()) {
    log.endOffset = offset(10);
    log.tailStart = offset(10);
    slots[at]!.pushing = true;
    pushes.wake(slots[at]!);
  }
  await clock.settle();
  logs[1]!.coldReads.shift()?.();
  await clock.settle();
  expect([refused, slots[0]?.pushing, pushes.behindCount]).toEqual([[1], false, 0]);
  expect(sent.filter(({ batches }) => batches.length > 0).map(({ slot }) => slot)).toEqual([2]);
});
