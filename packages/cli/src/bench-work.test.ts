import { createHistogram } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { benchPayloads } from './bench-payload.ts';
import { latencyMs, produceWorkName } from './bench-work.ts';

test.each([
  [{ recordBytes: 1024, rate: undefined, tuned: false }, 'produce-max 1024 B'],
  [{ recordBytes: 1024, rate: undefined, tuned: true }, 'produce-max 1024 B, tuned'],
  [{ recordBytes: 1024, rate: 1000, tuned: false }, 'produce 1000/s 1024 B'],
  [{ recordBytes: 100, rate: 10_000, tuned: true }, 'produce 10000/s 100 B, tuned'],
])('%j', (work, name) => expect(produceWorkName(work)).toBe(name));

test('latencies are milliseconds', () => {
  const histogram = createHistogram();
  for (let at = 1; at <= 100; at += 1) histogram.record(at * 1000);
  const { p50, p99, max } = latencyMs(histogram);
  expect(p50).toBeCloseTo(50, 0);
  expect(p99).toBeCloseTo(99, 0);
  expect(max).toBeGreaterThanOrEqual(100);
  expect(max).toBeLessThan(101);
});

test('payloads have the size asked for, are half random and differ', () => {
  const payloads = benchPayloads(1024);
  expect(
    payloads.every((payload) => payload.length === 1024 && payload.subarray(512).every((byte) => byte === 0x61)),
  ).toBe(true);
  expect(new Set(payloads.map((payload) => Buffer.from(payload).toString('hex'))).size).toBe(payloads.length);
  expect(benchPayloads(1)[0]).toHaveLength(1);
});
