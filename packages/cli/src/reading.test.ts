import { expect, test } from 'vitest';
import { parseOffsetSpec } from './offset-spec.ts';
import { Reading } from './reading.ts';
import { jsonLine, valueLine } from './record-format.ts';
import type { ReadBatch, ReadingOptions } from './reading.ts';

const bounds = (highWatermark: number, partition = 0, logStart = 0) => ({
  partition,
  logStart,
  highWatermark,
  logEnd: highWatermark,
  writable: true,
  sinceOffset: logStart,
});

const start = { kind: 'start' } as const;
const text = (printed: readonly Uint8Array[]): string => Buffer.concat(printed).toString();

/** Values are the offsets as text; timestamps are ten times the offset. */
function batch(from: number, count: number, partition = 0): ReadBatch {
  const records = Array.from({ length: count }, (_, index) => ({
    offset: from + index,
    timestamp: (from + index) * 10,
    key: null,
    value: Buffer.from(`${from + index}`),
    headers: [],
  }));
  return { topic: 't', partition, nextOffset: from + count, records: () => records };
}

function reading(options: Partial<ReadingOptions>, ...partitions: ReturnType<typeof bounds>[]): Reading {
  const made = new Reading({ offset: start, ...options });
  made.add('t', partitions);
  return made;
}

test('until end: stops at the end as it was, though more has come since', () => {
  const made = reading({ until: 'end' }, bounds(3), bounds(0, 1));
  expect(made.assignments).toEqual([{ topic: 't', partition: 0, from: 0 }]);
  expect(text(made.take(batch(0, 2), valueLine))).toBe('0\n1\n');
  expect(made.finished).toBe(false);
  expect(text(made.take(batch(2, 5), valueLine))).toBe('2\n');
  expect(made.finished).toBe(true);
  expect(made.take(batch(7, 5), valueLine)).toEqual([]);
});

test('until end of nothing is finished at once; without it, an empty topic is waited for', () => {
  expect(reading({ until: 'end' }, bounds(0)).finished).toBe(true);
  expect(reading({ until: 'end', offset: { kind: 'end' } }, bounds(9)).finished).toBe(true);
  expect(reading({}, bounds(0)).finished).toBe(false);
});

test('count is the total over partitions', () => {
  const made = reading({ count: 3 }, bounds(9), bounds(9, 1));
  expect(text(made.take(batch(0, 2), valueLine))).toBe('0\n1\n');
  expect(text(made.take(batch(0, 2, 1), valueLine))).toBe('0\n');
  expect(made.finished).toBe(true);
});

test('a time drops what is older, once', () => {
  const made = reading({ offset: parseOffsetSpec('@25') ?? start }, bounds(9));
  expect(text(made.take(batch(0, 2), valueLine))).toBe('');
  expect(text(made.take(batch(2, 2), valueLine))).toBe('3\n');
  const olderAgain = { ...batch(4, 1), records: () => [{ ...[...batch(4, 1).records()][0]!, timestamp: 0 }] };
  expect(text(made.take(olderAgain, valueLine))).toBe('4\n');
});

test('the last n of each partition', () => {
  const made = reading({ offset: { kind: 'last', count: 2 }, until: 'end' }, bounds(9), bounds(1, 1));
  expect(made.assignments.map(({ from }) => from)).toEqual([7, 0]);
});

test('a null value prints nothing, an empty one a newline; as JSON both are lines', () => {
  const [record] = batch(0, 1).records();
  const two = {
    ...batch(0, 2),
    records: () => [
      { ...record!, value: null },
      { ...record!, offset: 1, value: new Uint8Array(0) },
    ],
  };
  expect(text(reading({}, bounds(2)).take(two, valueLine))).toBe('\n');
  const lines = text(reading({}, bounds(2)).take(two, jsonLine))
    .trimEnd()
    .split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { value: unknown }).value)).toEqual([null, '']);
});
