import { expect, test } from 'vitest';
import { benchPayloads } from './payload.ts';

test('payloads have the size asked for, are half random and differ', () => {
  const payloads = benchPayloads(1024);
  expect(payloads).toHaveLength(1000);
  expect(
    payloads.every((payload) => payload.length === 1024 && payload.subarray(512).every((byte) => byte === 0x61)),
  ).toBe(true);
  expect(new Set(payloads.map((payload) => Buffer.from(payload).toString('hex'))).size).toBe(payloads.length);
  expect(benchPayloads(1)[0]).toHaveLength(1);
});

test('the pool of large ones stays small', () => expect(benchPayloads(16 * 1024 * 1024)).toHaveLength(4));
