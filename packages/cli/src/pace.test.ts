import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pace } from './pace.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }));
afterEach(() => vi.useRealTimers());

const never = new AbortController().signal;

test('records are evenly spaced, and what is late goes at once', async () => {
  const pace = new Pace(5000);
  vi.advanceTimersByTime(10);
  // Those due at 0 to 10 ms.
  for (let sent = 0; sent <= 50; sent += 1) await pace.turn(never);
  expect(vi.getTimerCount()).toBe(0);

  const next = pace.turn(never);
  expect(vi.getTimerCount()).toBe(1);
  vi.advanceTimersByTime(1);
  await next;
});

test('a stop ends the waiting', async () => {
  const stop = new AbortController();
  const pace = new Pace(0.1);
  await pace.turn(stop.signal);
  const next = pace.turn(stop.signal);
  stop.abort();
  await next;
  expect(vi.getTimerCount()).toBe(0);
});
