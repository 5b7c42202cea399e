import fc from 'fast-check';
import { hash } from 'node:crypto';
import { expect, test } from 'vitest';
import { KeyOffsets } from './key-offsets.ts';
import type { KeyHash } from './key-offsets.ts';

const sha256: KeyHash = (key) => hash('sha256', key, 'buffer');
const utf8 = new TextEncoder();

test('any keys in any order: the newest offset of each, and nothing of others', () => {
  // Of few different hashes, so that places collide all the time; the whole key is in the hash.
  const poor: KeyHash = (key) =>
    Uint8Array.of(0, 0, 0, (key[0] ?? 0) & 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, key[0] ?? 0);
  fc.assert(
    fc.property(fc.array(fc.nat(40), { maxLength: 200 }), (keys) => {
      const table = new KeyOffsets(poor, { keysMax: 41, bytesMax: 1_000_000 });
      const model = new Map<number, number>();
      keys.forEach((key, offset) => {
        expect(table.put(Uint8Array.of(key), offset)).toBe(true);
        model.set(key, offset);
      });
      expect(table.count).toBe(model.size);
      for (let key = 0; key <= 41; key += 1) expect(table.newestOf(Uint8Array.of(key))).toBe(model.get(key) ?? -1);
    }),
  );
});

test('memory is what was allowed, and a key too many is refused while known ones go on', () => {
  const table = new KeyOffsets(sha256, { keysMax: 1_000_000, bytesMax: 24 * 1024 });
  expect(table.bytes).toBeLessThanOrEqual(24 * 1024);
  let taken = 0;
  while (table.put(utf8.encode(`key ${taken}`), taken)) taken += 1;
  expect(taken).toBe(768);
  expect(table.put(utf8.encode('key 5'), 2_000)).toBe(true);
  expect(table.newestOf(utf8.encode('key 5'))).toBe(2_000);
  expect([table.newestOf(utf8.encode(`key ${taken}`)), table.newestOf(utf8.encode('key 767'))]).toEqual([-1, 767]);
});

test('a small log takes little, and offsets go to 2^53', () => {
  const table = new KeyOffsets(sha256, { keysMax: 100, bytesMax: 64 * 1024 * 1024 });
  expect(table.bytes).toBeLessThan(8192);
  table.put(utf8.encode('k'), 2 ** 53 - 2);
  expect(table.newestOf(utf8.encode('k'))).toBe(2 ** 53 - 2);
});
