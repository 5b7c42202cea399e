import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { bitwiseCrc32c } from '../testdata/golden-batches.ts';
import { crc32c, installCrc32c, uninstallCrc32c } from './crc32c.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

afterEach(uninstallCrc32c);

describe('crc32c', () => {
  test.each([
    ['the check string', ascii('123456789'), 0xe306_9283],
    ['nothing', new Uint8Array(0), 0],
    ['32 zeros (RFC 3720 B.4)', new Uint8Array(32), 0x8a91_36aa],
    ['32 ones (RFC 3720 B.4)', new Uint8Array(32).fill(0xff), 0x62a8_ab43],
    ['0 to 31 (RFC 3720 B.4)', Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd_794e],
    ['31 to 0 (RFC 3720 B.4)', Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113f_db5c],
  ])('of %s', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
    expect(bitwiseCrc32c(bytes)).toBe(expected);
  });

  test('equals the bitwise definition at every length and alignment', () => {
    const bytes = Uint8Array.from({ length: 160 }, (_, at) => at * 89 + 7);
    for (let from = 0; from < 17; from += 1) {
      for (let end = from; end <= bytes.length; end += 1) {
        const part = bytes.subarray(from, end);
        expect([from, end, crc32c(part)]).toEqual([from, end, bitwiseCrc32c(part)]);
      }
    }
  });

  test('chains through the seed wherever the bytes are split', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
        expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
      }),
    );
  });
});

describe('installCrc32c', () => {
  const pure = crc32c;
  const long = new Uint8Array(4096).fill(3);

  test('a right implementation takes over for all but the smallest inputs', () => {
    let calls = 0;
    const counting = (bytes: Uint8Array, seed = 0): number => {
      calls += 1;
      return seed === 0 ? bitwiseCrc32c(bytes) : chained(bytes, seed);
    };
    expect(installCrc32c(counting)).toBeUndefined();
    calls = 0;
    expect(crc32c(long)).toBe(bitwiseCrc32c(long));
    expect(calls).toBe(1);
    crc32c(long.subarray(0, 20));
    expect(calls).toBe(1);
  });

  test.each([
    ['another polynomial', () => 0xcbf4_3926],
    ['a signed result', (bytes: Uint8Array, seed?: number) => pure(bytes, seed) | 0],
    ['a missing seed taken for 1', (bytes: Uint8Array, seed?: number) => pure(bytes, seed ?? 1)],
    ['an ignored seed', (bytes: Uint8Array) => pure(bytes)],
    ['an error beyond 1 KiB', (bytes: Uint8Array, seed?: number) => pure(bytes.subarray(0, 1024), seed)],
  ])('%s is refused with a sentence, and nothing changes', (_, wrong) => {
    expect(installCrc32c(wrong)).toMatch(/native CRC-32C gave \S+ (?:where|in pieces where) \d+ is right/);
    expect(crc32c(long)).toBe(bitwiseCrc32c(long));
  });

  function chained(bytes: Uint8Array, seed: number): number {
    let crc = ~seed;
    for (const byte of bytes) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
    }
    return ~crc >>> 0;
  }
});
