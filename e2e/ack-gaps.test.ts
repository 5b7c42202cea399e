import { expect, test } from 'vitest';
import { AckGaps } from './ack-gaps.ts';

test('the longest pause that ended after the fault, over the partitions asked for', () => {
  const gaps = new AckGaps();
  for (const time of [0, 500, 510, 520, 900, 910]) gaps.record(0, time);
  for (const time of [505, 515, 700, 720]) gaps.record(1, time);
  gaps.record(2, 100);
  gaps.record(2, 5000);
  expect(gaps.longestMs([0, 1], 520)).toBe(380);
  expect(gaps.longestMs([1], 520)).toBe(185);
  expect(gaps.longestMs([0], 300)).toBe(500);
  expect(gaps.longestMs([2], 520)).toBe(4900);
});

test('a pause that goes on has no length yet', () => {
  const gaps = new AckGaps();
  gaps.record(0, 10);
  expect(gaps.longestMs([0], 10)).toBeUndefined();
  expect(gaps.silentSince(9, [0, 7])).toEqual([7]);
  expect(gaps.longestMs([7], 0)).toBeUndefined();
});
