import type { Clock } from '@sluice/base';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { TurnTime } from './turn-time.ts';

test('one turn has one time, the next another; a long turn looks again', async () => {
  const turns = new ManualClock();
  let looks = 0;
  /** Moves on with every look at it. */
  const clock: Clock = {
    wallMs: () => 1_000_000.7 + looks,
    monotonicMs: () => {
      looks += 1;
      return looks;
    },
    setTimer: (delayMs, onFire) => turns.setTimer(delayMs, onFire),
    defer: (run) => turns.defer(run),
  };
  const time = new TurnTime(clock);
  expect([time.monotonicMs(), time.monotonicMs(), time.wallMs]).toEqual([1, 1, 1_000_000]);
  await turns.settle();
  expect([time.monotonicMs(), time.monotonicMs(), time.wallMs]).toEqual([2, 2, 1_000_001]);
  for (let asked = 0; asked < 300; asked += 1) time.monotonicMs();
  expect(looks).toBe(3);
});
