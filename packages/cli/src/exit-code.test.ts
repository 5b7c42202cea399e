import { SluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import { exitCodeOf, worseExit } from './exit-code.ts';

test.each([
  ['UNKNOWN_TOPIC', 1],
  ['UNREACHABLE', 3],
  ['TIMEOUT', 4],
  ['LEADERSHIP_LOST', 4],
  ['NOT_ENOUGH_REPLICAS', 1],
] as const)('%s exits with %d', (code, exit) => expect(exitCodeOf(new SluiceError(code))).toBe(exit));

test('a bug exits with 1', () => expect(exitCodeOf(new Error('boom'))).toBe(1));

test('indefinite outweighs failed outweighs done', () => {
  expect(worseExit(1, 4)).toBe(4);
  expect(worseExit(1, 0)).toBe(1);
});
