import { leaderEpoch, offset } from '@sluice/base';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EpochCache } from './epoch-cache.ts';

const cacheOf = (...entries: readonly [number, number][]): EpochCache =>
  new EpochCache(entries.map(([epoch, start]) => ({ epoch: leaderEpoch(epoch), startOffset: offset(start) })));

describe('endOffsetFor (§2.2)', () => {
  const cache = cacheOf([2, 10], [5, 20], [6, 30]);
  test.each([
    { asked: 1, answer: { epoch: 1, endOffset: 10 }, why: 'no floor: where the first higher epoch starts' },
    { asked: 2, answer: { epoch: 2, endOffset: 20 }, why: 'known: where the next starts' },
    { asked: 4, answer: { epoch: 2, endOffset: 20 }, why: 'unknown: its floor' },
    { asked: 6, answer: { epoch: 6, endOffset: 44 }, why: 'the latest: the end of the log' },
    { asked: 7, answer: undefined, why: 'newer than all: nobody here knows' },
  ])('$asked: $why', ({ asked, answer }) => {
    expect(cache.endOffsetFor(leaderEpoch(asked), offset(44))).toEqual(answer);
  });

  test('an empty cache knows nothing', () => {
    expect(cacheOf().endOffsetFor(leaderEpoch(0), offset(0))).toBeUndefined();
  });
});

test('an epoch without a batch gives way to the next', () => {
  const cache = cacheOf([1, 0], [2, 8]);
  cache.enter(leaderEpoch(3), offset(8));
  expect(cache.entries).toEqual([
    { epoch: 1, startOffset: 0 },
    { epoch: 3, startOffset: 8 },
  ]);
});

test('epochs never go down (E1)', () => {
  expect(() => cacheOf([3, 0], [2, 8])).toThrow('E1');
});

test('leaving takes back only an epoch that got no batch', () => {
  const cache = cacheOf([1, 0], [2, 8]);
  cache.leave(leaderEpoch(2), offset(9));
  expect(cache.latest).toBe(2);
  cache.leave(leaderEpoch(2), offset(8));
  expect(cache.latest).toBe(1);
});

test('trimming keeps the epoch before the new start, by which a log that ends there is judged', () => {
  const cache = cacheOf([1, 0], [2, 8], [3, 20]);
  cache.trimTo(offset(12));
  const third = { epoch: 3, startOffset: 20 };
  expect(cache.entries).toEqual([{ epoch: 2, startOffset: 11 }, third]);
  cache.trimTo(offset(20));
  expect(cache.entries).toEqual([{ epoch: 2, startOffset: 19 }, third]);
});

/** A log as the epoch of each offset, and what the cache must say of it. */
test('it agrees with the log under appends, truncations and trims', () => {
  const change = fc.record({ what: fc.constantFrom('append', 'truncate', 'trim'), by: fc.nat(6), bump: fc.nat(2) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const cache = new EpochCache();
      let log: number[] = [];
      let start = 0;
      for (const { what, by, bump } of changes) {
        if (what === 'append') {
          const epoch = Math.max(log.at(-1) ?? 0, cache.latest ?? 0) + bump;
          for (let count = 0; count <= by; count += 1) {
            cache.enter(leaderEpoch(epoch), offset(log.length));
            log.push(epoch);
          }
        } else if (what === 'truncate') {
          log = log.slice(0, Math.max(start, log.length - by));
          cache.truncateTo(offset(log.length));
        } else {
          start = Math.min(log.length, start + by);
          cache.trimTo(offset(start));
        }
        const before = log[start - 1];
        expect(before === undefined ? undefined : cache.oldest).toBe(before);
        if (start === log.length) continue;
        expect(cache.latest).toBe(log.at(-1));
        for (let asked = log[start] ?? 0; asked <= (log.at(-1) ?? 0); asked += 1) {
          const floor = Math.max(...log.slice(start).filter((epoch) => epoch <= asked));
          const end = log.lastIndexOf(floor) + 1;
          expect(cache.endOffsetFor(leaderEpoch(asked), offset(log.length))).toEqual({ epoch: floor, endOffset: end });
        }
      }
    }),
  );
});
