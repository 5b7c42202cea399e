import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { VarintReader, varintBytes, varlongBytes, writeVarint, writeVarlong } from './varint.ts';

const hexOf = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

function written(write: typeof writeVarint, value: number): Uint8Array {
  const target = new Uint8Array(12);
  return target.subarray(0, write(target, 0, value));
}

/** The definition, in 64-bit arithmetic. */
function zigzagHex(value: number): string {
  let rest = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
  const bytes: number[] = [];
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return hexOf(Uint8Array.from(bytes));
}

const edges = [0, 6, 7, 13, 14, 20, 21, 27, 28, 31, 32, 34, 35, 41, 42, 48, 49, 52]
  .flatMap((power) => [2 ** power - 1, 2 ** power, 2 ** power + 1])
  .concat(Number.MAX_SAFE_INTEGER)
  .flatMap((value) => [value, -value]);

describe('varint', () => {
  test.each([
    [0, '00'],
    [-1, '01'],
    [1, '02'],
    [-64, '7f'],
    [64, '8001'],
    [300, 'd804'],
    [2_147_483_647, 'feffffff0f'],
    [-2_147_483_648, 'ffffffff0f'],
  ])('%i is %s', (value, hex) => {
    expect(hexOf(written(writeVarint, value))).toBe(hex);
    expect(hexOf(written(writeVarlong, value))).toBe(hex);
    expect(new VarintReader(bytesOf(hex)).readVarint()).toBe(value);
    expect(new VarintReader(bytesOf(hex)).readVarlong()).toBe(value);
  });

  test('every 32-bit integer comes back, in the bytes that were counted', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => {
        const bytes = written(writeVarint, value);
        const reader = new VarintReader(bytes);
        expect(reader.readVarint()).toBe(value);
        expect(reader.at).toBe(bytes.length);
        expect(varintBytes(value)).toBe(bytes.length);
        expect(hexOf(bytes)).toBe(zigzagHex(value));
      }),
    );
  });

  test.each([
    ['more than 32 bits', 'ffffffff1f'],
    ['a sixth byte', '808080808001'],
    ['a missing byte', '8080'],
    ['no byte', ''],
  ])('%s is refused', (_, hex) => {
    expect(new VarintReader(bytesOf(hex)).readVarint()).toBeUndefined();
  });
});

describe('varlong', () => {
  test('edges of every length equal the 64-bit definition', () => {
    for (const value of edges.filter(Number.isSafeInteger)) {
      const bytes = written(writeVarlong, value);
      expect([value, hexOf(bytes)]).toEqual([value, zigzagHex(value)]);
      expect([value, varlongBytes(value)]).toEqual([value, bytes.length]);
      expect(new VarintReader(bytes).readVarlong()).toBe(value + 0);
    }
  });

  test('every safe integer comes back, in the bytes that were counted', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        const bytes = written(writeVarlong, value);
        const reader = new VarintReader(bytes);
        expect(reader.readVarlong()).toBe(value);
        expect(reader.at).toBe(bytes.length);
        expect(varlongBytes(value)).toBe(bytes.length);
        expect(hexOf(bytes)).toBe(zigzagHex(value));
      }),
    );
  });

  test.each([
    ['2^53', '8080808080808020'],
    ['-2^53', 'ffffffffffffff1f'],
    ['the largest 64-bit integer', 'feffffffffffffffff01'],
    ['the smallest 64-bit integer', 'ffffffffffffffffff01'],
    ['more than 64 bits', 'ffffffffffffffffff02'],
    ['an eleventh byte', '8080808080808080808001'],
    ['a missing byte', '808080808080808080'],
    ['no byte', ''],
  ])('%s is refused', (_, hex) => {
    expect(new VarintReader(bytesOf(hex)).readVarlong()).toBeUndefined();
  });
});
