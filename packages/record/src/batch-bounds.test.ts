import { leaderEpoch, offset } from '@sluice/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { baseOffsetOf, batchBytesAt, endOffsetOf, maxTimestampOf } from './batch-bounds.ts';
import { BatchBuilder, unstamped } from './batch-builder.ts';
import { offsetAfterBatch, patchBatch, readBatchHeader } from './batch-header.ts';
import { maxTimestampAt } from './layout.ts';
import { draftOf } from './record-draft.ts';

function batch(base: number, records: number): Uint8Array {
  const builder = new BatchBuilder();
  for (let at = 0; at < records; at += 1) {
    builder.append(draftOf({ timestamp: 1, key: null, value: new Uint8Array(at % 9), headers: [] }));
  }
  const built = builder.build(unstamped);
  patchBatch(built, 0, { baseOffset: offset(base), leaderEpoch: leaderEpoch(3) });
  return built;
}

test('bounds are what the whole header says, wherever the batch lies', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 2 ** 52 }),
      fc.integer({ min: 1, max: 300 }),
      fc.nat({ max: 40 }),
      (base, records, at) => {
        const built = batch(base, records);
        const bytes = new Uint8Array(at + built.length + 7).fill(0xee);
        bytes.set(built, at);
        const read = readBatchHeader(bytes, at);
        expect(read.ok && [read.value.batchBytes, read.value.baseOffset, offsetAfterBatch(read.value)]).toEqual([
          batchBytesAt(bytes, at),
          baseOffsetOf(bytes, at),
          endOffsetOf(bytes, at),
        ]);
      },
    ),
  );
});

test('there is no batch where its bytes end too early, or its length is impossible', () => {
  const built = batch(5, 4);
  for (let bytes = 0; bytes < built.length; bytes += 1) expect(batchBytesAt(built.subarray(0, bytes), 0)).toBe(0);
  for (const first of [0x80, 0xff]) {
    const wrong = built.slice();
    wrong[8] = first;
    expect(batchBytesAt(wrong, 0)).toBe(0);
  }
});

test('the newest timestamp is the one in the header, and the largest number where that cannot be one', () => {
  const bytes = batch(0, 1);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const cases = [0n, 1n, 1_795_000_000_000n, BigInt(Number.MAX_SAFE_INTEGER), -1n, 2n ** 53n, 2n ** 62n] as const;
  const read = cases.map((written) => {
    view.setBigInt64(maxTimestampAt, written);
    return maxTimestampOf(bytes, 0);
  });
  const unknown = Number.MAX_SAFE_INTEGER;
  expect(read).toEqual([0, 1, 1_795_000_000_000, unknown, unknown, unknown, unknown]);
});
