import fc from 'fast-check';
import { expect, test } from 'vitest';
import { recordJson } from './record-json.ts';

const record = {
  topic: 'orders',
  partition: 2,
  offset: 7,
  timestamp: 1_700_000_000_000,
  key: Buffer.from('k'),
  value: Buffer.from('grün'),
  headers: [],
};

test('text is text, null is null', () => {
  expect(recordJson(record)).toEqual({ ...record, key: 'k', value: 'grün' });
  expect(recordJson({ ...record, key: null, value: null })).toEqual({ ...record, key: null, value: null });
  expect(recordJson({ ...record, value: new Uint8Array(0) })).toMatchObject({ value: '' });
});

test('what is not UTF-8 is null beside its Base64, in key, value and headers', () => {
  const bytes = Uint8Array.of(0xff, 0x00, 0x80);
  expect(recordJson({ ...record, key: bytes, value: bytes, headers: [{ key: 'h', value: bytes }] })).toEqual({
    ...record,
    key: null,
    keyBase64: '/wCA',
    value: null,
    valueBase64: '/wCA',
    headers: [{ key: 'h', value: null, valueBase64: '/wCA' }],
  });
});

test('headers keep their order and their repeats', () => {
  const headers = ['b', 'a', 'b'].map((key) => ({ key, value: Buffer.from(key) }));
  expect(recordJson({ ...record, headers })).toMatchObject({
    headers: [
      { key: 'b', value: 'b' },
      { key: 'a', value: 'a' },
      { key: 'b', value: 'b' },
    ],
  });
});

test('any bytes come back, a byte-order mark too', () => {
  const roundTrip = (value: Uint8Array) => {
    const line = JSON.parse(JSON.stringify(recordJson({ ...record, value }))) as {
      value: string | null;
      valueBase64?: string;
    };
    return line.value === null ? Buffer.from(line.valueBase64 ?? '', 'base64') : Buffer.from(line.value, 'utf8');
  };
  expect(roundTrip(Buffer.from('\ufefftext')).equals(Buffer.from('\ufefftext'))).toBe(true);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => roundTrip(bytes).equals(Buffer.from(bytes))));
});
