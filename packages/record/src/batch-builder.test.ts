import { InvariantError } from '@sluice/base';
import fc from 'fast-check';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { oneRecord, twoRecords } from '../testdata/golden-batches.ts';
import { unwrap } from '../testdata/unwrap.ts';
import { BatchBuilder, unstamped } from './batch-builder.ts';
import { checkProduceBatch } from './batch-check.ts';
import type { Compressor, Decompress } from './codec.ts';
import type { LogRecord } from './record.ts';
import { recordTimestampMax, timestampProblem } from './record.ts';
import { draftOf } from './record-draft.ts';
import { decodeRecords } from './record-decoder.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const plain = (value: string, timestamp = 1000): LogRecord => ({
  timestamp,
  key: null,
  value: utf8(value),
  headers: [],
});

const gzip: Compressor = { codec: 'gzip', compress: (bytes) => gzipSync(bytes) };
const gunzip: Decompress = (_, bytes, maxOutputLength) => gunzipSync(bytes, { maxOutputLength });

const blob = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null });
const anyRecord: fc.Arbitrary<LogRecord> = fc.record({
  timestamp: fc.oneof(fc.integer({ min: 0, max: recordTimestampMax }), fc.integer({ min: 1_000, max: 1_100 })),
  key: blob,
  value: blob,
  headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: blob }), { maxLength: 4 }),
});

function filled(records: readonly LogRecord[], capacityBytes?: number): BatchBuilder {
  const builder = new BatchBuilder(capacityBytes === undefined ? {} : { capacityBytes });
  for (const record of records) builder.append(draftOf(record));
  return builder;
}

/** Records as plain data: typed arrays over other buffers compare by content. */
const contents = (records: readonly LogRecord[]) =>
  records.map(({ timestamp, key, value, headers }) => ({
    timestamp,
    key: key && [...key],
    value: value && [...value],
    headers: headers.map((header) => ({ key: header.key, value: header.value && [...header.value] })),
  }));

describe('BatchBuilder', () => {
  test('gives the bytes written by hand, without a producer id', () => {
    const builder = filled([{ timestamp: 1_700_000_000_000, key: utf8('k'), value: utf8('v'), headers: [] }]);
    expect(builder.build(unstamped)).toEqual(oneRecord());
  });

  test('gives the bytes written by hand, idempotent, with headers', () => {
    const headers = [
      { key: 'a', value: null },
      { key: 'é', value: Uint8Array.of(0, 255) },
    ];
    const builder = filled([
      { timestamp: 1000, key: null, value: null, headers: [] },
      { timestamp: 1300, key: null, value: utf8('hi'), headers },
    ]);
    const batch = builder.build({ producerId: 4242, producerEpoch: 7, baseSequence: 2 ** 31 - 1 });
    expect(batch).toEqual(twoRecords());
  });

  test('any records come back as they went in, and pass the check of the leader', () => {
    const stamp = fc.record({
      producerId: fc.maxSafeNat(),
      producerEpoch: fc.nat(0x7fff),
      baseSequence: fc.nat(0x7fff_ffff),
    });
    const anyRecords = fc.array(anyRecord, { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(anyRecords, fc.nat(2000), stamp, fc.boolean(), (records, capacityBytes, place, compressed) => {
        const builder = filled(records, capacityBytes);
        const batch = builder.build(compressed ? { ...place, compressor: gzip } : place);
        const header = unwrap(checkProduceBatch(batch, { batchBytesMax: builder.batchBytes }));
        const timestamps = records.map((record) => record.timestamp);
        expect(header).toMatchObject({
          ...place,
          recordCount: records.length,
          baseTimestamp: timestamps[0],
          maxTimestamp: Math.max(...timestamps),
        });
        const decoded = unwrap(decodeRecords(batch, { decompress: gunzip }));
        expect(contents(decoded)).toEqual(contents(records));
        expect(decoded.map((record) => record.offset)).toEqual(records.map((_, index) => index));
      }),
      { numRuns: 500 },
    );
  });

  test('counts the bytes exactly', () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), (records) => {
        const builder = new BatchBuilder({ capacityBytes: 64 });
        for (const record of records) {
          const added = builder.append(draftOf(record));
          expect(builder.batchBytes).toBe(added);
        }
        expect(builder.recordCount).toBe(records.length);
        const bytes = builder.batchBytes;
        expect(builder.build(unstamped).length).toBe(bytes);
      }),
    );
  });

  test('half a surrogate pair in a header key becomes U+FFFD', () => {
    const headers = ['\ud800', 'a\udc00b', '\ud800\ud800', '\ud83d\ude00'].map((key) => ({ key, value: null }));
    const decoded = unwrap(decodeRecords(filled([{ ...plain('x'), headers }]).build(unstamped)));
    const keys = decoded[0]?.headers.map((header) => header.key);
    expect(keys).toEqual(['\ufffd', 'a\ufffdb', '\ufffd\ufffd', '\u{1f600}']);
  });

  test('sends uncompressed what compression would make larger', () => {
    const tiny = filled([plain('x')]).build({ ...unstamped, compressor: gzip });
    expect(tiny).toEqual(filled([plain('x')]).build(unstamped));
    const long = filled([plain('x'.repeat(1000))]).build({ ...unstamped, compressor: gzip });
    expect(long.length).toBeLessThan(200);
    expect(checkProduceBatch(long, { batchBytesMax: 200 })).toMatchObject({ ok: true, value: { codec: 'gzip' } });
  });

  test('a small batch does not hold a large buffer, a full one is not copied', () => {
    expect(filled([plain('x')], 16_384).build(unstamped).buffer.byteLength).toBeLessThan(100);
    expect(filled([plain('x'.repeat(900))], 1024).build(unstamped).buffer.byteLength).toBe(1024);
  });

  test('takes no record after build, and builds once and never nothing', () => {
    const builder = filled([plain('x')]);
    builder.build(unstamped);
    expect(() => builder.append(draftOf(plain('y')))).toThrow(InvariantError);
    expect(() => builder.build(unstamped)).toThrow(InvariantError);
    expect(() => new BatchBuilder().build(unstamped)).toThrow(InvariantError);
  });

  test('copies what it is given', () => {
    const value = utf8('before');
    const builder = filled([{ ...plain(''), value }]);
    value.fill(0);
    const decoded = decodeRecords(builder.build(unstamped));
    expect(decoded.ok && new TextDecoder().decode(decoded.value[0]?.value ?? undefined)).toBe('before');
  });
});

describe('timestampProblem', () => {
  test.each([0, 1_700_000_000_000, recordTimestampMax])('a record at %d ms is encodable', (timestamp) => {
    expect(timestampProblem(timestamp)).toBeUndefined();
  });

  test.each([-1, 0.5, Number.NaN, Infinity, recordTimestampMax + 1])('a record at %d ms is not', (timestamp) => {
    expect(timestampProblem(timestamp)).toMatchObject({ code: 'INVALID_BATCH', rule: 'range' });
    expect(() => draftOf(plain('x', timestamp))).toThrow(InvariantError);
  });
});
