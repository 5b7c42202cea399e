import { expect, test } from 'vitest';
import { PartitionPauses } from './partition-pauses.ts';

/** A clock that goes on only when it is told, or slept on; `slept` is called as often. */
function manual(partitions = 2, slept: (nowMs: number) => void = () => undefined) {
  let nowMs = 0;
  const pass = (ms: number): number => (nowMs += ms);
  const sleep = (ms: number): Promise<void> => {
    slept(pass(ms));
    return Promise.resolve();
  };
  const pauses = new PartitionPauses({ partitions, intervalMs: 10, clock: { now: () => nowMs, sleep } });
  const ack = (partition: number): void => pauses.acked(partition, nowMs);
  return { pauses, pass, ack };
}

const never = new AbortController().signal;

test('each partition has the longest of its own, counted from the ack before the mark', () => {
  const { pauses, pass, ack } = manual();
  pass(500);
  ack(0);
  ack(1);
  pass(40);
  ack(1);
  pauses.mark();
  pass(100);
  ack(0);
  ack(1);
  pass(30);
  ack(0);
  ack(1);
  expect([pauses.longestMs(0), pauses.longestMs(1), pauses.worstMs()]).toEqual([140, 100, 140]);
  pauses.mark();
  expect(pauses.worstMs()).toBe(0);
});

test('a pause that still lasts counts', () => {
  const { pauses, pass, ack } = manual();
  ack(0);
  ack(1);
  pauses.mark();
  pass(4000);
  ack(0);
  expect([pauses.longestMs(0), pauses.longestMs(1)]).toEqual([4000, 4000]);
});

test('the ack that ended the longest pause, and when its record was due', () => {
  const { pauses, pass, ack } = manual();
  ack(0);
  pauses.mark();
  expect(pauses.endOfLongest(0)).toBeUndefined();
  // From the node that is struck: it was on its way.
  pass(2);
  ack(0);
  pass(90);
  pauses.acked(0, 20);
  pass(1);
  ack(0);
  expect(pauses.endOfLongest(0)).toEqual({ atMs: 92, dueMs: 20 });
});

test('one partition of many that never flows is a failure, not a short pause', async () => {
  const { pauses, ack } = manual(3, () => {
    ack(0);
    ack(2);
  });
  await expect(pauses.steady(1000, 5000, never)).rejects.toMatchObject({
    code: 'TIMEOUT',
    message: expect.stringContaining('1 partitions (1)') as string,
  });
});

test('acks of what waited are no flow yet', async () => {
  const { pauses, pass } = manual(1, (nowMs) => {
    // Two seconds behind, until it has caught up.
    pauses.acked(0, nowMs < 6000 ? nowMs - 2000 : nowMs);
  });
  await pauses.steady(1000, 60_000, never);
  // From the last look that found it behind, and longer than an ack of before may count as flow.
  expect(pass(0)).toBe(5980 + 1040);
});
