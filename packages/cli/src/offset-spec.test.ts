import { expect, test } from 'vitest';
import { parseOffsetSpec, resolveOffset } from './offset-spec.ts';

const bounds = { logStart: 10, highWatermark: 100, sinceOffset: 42 };

test.each([
  ['start', 10],
  ['end', 100],
  ['+0', 10],
  ['+5', 15],
  ['+500', 510],
  ['-5', 95],
  ['-0', 100],
  ['-500', 10],
  ['@0', 42],
])('%s starts at %d', (text, offset) => {
  const spec = parseOffsetSpec(text);
  expect(spec && resolveOffset(spec, bounds)).toBe(offset);
});

test('times are milliseconds or ISO dates', () => {
  expect(parseOffsetSpec('@1700000000000')).toEqual({ kind: 'time', ms: 1_700_000_000_000 });
  expect(parseOffsetSpec('@2023-11-14T22:13:20Z')).toEqual({ kind: 'time', ms: 1_700_000_000_000 });
  expect(parseOffsetSpec('@2023-11-14')).toEqual({ kind: 'time', ms: Date.UTC(2023, 10, 14) });
});

test.each(['', '5', '+', '-', '+1.5', '--5', '@', '@yesterday', '@2023-99-99', 'Start', '+9999999999999999', '@1e3'])(
  '%j is refused',
  (text) => expect(parseOffsetSpec(text)).toBeUndefined(),
);
