import { errorTable } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchOf, commitMarker, oneRecord, placed, resealed, twoRecords } from '../testdata/golden-batches.ts';
import { checkProduceBatch, checkReplicatedBatch } from './batch-check.ts';
import type { BatchProblem } from './result.ts';
import { batchError } from './result.ts';

const limits = { batchBytesMax: 1_000_000 };

function problemOf(bytes: Uint8Array): Pick<BatchProblem, 'code' | 'rule'> | 'accepted' {
  const checked = checkProduceBatch(bytes, limits);
  return checked.ok ? 'accepted' : { code: checked.problem.code, rule: checked.problem.rule };
}

describe('checkProduceBatch', () => {
  test.each([
    ['without a producer id', oneRecord()],
    ['idempotent', twoRecords()],
    ['without a producer id, epoch 0 and sequence 0', resealed(oneRecord(), (view) => view.setInt16(51, 0))],
    ['with leader epoch 0', resealed(oneRecord(), (view) => view.setInt32(12, 0))],
    ['with producer id 0', resealed(twoRecords(), (view) => view.setBigInt64(43, 0n))],
    ['without a max timestamp', resealed(twoRecords(), (view) => view.setBigInt64(35, -1n))],
  ])('accepts a batch %s', (_, bytes) => {
    expect(problemOf(bytes)).toBe('accepted');
  });

  const set16 = (at: number, value: number) => resealed(twoRecords(), (view) => view.setInt16(at, value));
  const set32 = (at: number, value: number) => resealed(twoRecords(), (view) => view.setInt32(at, value));
  test.each([
    ['magic 1', resealed(twoRecords(), (view) => view.setInt8(16, 1)), 'magic'],
    ['a second batch', Uint8Array.from([...oneRecord(), ...oneRecord()]), 'length'],
    ['a byte after it', Uint8Array.from([...oneRecord(), 0]), 'length'],
    ['a base offset', resealed(twoRecords(), (view) => view.setBigInt64(0, 1n)), 'range'],
    ['codec 5', set16(21, 5), 'attributes'],
    ['codec 7', set16(21, 7), 'attributes'],
    ['append time', set16(21, 0x08), 'attributes'],
    ['a transaction', set16(21, 0x10), 'attributes'],
    ['a control bit', set16(21, 0x20), 'attributes'],
    ['a delete horizon', set16(21, 0x40), 'attributes'],
    ['attribute bit 7', set16(21, 0x80), 'attributes'],
    ['attribute bit 15', set16(21, -0x8000), 'attributes'],
    ['a commit marker', resealed(commitMarker(), (view) => view.setBigInt64(0, 0n)), 'attributes'],
    ['no records', batchOf([], 0), 'range'],
    ['an emptied batch', set32(57, 0), 'count'],
    ['fewer records than offsets', set32(57, 1), 'count'],
    ['more records than offsets', set32(23, 0), 'count'],
    ['a negative count', set32(57, -1), 'count'],
    ['a negative last offset delta', set32(23, -1), 'range'],
    ['more records than its bytes can hold', batchOf(Array<number>(13).fill(0), 2), 'count'],
    ['2^31 - 1 records', batchOf([0x10, 0, 0, 0, 2, 0x6b, 2, 0x76, 0], 0x7fff_ffff), 'count'],
    ['a negative sequence', set32(53, -1), 'sequence'],
    ['a negative producer epoch', set16(51, -1), 'sequence'],
  ])('refuses %s', (_, bytes, rule) => {
    expect(problemOf(bytes)).toEqual({ code: 'INVALID_BATCH', rule });
  });

  test('bounds the count of a compressed batch by its compressed bytes', () => {
    const compressed = (count: number) => {
      const batch = batchOf(Array<number>(100).fill(0), count);
      return problemOf(resealed(batch, (view) => view.setInt16(21, 4)));
    };
    expect(compressed(3200)).toBe('accepted');
    expect(compressed(3201)).toEqual({ code: 'INVALID_BATCH', rule: 'count' });
  });

  test('refuses a batch over the limit, and not one at the limit', () => {
    expect(checkProduceBatch(twoRecords(), { batchBytesMax: 87 }).ok).toBe(true);
    expect(checkProduceBatch(twoRecords(), { batchBytesMax: 86 })).toMatchObject({
      ok: false,
      problem: {
        code: 'RECORD_TOO_LARGE',
        rule: 'size',
        message: 'the batch has 87 bytes, the limit is 86; send smaller ones or raise recordBytesMax',
      },
    });
  });

  test.each([
    ['oneRecord', oneRecord()],
    ['twoRecords', twoRecords()],
  ])('%s cut anywhere is corrupt', (_, whole) => {
    for (let bytes = 0; bytes < whole.length; bytes += 1) {
      expect([bytes, problemOf(whole.slice(0, bytes))]).toEqual([bytes, { code: 'CORRUPT_BATCH', rule: 'cut-off' }]);
    }
  });

  test.each([
    ['oneRecord', oneRecord()],
    ['twoRecords', twoRecords()],
  ])('%s with any bit flipped', (_, whole) => {
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const position = bit >>> 3;
      expect([bit, problemOf(flipped(whole, bit))]).toEqual([bit, expected(position, bit)]);
    }

    function expected(position: number, bit: number): unknown {
      if (position < 8) return { code: 'INVALID_BATCH', rule: 'range' };
      // A length flipped upwards runs past the end, one flipped downwards leaves bytes over or is no batch at all.
      if (position < 12) return lengthProblem(bit);
      if (position < 16) return 'accepted';
      if (position === 16) return { code: 'INVALID_BATCH', rule: 'magic' };
      return { code: 'CORRUPT_BATCH', rule: 'crc' };
    }

    function lengthProblem(bit: number): unknown {
      const length = new DataView(flipped(whole, bit).buffer).getInt32(8);
      if (length < 49) return { code: 'CORRUPT_BATCH', rule: 'length' };
      return { code: 'CORRUPT_BATCH', rule: length + 12 > whole.length ? 'cut-off' : 'crc' };
    }
  });

  test('random bytes, and random bytes behind a plausible header, never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(checkProduceBatch(bytes, limits).ok).toBe(false);
        expect(checkReplicatedBatch(bytes).ok).toBe(false);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 40, maxLength: 300 }), (content) => {
        const batch = new Uint8Array(21 + content.length);
        batch[16] = 2;
        batch.set(content, 21);
        const checked = checkProduceBatch(
          resealed(batch, () => undefined),
          limits,
        );
        expect(checked.ok ? 'accepted' : checked.problem.rule).not.toMatch(/crc|magic|cut-off/);
      }),
      { numRuns: 2000 },
    );
  });

  test('every problem becomes an error with its code, its sentence and its rule', () => {
    const checked = checkProduceBatch(commitMarker(), limits);
    if (checked.ok) throw new Error('a control batch was accepted');
    const error = batchError(checked.problem, { partition: 3 });
    expect(error).toMatchObject({ code: 'INVALID_BATCH', retry: errorTable.INVALID_BATCH.retry, definite: true });
    expect(error.message).toBe("a producer's base offset is 0, this is 100");
    expect(error.details).toEqual({ rule: 'range', partition: 3 });
  });
});

