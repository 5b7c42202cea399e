import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nodeCompression } from './compression.ts';

const { compressor, decompress } = nodeCompression;
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const bytesMax = 1_000_000;

/** Repetitive in all distances, over the borders of blocks, and noise between. */
const repetitive = fc
  .array(
    fc.record({ bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }), times: fc.integer({ min: 1, max: 400 }) }),
    { maxLength: 6 },
  )
  .map((parts) =>
    Uint8Array.from(Buffer.concat(parts.flatMap(({ bytes, times }) => Array.from({ length: times }, () => bytes)))),
  );

describe.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('%s', (codec) => {
  const compress = (bytes: Uint8Array): Uint8Array => compressor(codec)!.compress(bytes);

  test('what was compressed comes back', () => {
    fc.assert(
      fc.property(repetitive, (bytes) => {
        expect(Buffer.compare(decompress(codec, compress(bytes), bytesMax), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('a repetition becomes short, and noise hardly longer', () => {
    expect(compress(new Uint8Array(100_000)).byteLength).toBeLessThan(6000);
    const noise = Uint8Array.from({ length: 100_000 }, (_, at) => Math.imul(at + 1, 0x9e37_79b1) >>> 24);
    expect(compress(noise).byteLength).toBeLessThan(101_000);
  });

  test('no more than the limit is given out', () => {
    expect(() => decompress(codec, compress(new Uint8Array(5000)), 4999)).toThrow(/./);
    expect(decompress(codec, compress(new Uint8Array(5000)), 5000)).toHaveLength(5000);
  });

  test('a truncated input throws', () => {
    const whole = compress(Uint8Array.from({ length: 500 }, (_, at) => (at * at) & 0xff));
    for (let bytes = 0; bytes < whole.byteLength; bytes += 7) {
      expect(() => decompress(codec, whole.subarray(0, bytes), bytesMax)).toThrow(/./);
    }
  });
});

test('any bytes are read or refused with an error, and never more than the limit', () => {
  const read = (codec: 'snappy' | 'lz4', bytes: Uint8Array): unknown => {
    try {
      return decompress(codec, bytes, 4096).byteLength <= 4096;
    } catch (error) {
      return error instanceof Error;
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(read('snappy', bytes)).toBe(true);
      expect(read('lz4', Buffer.concat([hex('04224d18 60 40 82'), bytes]))).toBe(true);
    }),
  );
});

test('snappy: the chunks of the xerial dialect, and copies with one, two and four bytes of distance', () => {
  const abcdabcd = '08 0c 61626364';
  for (const copy of ['01 04', '0e 0400', '0f 04000000']) {
    expect(Buffer.from(decompress('snappy', hex(`${abcdabcd} ${copy}`), 99)).toString()).toBe('abcdabcd');
  }
  const chunk = `00000008 ${abcdabcd} 01 04`;
  const xerial = hex(`82534e4150505900 00000001 00000001 ${chunk} ${chunk}`);
  expect(Buffer.from(decompress('snappy', xerial, 99)).toString()).toBe('abcdabcdabcdabcd');
});

test('lz4: stored blocks, dependent blocks, sizes and checksums', () => {
  const framed = hex('04224d18 5c 40 0800000000000000 00 04000080 61626364 00000000 06000000 04 0400 ff');
  expect(() => decompress('lz4', framed, 99)).toThrow(/./);
  // Version 1, dependent, with block checksums, content size and content checksum: "abcd", then a copy and a literal.
  const whole = hex(
    '04224d18 5c 40 0900000000000000 00 04000080 61626364 00000000 05000000 00 0400 10 65 00000000 00000000 00000000',
  );
  expect(Buffer.from(decompress('lz4', whole, 99)).toString()).toBe('abcdabcde');
});
