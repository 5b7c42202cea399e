import { BatchBuilder, draftOf, unstamped } from '@sluice/record';
import { expect, test } from 'vitest';
import { FetchedBatch } from './fetched-batch.ts';
import { nodeCompression } from './compression.ts';

const facts = { topic: 'orders', partition: 3, baseOffset: 0, nextOffset: 3, highWatermark: 9 };

/** Three records, of which `damage` may spoil the bytes. */
function batch(damage: (bytes: Uint8Array) => void = () => undefined, baseOffset = 0): FetchedBatch {
  const builder = new BatchBuilder();
  for (const mark of [1, 2, 3]) {
    builder.append(draftOf({ timestamp: mark, key: null, value: Uint8Array.of(mark), headers: [] }));
  }
  const bytes = builder.build(unstamped);
  damage(bytes);
  return new FetchedBatch({ ...facts, baseOffset }, bytes, nodeCompression.decompress);
}

const marks = (from: FetchedBatch): unknown[] => [...from.records()].map(({ value }) => value?.[0]);

test('every iteration decodes the records anew, from the one that was asked for', () => {
  const whole = batch();
  expect([marks(whole), marks(whole)]).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  expect(marks(batch(undefined, 2))).toEqual([3]);
  expect(whole.batchBytes).toBe(61 + 3 * 8);
});

test('a record that does not decode stops the iteration there, with its place', () => {
  const spoilt = batch((bytes) => {
    bytes[61 + 8 + 1] = 1;
  });
  const got: unknown[] = [];
  const read = (): void => {
    for (const { value } of spoilt.records()) got.push(value?.[0]);
  };
  expect(read).toThrow(/record 1 of the batch is malformed: unknown attributes/);
  expect(got).toEqual([1]);
  expect(read).toThrow(expect.objectContaining({ code: 'INVALID_BATCH', details: { rule: 'record', ...where } }));
});

const where = { topic: 'orders', partition: 3, offset: 0 };

test('what does not decompress is told when the records are iterated, not before', () => {
  const records = batch((bytes) => {
    bytes[22] = 1;
  }).records();
  expect(() => [...records]).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }));
});
