import fc from 'fast-check';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { batchOf, commitMarker, oneRecord, resealed, twoRecords } from '../testdata/golden-batches.ts';
import { sentenceOf, unwrap } from '../testdata/unwrap.ts';
import { checkProduceBatch } from './batch-check.ts';
import type { Decompress } from './codec.ts';
import { decodeRecords } from './record-decoder.ts';

const gunzip: Decompress = (_, bytes, maxOutputLength) => gunzipSync(bytes, { maxOutputLength });

/** 0: null key and value. 1: key `k`, value `v`, header `a` = `b`. */
const first = [0x0c, 0, 0, 0, 1, 1, 0];
const second = [0x18, 0, 0, 2, 2, 0x6b, 2, 0x76, 2, 2, 0x61, 2, 0x62];

function gzipped(records: readonly number[], recordCount: number): Uint8Array {
  const batch = batchOf([...gzipSync(Uint8Array.from(records))], recordCount);
  return resealed(batch, (view) => view.setInt16(21, 1));
}

function decoded(batch: Uint8Array) {
  return unwrap(decodeRecords(batch, { decompress: gunzip }));
}

describe('decodeRecords', () => {
  test('of the batches written by hand', () => {
    expect(decoded(oneRecord())).toEqual([
      { offset: 0, timestamp: 1_700_000_000_000, key: Uint8Array.of(0x6b), value: Uint8Array.of(0x76), headers: [] },
    ]);
    expect(decoded(twoRecords())).toEqual([
      { offset: 0, timestamp: 1000, key: null, value: null, headers: [] },
      {
        offset: 1,
        timestamp: 1300,
        key: null,
        value: Uint8Array.of(0x68, 0x69),
        headers: [
          { key: 'a', value: null },
          { key: 'é', value: Uint8Array.of(0, 255) },
        ],
      },
    ]);
    const marker = {
      offset: 100,
      timestamp: 5000,
      key: Uint8Array.of(0, 0, 0, 1),
      value: Uint8Array.of(0, 0, 0, 0, 0, 9),
    };
    expect(decoded(commitMarker())).toEqual([{ ...marker, headers: [] }]);
  });

  test('gives views of the batch and not copies', () => {
    const batch = twoRecords();
    const value = decoded(batch)[1]?.value;
    expect(value?.buffer).toBe(batch.buffer);
    batch[value!.byteOffset] = 0x48;
    expect(value).toEqual(Uint8Array.of(0x48, 0x69));
  });

  test('gives plain views of a Buffer', () => {
    for (const record of decoded(Buffer.from(oneRecord()))) {
      expect(Object.getPrototypeOf(record.key)).toBe(Uint8Array.prototype);
      expect(Object.getPrototypeOf(record.value)).toBe(Uint8Array.prototype);
    }
  });

  test('counts offsets from where the leader placed the batch', () => {
    const placed = resealed(twoRecords(), (view) => view.setBigInt64(0, 2n ** 53n - 3n));
    expect(decoded(placed).map((record) => record.offset)).toEqual([2 ** 53 - 3, 2 ** 53 - 2]);
  });

  test('gives append time to every record when the broker set it', () => {
    const stamped = resealed(twoRecords(), (view) => {
      view.setInt16(21, 0x08);
      view.setBigInt64(35, 9999n);
    });
    expect(decoded(stamped).map((record) => record.timestamp)).toEqual([9999, 9999]);
  });

  test('keeps the gaps that compaction left, and batches that it emptied', () => {
    const compacted = resealed(batchOf(second, 1), (view) => view.setInt32(23, 4));
    expect(decoded(compacted).map((record) => record.offset)).toEqual([1]);
    const emptied = resealed(batchOf([], 1), (view) => view.setInt32(57, 0));
    expect(decoded(emptied)).toEqual([]);
  });

  test('of compressed records', () => {
    expect(decoded(gzipped([...first, ...second], 2))).toEqual(decoded(batchOf([...first, ...second], 2)));
  });

  test('leaves the bytes behind the batch alone', () => {
    expect(decoded(Uint8Array.from([...oneRecord(), 1, 2, 3]))).toEqual(decoded(oneRecord()));
  });

  // Each is right in length, count and CRC, and wrong in one thing inside its records.
  const body = (...bytes: number[]): number[] => [bytes.length * 2, ...bytes];
  const longVarint = [0xff, 0xff, 0xff, 0xff, 0x0f];
  test.each([
    ['a record shorter than any', [0x0a, 0, 0, 0, 1, 1, 0], 'impossible length'],
    ['a record of negative length', [0x01, 0, 0, 0, 1, 1, 0], 'impossible length'],
    ['a record longer than the batch', [0x0e, 0, 0, 0, 1, 1, 0], 'impossible length'],
    ['a record of 2^31 - 1 bytes', [0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0], 'impossible length'],
    ['a length that never ends', Array<number>(9).fill(0xff), 'impossible length'],
    ['attributes', body(1, 0, 0, 1, 1, 0), 'unknown attributes'],
    [
      'a timestamp delta beyond 2^53',
      body(0, ...Array<number>(9).fill(0xff), 1, 0, 1, 1, 0),
      'impossible timestamp delta',
    ],
    [
      'a timestamp that leaves 2^53',
      body(0, 0xfe, ...Array<number>(6).fill(0xff), 0x1f, 0, 1, 1, 0),
      'timestamp beyond',
    ],
    ['a negative offset delta', body(0, 0, 1, 1, 1, 0), 'impossible offset delta'],
    ['an offset delta beyond the last', body(0, 0, 2, 1, 1, 0), 'impossible offset delta'],
    ['a key of length -2', body(0, 0, 0, 3, 1, 0), 'impossible key length'],
    ['a key longer than its record', body(0, 0, 0, 8, 1, 0), 'impossible key length'],
    ['a key of -2^31 bytes', body(0, 0, 0, ...longVarint, 1, 0), 'impossible key length'],
    ['a value of length -2', body(0, 0, 0, 1, 3, 0), 'impossible value length'],
    ['a value longer than its record', body(0, 0, 0, 1, 4, 0), 'impossible value length'],
    ['a header count of -1', body(0, 0, 0, 1, 1, 1), 'impossible header count'],
    ['more headers than its bytes can hold', body(0, 0, 0, 1, 1, 4, 0, 0), 'impossible header count'],
    ['2^31 - 1 headers', body(0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f), 'impossible header count'],
    ['a null header key', body(0, 0, 0, 1, 1, 2, 1, 0), 'impossible header key length'],
    ['a header key that is not UTF-8', body(0, 0, 0, 1, 1, 2, 2, 0xff, 1), 'header key is not UTF-8'],
    ['a header value longer than its record', body(0, 0, 0, 1, 1, 2, 0, 8), 'impossible header value length'],
    ['bytes left over in a record', body(0, 0, 0, 1, 1, 0, 0), 'length and content differ'],
    ['bytes left over in the batch', [...first, 0], '1 bytes follow the last record'],
  ])('%s is a problem', (_, records, sentence) => {
    const batch = batchOf(records, 1);
    // A leader takes it, since it does not parse records.
    expect(checkProduceBatch(batch, { batchBytesMax: 1000 }).ok).toBe(true);
    const result = decodeRecords(batch);
    expect(result).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule: 'record' } });
    expect(sentenceOf(result)).toContain(sentence);
  });

  test('a record that reads into the next one is a problem', () => {
    // Its value reaches two bytes into its successor, which the batch has room for and the record has not.
    const result = decodeRecords(batchOf([...body(0, 0, 0, 1, 4, 0), ...second], 2));
    expect(result).toMatchObject({ ok: false, problem: { rule: 'record' } });
  });

  test('offsets that repeat or go back are a problem', () => {
    const result = decodeRecords(batchOf([...second, ...first], 2));
    expect(sentenceOf(result)).toContain('offsets do not increase');
    expect(decodeRecords(batchOf([...first, ...first], 2)).ok).toBe(false);
  });

  test('records cut anywhere are a problem', () => {
    const records = [...first, ...second];
    for (let bytes = 0; bytes < records.length; bytes += 1) {
      expect([bytes, decodeRecords(batchOf(records.slice(0, bytes), 2)).ok]).toEqual([bytes, false]);
    }
  });

  test('a batch cut anywhere, or with any bit flipped, never throws', () => {
    for (const whole of [oneRecord(), twoRecords(), commitMarker(), gzipped([...first, ...second], 2)]) {
      for (let bytes = 0; bytes < whole.length; bytes += 1)
        expect(decodeRecords(whole.subarray(0, bytes)).ok).toBe(false);
      for (let bit = 0; bit < whole.length * 8; bit += 1) {
        const bytes = Uint8Array.from(whole);
        bytes[bit >>> 3]! ^= 1 << (bit & 7);
        decodeRecords(bytes, { decompress: gunzip });
      }
    }
  });

  test('random records never throw, and what they give lies in the batch', () => {
    const nearlyRight = fc
      .array(fc.oneof(fc.constant(first), fc.constant(second), fc.array(fc.nat(255), { maxLength: 12 })), {
        maxLength: 6,
      })
      .map((parts) => parts.flat());
    fc.assert(
      fc.property(nearlyRight, fc.integer({ min: 1, max: 12 }), (records, count) => {
        const result = decodeRecords(batchOf(records, count));
        const offsets = result.ok ? result.value.map((record) => record.offset) : [];
        expect(offsets.length).toBe(result.ok ? count : 0);
        expect(offsets.every((offset) => offset < count)).toBe(true);
        expect(result.ok ? 'record' : result.problem.rule).toMatch(/^(?:record|count)$/);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('compressed batches', () => {
  const batch = gzipped([...first, ...second], 2);

  test('without a decompressor are a problem that names the codec', () => {
    const result = decodeRecords(batch);
    expect(result).toMatchObject({ ok: false, problem: { code: 'INVALID_BATCH', rule: 'compression' } });
    expect(sentenceOf(result)).toContain('gzip');
  });

  test('that the codec cannot read are a problem with its reason', () => {
    const damaged = Uint8Array.from(batch);
    damaged[75]! ^= 0xff;
    expect(decodeRecords(damaged, { decompress: gunzip })).toMatchObject({
      ok: false,
      problem: { code: 'CORRUPT_BATCH', rule: 'compression' },
    });
  });

  test('that would grow beyond the limit are a problem, whether or not the codec keeps to it', () => {
    const bomb = gzipped(Array<number>(100_000).fill(0), 1);
    expect(decodeRecords(bomb, { decompress: gunzip, outputBytesMax: 99_999 })).toMatchObject({
      ok: false,
      problem: { code: 'CORRUPT_BATCH', rule: 'compression' },
    });
    const careless: Decompress = (_, bytes) => gunzipSync(bytes);
    expect(decodeRecords(bomb, { decompress: careless, outputBytesMax: 99_999 })).toMatchObject({
      ok: false,
      problem: { code: 'INVALID_BATCH', rule: 'compression' },
    });
  });

  test('that claim more records than they decompress to are a problem', () => {
    const result = decodeRecords(gzipped(first, 400), { decompress: gunzip });
    expect(sentenceOf(result)).toContain('400 records cannot lie in 7 bytes');
  });
});
