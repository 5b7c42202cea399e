import { expect, test } from 'vitest';
import { ByteReader, ByteWriter } from './binary.ts';

const most = Number.MAX_SAFE_INTEGER;
const numbers = [0, 1, -1, 63, 64, -64, -65, 8191, 8192, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 40, most, -most];

test('integers come back as they were written, and small ones are short', () => {
  const writer = new ByteWriter(0);
  for (const number of numbers) writer.integer(number);
  const reader = new ByteReader(writer.written());
  expect(numbers.map(() => reader.integer())).toEqual(numbers);
  expect([reader.failed, reader.left]).toEqual([false, 0]);
  const bytesOf = (number: number): number => {
    const one = new ByteWriter(0);
    one.integer(number);
    return one.length;
  };
  expect([63, 64, 8191, 8192, most].map(bytesOf)).toEqual([1, 2, 2, 3, 8]);
});

test('an integer that is cut off, longer than need be, or beyond 2^53 is damage, and nothing behind it is read', () => {
  for (const bytes of [
    [],
    [0x80],
    [0x80, 0x00],
    [0x81, 0x80, 0x00],
    [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  ]) {
    const reader = new ByteReader(Uint8Array.from([...bytes, ...(bytes.at(-1) === 0x80 ? [] : [1])]));
    const read = bytes.length === 0 ? new ByteReader(new Uint8Array(0)) : reader;
    expect([bytes, read.integer(), read.failed, read.integer(), read.u8()]).toEqual([bytes, 0, true, 0, 0]);
  }
});

test('a count is not negative', () => {
  const reader = new ByteReader(Uint8Array.of(2, 1, 2));
  expect([reader.count(), reader.failed]).toEqual([1, false]);
  expect([reader.count(), reader.failed, reader.count()]).toEqual([0, true, 0]);
});
