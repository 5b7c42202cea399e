import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { PartitionClock, ticksATurn } from './partition-clock.ts';

const intervalMs = 250;

function ticking(count: number) {
  const clock = new ManualClock();
  /** When each was stepped. */
  const ticks = Array.from({ length: count }, (): number[] => []);
  const hosts = new Map(ticks.map((at, index) => [index, { step: () => void at.push(clock.monotonicMs()) }] as const));
  const ticker = new PartitionClock({ hosts: { [Symbol.iterator]: () => hosts.values() }, clock, intervalMs });
  ticker.start();
  return { clock, ticks, hosts, ticker };
}

test('few replicas are stepped together, every interval', async () => {
  const { clock, ticks } = ticking(10);
  await clock.pass(3 * intervalMs);
  expect(new Set(ticks.map((at) => at.join(' ')))).toEqual(new Set(['250 500 750']));
});

test('thousands are stepped once an interval each, and so many in a turn at most', async () => {
  const { clock, ticks } = ticking(10_000);
  await clock.pass(4 * intervalMs - 1);
  const atMs = new Map<number, number>();
  for (const at of ticks) {
    expect(at.length).toBe(3);
    for (const ms of at) atMs.set(ms, (atMs.get(ms) ?? 0) + 1);
    expect([at[1]! - at[0]!, at[2]! - at[1]!]).toEqual([intervalMs, intervalMs]);
  }
  expect(Math.max(...atMs.values())).toBe(ticksATurn);
});

test('a replica that comes or goes in a round breaks nothing, and none is stepped after a stop', async () => {
  const { clock, ticks, hosts, ticker } = ticking(1_000);
  await clock.pass(intervalMs);
  expect(ticks.filter((at) => at.length === 1).length).toBe(ticksATurn);
  hosts.delete(999);
  const late: number[] = [];
  hosts.set(1_000, { step: () => void late.push(clock.monotonicMs()) });
  await clock.pass(20);
  expect([ticks[999]?.length, ticks[998]?.length, late.length]).toEqual([0, 1, 1]);
  await clock.pass(intervalMs - 20);
  ticker.stop();
  await clock.pass(10 * intervalMs);
  expect([ticks[0]?.length, ticks[998]?.length]).toEqual([2, 1]);
});
