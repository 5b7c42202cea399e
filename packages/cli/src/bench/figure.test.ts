import { expect, test } from 'vitest';
import { rates } from './figure.ts';

test('rates are per second of what was measured', () => {
  expect(rates(3000, 300_000, 1500)).toEqual({
    records: 3000,
    seconds: 1.5,
    recordsPerSecond: 2000,
    bytesPerSecond: 200_000,
  });
});

test('nothing in no time is 0, which JSON can hold', () => {
  expect(rates(0, 0, 0)).toEqual({ records: 0, seconds: 0, recordsPerSecond: 0, bytesPerSecond: 0 });
});
