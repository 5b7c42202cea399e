import { crc32c, installCrc32c } from '@sluice/record';
import { nativeCrc32c } from '@sluice/wire';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

/** Taken before anything is installed: the implementation in JavaScript. */
const native = nativeCrc32c();
const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 2_654_435_761) >>> 13);

describe('the native CRC-32C', () => {
  test('of any slice, whole and in pieces, equals the one in JavaScript', () => {
    if (typeof native === 'string') throw new Error(native);
    const spans = fc.tuple(fc.nat(bytes.length), fc.nat(bytes.length), fc.nat(bytes.length));
    fc.assert(
      fc.property(spans, (span) => {
        const [from = 0, cut = 0, end = 0] = [...span].sort((a, b) => a - b);
        const whole = native(bytes.subarray(from, end));
        expect(whole).toBe(crc32c(bytes.subarray(from, end)));
        expect(native(bytes.subarray(cut, end), native(bytes.subarray(from, cut)))).toBe(whole);
        expect(crc32c(bytes.subarray(cut, end), native(bytes.subarray(from, cut)))).toBe(whole);
      }),
    );
  });

  test('is taken by the record package', () => {
    if (typeof native === 'string') throw new Error(native);
    expect(installCrc32c(native)).toBeUndefined();
  });

  test('that does not load says why', () => {
    const reason = nativeCrc32c(() => {
      throw new Error('no such file');
    });
    expect(reason).toBe('no native CRC-32C on this platform: no such file');
  });
});
