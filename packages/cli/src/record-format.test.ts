import { expect, test } from 'vitest';
import { jsonLine, parseRecordFormat, valueLine } from './record-format.ts';
import type { RecordFormat } from './record-format.ts';

const record = {
  topic: 'orders',
  partition: 3,
  offset: 42,
  timestamp: 1_700_000_000_000,
  key: Buffer.from('k'),
  value: Buffer.from([0xff, 0x00]),
  headers: [],
};

const printed = (format: RecordFormat | undefined, value = record): string =>
  Buffer.concat([...(format?.(value) ?? [])]).toString('latin1');

test.each([
  ['%t/%p@%o\\n', 'orders/3@42\n'],
  ['%d\\t%k=%v', '1700000000000\tk=\xff\0'],
  ['100%% \\\\', '100% \\'],
  ['', ''],
  ['plain', 'plain'],
])('%j prints %j', (format, expected) => {
  expect(printed(parseRecordFormat(format))).toBe(expected);
});

test.each(['%x', 'ends with %', '\\q', 'ends with \\'])('%j is refused', (format) => {
  expect(parseRecordFormat(format)).toBeUndefined();
});

test('a null key or value prints nothing', () => {
  expect(printed(parseRecordFormat('[%k|%v]'), { ...record, key: null as never, value: null as never })).toBe('[|]');
  expect(printed(valueLine, { ...record, value: null as never })).toBe('');
});

test('the value is printed as it is, JSON as an object a line', () => {
  expect(printed(valueLine)).toBe('\xff\0\n');
  expect(JSON.parse(printed(jsonLine))).toMatchObject({ topic: 'orders', key: 'k', value: null, valueBase64: '/wA=' });
  expect(printed(parseRecordFormat('%j\\n'))).toBe(printed(jsonLine));
});
