import { expect, test } from 'vitest';
import { batchOf, resealed } from '../testdata/golden-batches.ts';
import { checkProduceBatch } from './batch-check.ts';
import { batchesIn } from './batches-in.ts';
import { decodeRecords } from './record-decoder.ts';

/**
 * Bytes that `run` makes the process take, its result included: the median of five runs, since a collection or a
 * compilation in one of them says nothing about the code.
 */
function bytesTaken(run: () => unknown): number {
  const taken = Array.from({ length: 5 }, () => {
    const before = process.memoryUsage();
    const kept = [run()];
    const after = process.memoryUsage();
    return kept.length * (after.heapUsed - before.heapUsed + (after.arrayBuffers - before.arrayBuffers));
  });
  return taken.toSorted((a, b) => a - b)[2] ?? Number.NaN;
}

/** What the measurement itself may take; the claims below are of gigabytes. */
const bytesOfNoise = 1_000_000;
const huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];

test.each([
  ['records', resealed(batchOf([0x0c, 0, 0, 0, 1, 1, 0], 1), (view) => view.setInt32(57, 0x7fff_ffff))],
  ['records and offsets', batchOf([0x0c, 0, 0, 0, 1, 1, 0], 0x7fff_ffff)],
  ['compressed records', resealed(batchOf([1, 2, 3], 0x7fff_ffff), (view) => view.setInt16(21, 1))],
  ['record bytes', batchOf([...huge, 0, 0, 0, 1, 1, 0], 1)],
  ['key bytes', batchOf([0x16, 0, 0, 0, ...huge, 1, 0, 0, 0], 1)],
  ['value bytes', batchOf([0x16, 0, 0, 0, 1, ...huge, 0, 0, 0], 1)],
  ['headers', batchOf([0x14, 0, 0, 0, 1, 1, ...huge], 1)],
  ['header key bytes', batchOf([0x16, 0, 0, 0, 1, 1, 2, ...huge], 1)],
  ['batch bytes', resealed(batchOf([0x0c, 0, 0, 0, 1, 1, 0], 1), (view) => view.setInt32(8, 0x7fff_ff00))],
])('a claim of 2^31 %s takes no memory', (_, batch) => {
  expect(decodeRecords(batch).ok).toBe(false);
  expect(bytesTaken(() => decodeRecords(batch))).toBeLessThan(bytesOfNoise);
  expect(bytesTaken(() => checkProduceBatch(batch, { batchBytesMax: 1_000_000 }))).toBeLessThan(bytesOfNoise);
  expect(bytesTaken(() => [...batchesIn(batch)])).toBeLessThan(bytesOfNoise);
});

test.each([
  ['empty records', (index: number) => record(index, [1, 1, 0])],
  ['records of empty keys and values', (index: number) => record(index, [0, 0, 0])],
  ['records of one byte', (index: number) => record(index, [1, 2, 0x78, 0])],
  ['records of empty headers', (index: number) => record(index, [1, 1, 8, 0, 1, 0, 1, 0, 1, 0, 1])],
])('the smallest %s take at most 40 times their bytes', (_, recordAt) => {
  const records = Array.from({ length: 20_000 }, (__, index) => recordAt(index)).flat();
  const batch = batchOf(records, 20_000);
  expect(decodeRecords(batch).ok).toBe(true);
  expect(bytesTaken(() => decodeRecords(batch))).toBeLessThan(batch.length * 40);
});

/** A record at base time and offset `index`, which is below 2^20, with this rest. */
function record(index: number, rest: readonly number[]): number[] {
  const zigzag = index * 2;
  const delta = [(zigzag & 0x7f) | 0x80, ((zigzag >>> 7) & 0x7f) | 0x80, zigzag >>> 14];
  const body = [0, 0, ...delta, ...rest];
  return [body.length * 2, ...body];
}
