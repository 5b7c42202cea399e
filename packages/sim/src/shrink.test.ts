import { expect, test } from 'vitest';
import type { Fault } from './faults/fault.ts';
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
