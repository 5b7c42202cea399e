import { expect, test } from 'vitest';
import { percentiles } from './percentiles.ts';

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => count - index);

test.each([
  [[7], { p50: 7, p90: 7, p99: 7, max: 7 }],
  [[30, 10, 20], { p50: 20, p90: 30, p99: 30, max: 30 }],
  [upTo(100), { p50: 50, p90: 90, p99: 99, max: 100 }],
  [upTo(200), { p50: 100, p90: 180, p99: 198, max: 200 }],
])('each is one of the values: %j', (values, found) => expect(percentiles(values)).toEqual(found));

test('of nothing there are none', () => expect(percentiles([])).toBeUndefined());
