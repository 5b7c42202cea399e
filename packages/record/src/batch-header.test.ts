import { leaderEpoch, offset } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { commitMarker, oneRecord, resealed, twoRecords } from '../testdata/golden-batches.ts';
import { unwrap } from '../testdata/unwrap.ts';
import { checkReplicatedBatch } from './batch-check.ts';
import { lastOffset, offsetAfterBatch, patchBatch, readBatchHeader } from './batch-header.ts';

const headerOf = (bytes: Uint8Array, at = 0) => unwrap(readBatchHeader(bytes, at));

describe('readBatchHeader', () => {
  test('gives every field of a producer batch', () => {
    expect(headerOf(twoRecords())).toEqual({
      baseOffset: 0,
      batchBytes: 87,
      leaderEpoch: -1,
      magic: 2,
      crc: 0x20c0_26a7,
      codec: 'none',
      timestampType: 'create',
      transactional: false,
      control: false,
      deleteHorizon: false,
      lastOffsetDelta: 1,
      baseTimestamp: 1000,
      maxTimestamp: 1300,
      producerId: 4242,
      producerEpoch: 7,
      baseSequence: 2_147_483_647,
      recordCount: 2,
    });
  });

  test('gives every field of a control batch', () => {
    const header = headerOf(commitMarker());
    expect(header).toMatchObject({
      baseOffset: 100,
      batchBytes: 78,
      leaderEpoch: 3,
      control: true,
      transactional: true,
    });
    expect(header).toMatchObject({ producerId: 77, producerEpoch: 1, baseSequence: -1, recordCount: 1 });
    expect([lastOffset(header), offsetAfterBatch(header)]).toEqual([100, 101]);
  });

  test('reads at a position, from a view that does not start its buffer', () => {
    const padded = new Uint8Array([1, 2, 3, 4, 5, ...twoRecords(), ...commitMarker()]);
    const bytes = padded.subarray(3);
    expect(headerOf(bytes, 2)).toEqual(headerOf(twoRecords()));
    expect(headerOf(bytes, 2 + 87)).toEqual(headerOf(commitMarker()));
  });

  test.each([
    ['none', 0],
    ['gzip', 1],
    ['snappy', 2],
    ['lz4', 3],
    ['zstd', 4],
  ])('codec %s is id %i', (codec, id) => {
    expect(headerOf(resealed(oneRecord(), (view) => view.setInt16(21, id))).codec).toBe(codec);
  });

  test.each([
    ['timestampType', 0x08, 'append'],
    ['transactional', 0x10, true],
    ['control', 0x20, true],
    ['deleteHorizon', 0x40, true],
  ] as const)('attribute %s is bit 0x%x', (field, bit, value) => {
    const plain = headerOf(oneRecord());
    const header = headerOf(resealed(oneRecord(), (view) => view.setInt16(21, bit)));
    expect(header[field]).toBe(value);
    expect({ ...header, crc: plain.crc, [field]: plain[field] }).toEqual(plain);
  });

  test('keeps a batch that compaction emptied', () => {
    const emptied = resealed(twoRecords().subarray(0, 61), (view) => {
      view.setInt32(57, 0);
      view.setBigInt64(27, -1n);
    });
    expect(headerOf(emptied)).toMatchObject({ recordCount: 0, lastOffsetDelta: 1, baseTimestamp: -1, batchBytes: 61 });
  });

  test('takes the last position that a number can hold, and refuses the next', () => {
    const at = (base: bigint) => readBatchHeader(resealed(twoRecords(), (view) => view.setBigInt64(0, base)));
    const last = at(2n ** 53n - 3n);
    expect(last.ok && offsetAfterBatch(last.value)).toBe(2 ** 53 - 1);
    expect(at(2n ** 53n - 2n)).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule: 'range' } });
  });

  test.each([
    ['a base offset beyond 2^53', 0, 2n ** 53n],
    ['the largest base offset', 0, 2n ** 63n - 1n],
    ['a negative base offset', 0, -1n],
    ['a base timestamp beyond 2^53', 27, 2n ** 53n],
    ['a max timestamp below -2^53', 35, -(2n ** 53n)],
    ['a producer id beyond 2^53', 43, 2n ** 53n],
    ['a producer id below -1', 43, -2n],
  ])('%s is out of range', (_, position, value) => {
    const read = readBatchHeader(resealed(oneRecord(), (view) => view.setBigInt64(position, value)));
    expect(read).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule: 'range' } });
  });
});

describe('the record count', () => {
  test.each([
    ['negative', twoRecords(), -1],
    ['more than the offsets', twoRecords(), 3],
    ['more than the bytes hold', resealed(oneRecord(), (view) => view.setInt32(23, 99)), 2],
  ])('%s is refused by followers and readers too', (_, batch, count) => {
    const read = readBatchHeader(resealed(batch, (view) => view.setInt32(57, count)));
    expect(read).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule: 'count' } });
  });
});

describe('patchBatch', () => {
  test('places the batch without breaking its CRC or touching another byte', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(0x7fff_ffff), fc.nat(9), (base, epoch, at) => {
        fc.pre(base <= 2 ** 53 - 3);
        const bytes = new Uint8Array(at + 87);
        bytes.set(twoRecords(), at);
        patchBatch(bytes, at, { baseOffset: offset(base), leaderEpoch: leaderEpoch(epoch) });
        expect(unwrap(checkReplicatedBatch(bytes, at))).toEqual({
          ...headerOf(twoRecords()),
          baseOffset: base,
          leaderEpoch: epoch,
        });
        expect(bytes.subarray(at + 16)).toEqual(twoRecords().subarray(16));
        expect(bytes.subarray(0, at)).toEqual(new Uint8Array(at));
      }),
    );
  });
});
