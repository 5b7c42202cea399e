import { expect, test } from 'vitest';
import { lastSequence, nextSequence, sequenceAfter } from './sequence.ts';

const max = 2 ** 31 - 1;

test.each([
  [0, 1, 1],
  [max - 1, 1, max],
  [max, 1, 0],
  [max - 2, 5, 2],
  [max, max, max - 1],
  [5, 0, 5],
])('the sequence after %i by %i is %i', (sequence, count, expected) => {
  expect(sequenceAfter(sequence, count)).toBe(expected);
});

test('a batch across the wrap ends and continues behind it', () => {
  const header = { baseSequence: max - 1, lastOffsetDelta: 3 };
  expect(lastSequence(header)).toBe(1);
  expect(nextSequence(header)).toBe(2);
});

test('a batch that ends at the last sequence is followed by 0', () => {
  const header = { baseSequence: max, lastOffsetDelta: 0 };
  expect(lastSequence(header)).toBe(max);
  expect(nextSequence(header)).toBe(0);
});
