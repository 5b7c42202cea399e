import { offset } from '@sluice/base';
import { expect, test } from 'vitest';
import { LogIndex } from './log-index.ts';
import { snapshotBytesMax, takeSnapshots } from './snapshot-taking.ts';
import { TestClock } from './test-clock.ts';
import { testLogId } from './test-node-log.ts';

const indexes = Array.from({ length: 100 }, (_, number) => new LogIndex(testLogId(number)));

test('other work gets its turn every few milliseconds', async () => {
  const clock = new TestClock();
  let turns = 0;
  let longestMs = 0;
  let turnMs = 0;
  const counting = Object.assign(Object.create(clock) as TestClock, {
    monotonicMs: () => clock.monotonicMs(),
    defer: (run: () => void): void => {
      turns += 1;
      longestMs = Math.max(longestMs, clock.monotonicMs() - turnMs);
      turnMs = clock.monotonicMs();
      queueMicrotask(run);
    },
  });
  const snapshotOf = () => {
    clock.advance(1);
    return { offset: offset(1), bytes: new Uint8Array(10) };
  };
  const taken = await takeSnapshots(indexes, { snapshotOf, clock: counting, fileId: 3 });
  expect(taken.size).toBe(100);
  expect(turns).toBe(20);
  expect(longestMs).toBe(5);
});

test('a footer takes so many bytes, and over some files every log has its turn', async () => {
  const bytes = new Uint8Array(snapshotBytesMax / 30);
  const snapshotOf = () => ({ offset: offset(1), bytes });
  const seen = new Set<LogIndex>();
  for (let fileId = 1; fileId <= 8; fileId += 1) {
    const taken = await takeSnapshots(indexes, { snapshotOf, clock: new TestClock(), fileId });
    expect(taken.size).toBe(30);
    for (const index of taken.keys()) seen.add(index);
  }
  expect(seen.size).toBe(100);
});
