import { describe, expect, test } from 'vitest';
import { parseBytes, parseDurationMs } from './quantity.ts';

describe('durations', () => {
  test.each([
    ['0ms', 0],
    ['1500ms', 1500],
    ['2s', 2000],
    ['1.5s', 1500],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ])('%s is %d ms', (text, ms) => expect(parseDurationMs(text)).toBe(ms));

  test.each(['', '2', '-1s', '2 s', '2S', '2MiB', '1.5ms', 's', '1e3s', 'constructor', '1toString'])(
    '%s is not a duration',
    (text) => expect(parseDurationMs(text)).toBeUndefined(),
  );
});

describe('sizes', () => {
  test.each([
    ['0B', 0],
    ['512B', 512],
    ['64KiB', 65_536],
    ['1.5MiB', 1_572_864],
    ['2GiB', 2_147_483_648],
  ])('%s is %d bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes));

  test.each(['', '64', '64MB', '64mib', '2s', '0.3B', '99999999999GiB'])('%s is not a size', (text) =>
    expect(parseBytes(text)).toBeUndefined(),
  );
});
