/** A set of runs that did not exercise what it is for fails. */
import { expect, test } from 'vitest';
import { type Coverage, missingIn, requiredCoverage, seedsForCoverage } from './coverage.ts';
import { faultKinds } from './faults/swarm.ts';

const once = (names: readonly string[]): Coverage => Object.fromEntries(names.map((name) => [name, 1]));
const whole = { seeds: seedsForCoverage, coverage: once(requiredCoverage), happened: once(faultKinds) };

test('a set that saw everything lacks nothing, and a small one may lack anything', () => {
  expect(missingIn(whole)).toEqual([]);
  expect(missingIn({ seeds: seedsForCoverage - 1, coverage: {}, happened: {} })).toEqual([]);
});

test.each(requiredCoverage)('without %s', (name) => {
  expect(missingIn({ ...whole, coverage: { ...whole.coverage, [name]: 0 } })).toEqual([name]);
});

test.each(faultKinds)('without a fault of kind %s', (kind) => {
  expect(missingIn({ ...whole, happened: { ...whole.happened, [kind]: 0 } })).toEqual([`fault ${kind}`]);
});
