import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { DiskStall } from './disk-stall.ts';

test('a disk hangs above the limit, and answers again below half of it', async () => {
  const clock = new ManualClock();
  const changes: boolean[] = [];
  let ageMs = 0;
  const stall: DiskStall = new DiskStall({
    clock,
    stallMs: 2_000,
    oldestUnsyncedMs: () => ageMs,
    onChange: () => changes.push(stall.isStalled),
  });
  stall.start();
  for (const next of [2_000, 2_001, 1_500, 2_100, 1_001, 1_000, 1_900]) {
    ageMs = next;
    await clock.pass(250);
  }
  expect(changes).toEqual([true, false]);
  stall.stop();
  ageMs = 5_000;
  await clock.pass(10_000);
  expect([changes.length, clock.timers]).toEqual([2, 0]);
});
