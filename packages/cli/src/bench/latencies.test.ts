import { expect, test } from 'vitest';
import { Latencies } from './latencies.ts';

test('latencies are milliseconds', () => {
  const latencies = new Latencies();
  for (let ms = 1; ms <= 100; ms += 1) latencies.record(ms);
  const { p50, p90, p99, max } = latencies.summary()!;
  expect(p50).toBeCloseTo(50, 0);
  expect(p90).toBeCloseTo(90, 0);
  expect(p99).toBeCloseTo(99, 0);
  expect(max).toBeGreaterThanOrEqual(100);
  expect(max).toBeLessThan(101);
});

test('a chunk counts as its records', () => {
  const latencies = new Latencies();
  latencies.record(1, 999);
  latencies.record(50, 1);
  expect(latencies.count).toBe(1000);
  expect(latencies.summary()!.p99).toBeCloseTo(1, 1);
  expect(latencies.summary()!.max).toBeCloseTo(50, 0);
});

test('nothing recorded is no latency of 0', () => expect(new Latencies().summary()).toBeUndefined());
