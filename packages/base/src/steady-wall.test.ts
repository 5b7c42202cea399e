import { expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { SteadyWall } from './steady-wall.ts';

const hourMs = 3_600_000;

test('small corrections are followed, a jump is not, and one that is taken back is over', () => {
  let [monotonicMs, wallMs] = [500, 1_700_000_000_000];
  const clock: Clock = {
    monotonicMs: () => monotonicMs,
    wallMs: () => wallMs,
    setTimer: () => ({ cancel: () => undefined }),
    defer: () => undefined,
  };
  const steady = new SteadyWall(clock);
  const startMs = wallMs;
  const pass = (ms: number, jumpMs: number): readonly unknown[] => {
    monotonicMs += ms;
    wallMs += ms + jumpMs;
    return [steady.wallMs() - startMs, steady.hasJumped];
  };
  expect(pass(1000, 0)).toEqual([1000, false]);
  expect(pass(1000, hourMs)).toEqual([hourMs + 2000, false]);
  expect(pass(1000, 1)).toEqual([3000, true]);
  expect(pass(1000, 365 * 24 * hourMs)).toEqual([4000, true]);
  expect(pass(1000, -365 * 24 * hourMs - 1)).toEqual([hourMs + 5000, false]);
  expect(pass(1000, -2 * hourMs - 1)).toEqual([6000, true]);
});
