/** Extents as a footer keeps them. */
import { ByteWriter } from '@sluice/base';
import { expect, test } from 'vitest';
import { type Extent, extentBytesMin, ExtentList } from './extents.ts';

const most = Number.MAX_SAFE_INTEGER;
const extent = (fields: Partial<Extent>): Extent => ({
  base: 0,
  end: 1,
  position: 4096,
  bytes: 1024,
  headsCrc: 0xffff_ffff,
  maxTimestampMs: 1_795_000_000_000,
  ...fields,
});

function written(extents: readonly Extent[]): Uint8Array {
  const list = new ExtentList();
  for (const each of extents) list.push(each);
  const writer = new ByteWriter(0);
  list.write(writer);
  return writer.written();
}

const listed = (list: ExtentList | undefined): readonly (Extent | undefined)[] | undefined =>
  list && Array.from({ length: list.length }, (_, at) => list.at(at));

const some: readonly Extent[] = [
  extent({}),
  extent({ base: 1, end: 900, position: 5120, maxTimestampMs: 0 }),
  // A batch that was cut, and a gap; what is later in the log is earlier in the file.
  extent({ base: 870, end: 871, position: 100, bytes: 0xffff_ffff, headsCrc: 0 }),
  extent({ base: most - 1, end: most, position: most, bytes: 0, maxTimestampMs: most }),
];

test('extents come back as they were written', () => {
  expect(listed(ExtentList.read(written(some), some.length))).toEqual(some);
  expect(listed(ExtentList.read(new Uint8Array(0), 0))).toEqual([]);
});

test('one of a small batch takes at most 14 bytes behind the first', () => {
  const many = Array.from({ length: 1000 }, (_, at) =>
    extent({ base: at, end: at + 1, position: 5_000_000 * at, maxTimestampMs: 1_795_000_000_000 + at * 700 }),
  );
  expect(written(many).length).toBeLessThan(14 * many.length + 16);
});

test('bytes that are not so many extents are damage, and cost no room', () => {
  const bytes = written(some);
  expect(ExtentList.read(bytes, some.length - 1)).toBe(undefined);
  expect(ExtentList.read(bytes, some.length + 1)).toBe(undefined);
  expect(ExtentList.read(bytes, 0xffff_ffff)).toBe(undefined);
  for (let length = 0; length < bytes.length; length += 1) {
    expect(ExtentList.read(bytes.subarray(0, length), some.length)).toBe(undefined);
  }
});

test('numbers that no extent can have are damage', () => {
  const fields = (...numbers: readonly number[]): Uint8Array => {
    const writer = new ByteWriter(0);
    for (const number of numbers.slice(0, 4)) writer.integer(number);
    writer.u32(0);
    writer.integer(numbers[4] ?? 0);
    return writer.written();
  };
  expect(listed(ExtentList.read(fields(7, 1, 9, 5, 3), 1))).toEqual([
    { base: 7, end: 8, position: 9, bytes: 5, headsCrc: 0, maxTimestampMs: 3 },
  ]);
  expect(fields(0, 0, 0, 0, 0).length).toBe(extentBytesMin);
  for (const wrong of [
    [-1, 1, 9, 5, 3],
    [7, -1, 9, 5, 3],
    [most, 1, 9, 5, 3],
    [7, 1, -9, 5, 3],
    [7, 1, 9, -5, 3],
    [7, 1, 9, 2 ** 32, 3],
    [7, 1, 9, 5, -3],
  ]) {
    expect([wrong, ExtentList.read(fields(...wrong), 1)]).toEqual([wrong, undefined]);
  }
});
