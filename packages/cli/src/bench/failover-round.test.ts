import { expect, test } from 'vitest';
import { chosenNode } from './failover-round.ts';

const partitions = [{ leader: 2 }, { leader: 3 }, { leader: 2 }];
const choice = { round: 1, ids: [1, 2, 3], controllerLeader: 3, partitions };

test('whom each role strikes', () => {
  expect(chosenNode('leader', choice)).toBe(2);
  expect(chosenNode('controller', choice)).toBe(3);
});

test('any takes the nodes in turn, and passes over one that leads nothing', () => {
  expect([1, 2, 3, 4, 5].map((round) => chosenNode('any', { ...choice, round }))).toEqual([2, 2, 3, 2, 2]);
  expect(chosenNode('any', { ...choice, partitions: [{ leader: null }] })).toBeUndefined();
});
