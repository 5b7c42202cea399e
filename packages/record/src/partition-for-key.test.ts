import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { murmur2, partitionForKey } from './partition-for-key.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('murmur2', () => {
  // What Kafka's own clients compute: another value sends equal keys of two clients to two partitions.
  test.each([
    ['21', -973_932_308],
    ['foobar', -790_332_482],
    ['a-little-bit-long-string', -985_981_536],
    ['a-little-bit-longer-string', -1_486_304_829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58_897_971],
    ['abc', 479_470_107],
  ])('of %s is %i', (key, hash) => {
    expect(murmur2(utf8(key))).toBe(hash);
  });
});

describe('partitionForKey', () => {
  test.each([
    ['21', 6, (-973_932_308 & 0x7fff_ffff) % 6],
    ['abc', 6, 479_470_107 % 6],
  ])('%s of %i partitions goes to %i', (key, count, partition) => {
    expect(partitionForKey(utf8(key), count)).toBe(partition);
  });

  test('is always a partition of the topic', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 100_000 }), (key, count) => {
        const partition = partitionForKey(key, count);
        expect(Number.isInteger(partition) && partition >= 0 && partition < count).toBe(true);
      }),
    );
  });
});
