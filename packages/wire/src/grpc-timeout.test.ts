import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readTimeout, writeTimeout } from './grpc-timeout.ts';

test('what is written is read as no less, and as less than a millisecond more', () => {
  fc.assert(
    fc.property(fc.double({ min: 0.001, max: 99_999_999, noNaN: true }), (ms) => {
      const read = readTimeout(writeTimeout(ms)) ?? Number.NaN;
      expect(read).toBeGreaterThanOrEqual(ms);
      expect(read - ms).toBeLessThanOrEqual(1);
    }),
  );
});

test('no time left is a millisecond, and more than the header holds is as much as it holds', () => {
  expect([writeTimeout(-5), writeTimeout(Infinity)]).toEqual(['1m', '99999999m']);
});

test.each([
  ['1H', 3_600_000],
  ['2M', 120_000],
  ['3S', 3_000],
  ['4m', 4],
  ['5u', 0.005],
  ['6n', 0.000006],
  ['7', undefined],
  ['soon', undefined],
  ['', undefined],
  ['1h', undefined],
])('%j is %j ms', (text, ms) => {
  expect(readTimeout(text)).toBe(ms);
});
