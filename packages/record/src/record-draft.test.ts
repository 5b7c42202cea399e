import { utf8Decode } from '@sluice/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { unwrap } from '../testdata/unwrap.ts';
import { BatchBuilder, unstamped } from './batch-builder.ts';
import { partitionForKey } from './partition-for-key.ts';
import type { Bytes, RecordContent } from './record.ts';
import { decodeRecords } from './record-decoder.ts';
import { RecordDraft } from './record-draft.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const bytesOf = (bytes: Bytes | null): Uint8Array | null => (typeof bytes === 'string' ? utf8(bytes) : bytes);

/** The batch of one draft used for all of them, in turn. */
function batchOf(records: readonly RecordContent[]): Uint8Array {
  const builder = new BatchBuilder();
  const draft = new RecordDraft();
  for (const record of records) builder.append(draft.take(record, 5));
  return builder.build(unstamped);
}

/** The same record with no text and no object in it. */
const plain = ({ key = null, value, headers = [] }: RecordContent): RecordContent => ({
  key: bytesOf(key),
  value: bytesOf(value),
  headers: (Array.isArray(headers)
    ? (headers as readonly { key: string; value: Bytes | null }[])
    : Object.entries(headers as Record<string, Bytes | null>).map(([name, bytes]) => ({ key: name, value: bytes }))
  ).map((header) => ({ key: header.key, value: bytesOf(header.value) })),
});

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
  fc.constantFrom(
    'ü',
    '\u0080\u00ff',
    '\ud800',
    'a\udc00b',
    'x'.repeat(2_000),
    'ü'.repeat(1_000),
    'x'.repeat(39),
    'x'.repeat(41),
  ),
);
const bytes = fc.option(fc.oneof(text, fc.uint8Array({ maxLength: 80 })), { nil: null });
const record: fc.Arbitrary<RecordContent> = fc.record(
  {
    key: bytes,
    value: bytes,
    headers: fc.oneof(
      fc.array(fc.record({ key: text, value: bytes }), { maxLength: 4 }),
      fc.dictionary(fc.string({ maxLength: 5 }), bytes, { maxKeys: 4 }),
    ),
  },
  { requiredKeys: ['value'] },
);

describe('a draft used for one record after another', () => {
  test('writes texts and objects as it writes their bytes', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), (records) => {
        const batch = batchOf(records);
        expect(Buffer.compare(batch, batchOf(records.map(plain)))).toBe(0);
        expect(unwrap(decodeRecords(batch))).toHaveLength(records.length);
      }),
      { numRuns: 300 },
    );
  });

  test('counts payloads and finds partitions as of the bytes', () => {
    const draft = new RecordDraft();
    fc.assert(
      fc.property(record, (each) => {
        draft.take(each, 0);
        const { key, value, headers } = plain(each);
        let payload = (key?.length ?? 0) + (value?.length ?? 0);
        for (const header of headers as { key: string; value: Uint8Array | null }[])
          payload += utf8(header.key).length + (header.value?.length ?? 0);
        expect(draft.payloadBytes).toBe(payload);
        expect(draft.hasKey).toBe(key !== null && key !== undefined);
        const expected = key === null || key === undefined ? undefined : partitionForKey(key as Uint8Array, 7);
        expect(draft.hasKey ? draft.partition(7) : undefined).toBe(expected);
      }),
    );
  });

  test('takes a text of any length', () => {
    const value = `${'x'.repeat(300_000)}ü`;
    const [decoded] = unwrap(decodeRecords(batchOf([{ key: value, value }, { value: 'y' }])));
    expect(utf8Decode(decoded?.key ?? new Uint8Array())).toBe(value);
    expect(decoded?.value).toEqual(decoded?.key);
  });
});

test('an append beyond the limit leaves the batch as it was', () => {
  const builder = new BatchBuilder();
  const draft = new RecordDraft();
  expect(builder.append(draft.take({ value: 'x'.repeat(200) }, 1), 100)).toBeGreaterThan(200);
  const before = builder.batchBytes;
  expect(builder.append(draft.take({ value: 'y' }, 9), before + 7)).toBe(-1);
  expect([builder.batchBytes, builder.recordCount]).toEqual([before, 1]);
  expect(builder.append(draft, before + 8)).toBe(before + 8);
});
