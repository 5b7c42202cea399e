import { expect, test } from 'vitest';
import type { Fault } from './faults/fault.ts';
import { isSameViolation } from './seed-report.ts';
import { shrink } from './shrink.ts';

const faults = Array.from({ length: 40 }, (_, at): Fault => ({ atMs: at, kind: 'reset', one: 1, other: 2 }));

const needs =
  (...times: readonly number[]) =>
  async (some: readonly Fault[]): Promise<boolean> =>
    times.every((time) => some.some(({ atMs }) => atMs === time));

test.each([[[7]], [[0, 39]], [[3, 4, 21]]])('what is needed is found: %j', async (needed) => {
  const { kept } = await shrink(faults, needs(...needed), 500);
  expect(kept).toEqual(needed);
});

test('a run that fails without any fault needs none', async () => {
  expect(await shrink(faults, async () => true, 500)).toEqual({ kept: [], runs: 1 });
});

test('it stops at its budget, with a list that fails', async () => {
  const fails = needs(3, 4, 21);
  const { kept, runs } = await shrink(faults, fails, 10);
  expect(runs).toBe(10);
  expect(await fails(kept.flatMap((at) => faults[at] ?? []))).toBe(true);
});

test('a violation is the same when it says the same, wherever and whenever', () => {
  const seen = (invariant: string, text: string) => ({ invariant, text, atMs: 1 });
  const slow = seen('liveness', 'not within 120000 ms of simulated time: every replica is in sync');
  expect(isSameViolation(slow, { ...slow, atMs: 2 })).toBe(true);
  expect(
    isSameViolation(slow, seen('liveness', 'not within 120000 ms of simulated time: a new topic can be made')),
  ).toBe(false);
  const lost = seen('history', 'history: 17, orders/0 at 4, is not there in the end (it ends at 9) {"kind":"lost"}');
  expect(isSameViolation(lost, seen('history', lost.text.replace('17', '18').replace('lost', 'unseen')))).toBe(true);
  expect(isSameViolation(lost, seen('history', 'history: 17 lies at orders/0 4 and at orders/1 2 {}'))).toBe(false);
});