describe('checkReplicatedBatch', () => {
  test.each([
    ['a marker', commitMarker()],
    ['a placed batch', resealed(placed(twoRecords()), (view) => view.setBigInt64(0, 7n))],
  ])('accepts %s, with bytes behind it', (_, bytes) => {
    expect(checkReplicatedBatch(bytes).ok).toBe(true);
    expect(checkReplicatedBatch(Uint8Array.from([9, ...bytes, 1, 2, 3]), 1).ok).toBe(true);
  });

  test.each([
    ['that no leader placed', twoRecords(), 'range'],
    ['of a negative producer epoch', resealed(placed(twoRecords()), (view) => view.setInt16(51, -1)), 'sequence'],
    ['of a negative sequence', resealed(placed(twoRecords()), (view) => view.setInt32(53, -1)), 'sequence'],
    ['of a marker with a negative epoch', resealed(commitMarker(), (view) => view.setInt16(51, -1)), 'sequence'],
  ])('refuses a batch %s', (_, bytes, rule) => {
    expect(checkReplicatedBatch(bytes)).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule } });
  });

  test('any bit flipped under the CRC is corrupt; outside it only place and frame can differ', () => {
    const whole = commitMarker();
    for (let bit = 0; bit < whole.length * 8; bit += 1) {
      const bytes = flipped(whole, bit);
      const checked = checkReplicatedBatch(bytes);
      const outcome = checked.ok ? checked.value.baseOffset : checked.problem.rule;
      expect([bit, outcome]).toEqual([bit, expected(bit >>> 3, bytes)]);
    }

    function expected(position: number, bytes: Uint8Array<ArrayBuffer>): unknown {
      const view = new DataView(bytes.buffer);
      if (position >= 17) return 'crc';
      if (position === 16) return 'magic';
      if (position >= 12) return view.getInt32(12) < 0 ? 'range' : 100;
      const length = view.getInt32(8);
      if (position >= 8) return length < 49 ? 'length' : length + 12 > whole.length ? 'cut-off' : 'crc';
      const base = view.getBigInt64(0);
      return base >= 0n && base < 2n ** 53n - 1n ? Number(base) : 'range';
    }
  });
});

function flipped(bytes: Uint8Array, bit: number): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  copy[bit >>> 3]! ^= 1 << (bit & 7);
  return copy;
}
