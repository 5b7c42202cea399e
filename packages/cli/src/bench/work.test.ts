import { expect, test } from 'vitest';
import { consumeWork, endToEndWork, failoverWork, produceWork } from './work.ts';

test.each([
  [{ recordBytes: 1024, rate: undefined, tuned: false }, 'produce-max 1024 B'],
  [{ recordBytes: 1024, rate: undefined, tuned: true }, 'produce-max 1024 B, tuned'],
  [{ recordBytes: 1024, rate: 1000, tuned: false }, 'produce 1000/s 1024 B'],
  [{ recordBytes: 100, rate: 10_000, tuned: true }, 'produce 10000/s 100 B, tuned'],
])('%j', (work, name) => expect(produceWork(work)).toBe(name));

test('the other works are called as the other systems call theirs', () => {
  expect(consumeWork({ recordBytes: 1024, decode: false })).toBe('consume-max 1024 B');
  expect(consumeWork({ recordBytes: 100, decode: true })).toBe('consume-max 100 B, decoded');
  expect(endToEndWork({ rate: 1000, recordBytes: 1024 })).toBe('end-to-end 1000/s 1024 B');
  expect(failoverWork({ fault: 'kill', role: 'leader', partitions: 1 })).toBe('failover');
  expect(failoverWork({ fault: 'pause', role: 'leader', partitions: 1 })).toBe('failover, pause');
  const controller = { fault: 'kill', role: 'controller', partitions: 100 } as const;
  expect(failoverWork(controller)).toBe('failover, role controller, 100 partitions');
});
