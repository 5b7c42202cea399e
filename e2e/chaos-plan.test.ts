import { SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { chaosKinds, chaosPlan, type PlannedChaos } from './chaos-plan.ts';

function firstOf(seed: number, count: number): readonly PlannedChaos[] {
  const plan = chaosPlan(new SeededRandom(seed), [1, 2, 3]);
  return Array.from({ length: count }, () => plan.next().value);
}

test('a seed gives the same faults again, another seed gives others', () => {
  expect(firstOf(7, 50)).toEqual(firstOf(7, 50));
  expect(firstOf(7, 50)).not.toEqual(firstOf(8, 50));
});

test('every kind comes before any comes again, and all of them strike whom they say', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const planned = firstOf(seed, 40);
    expect(
      planned
        .slice(0, chaosKinds.length)
        .map(({ kind }) => kind)
        .toSorted(),
    ).toEqual([...chaosKinds]);
    for (const { kind, victims } of planned) {
      expect(victims.toSorted((one, other) => one - other)).toEqual(kind === 'kill-all' ? [1, 2, 3] : [victims[0]]);
    }
  }
});
