import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isClean, verdict } from './ledger.ts';
import type { PlacedRecord } from './ledger.ts';

/** A history as it should be: some records unacked, some of those unwritten; partitions read in turns. */
const histories = fc
  .array(fc.record({ partition: fc.nat({ max: 3 }), acked: fc.boolean(), written: fc.boolean() }), {
    minLength: 2,
    maxLength: 60,
  })
  .map((sent) => {
    const next = new Map<number, number>();
    const written: PlacedRecord[] = [];
    const acked: PlacedRecord[] = [];
    for (const [id, record] of sent.entries()) {
      if (!record.acked && !record.written) continue;
      const offset = next.get(record.partition) ?? 0;
      next.set(record.partition, offset + 1);
      const placed = { id, partition: record.partition, offset };
      written.push(placed);
      if (record.acked) acked.push(placed);
    }
    return { acked, consumed: written.toSorted((left, right) => left.partition - right.partition), sent: sent.length };
  })
  .filter(({ acked }) => acked.length > 1);

const pick = <Item>(items: readonly Item[], at: number): Item => items[at % items.length]!;

describe('verdict', () => {
  test('a history as it should be is clean', () => {
    fc.assert(
      fc.property(histories, ({ acked, consumed, sent }) => {
        const found = verdict(acked, consumed, sent);
        expect(found).toMatchObject({ lost: 0, duplicated: 0, reordered: 0, unexpected: 0, acked: acked.length });
        expect(isClean(found)).toBe(true);
      }),
    );
  });

  test('one acked record dropped is lost', () => {
    fc.assert(
      fc.property(histories, fc.nat(), ({ acked, consumed, sent }, at) => {
        const { id } = pick(acked, at);
        const found = verdict(
          acked,
          consumed.filter((record) => record.id !== id),
          sent,
        );
        expect(found.lost).toBe(1);
        expect(isClean(found)).toBe(false);
      }),
    );
  });

  test('one record twice is duplicated, read again or stored again', () => {
    fc.assert(
      fc.property(histories, fc.nat(), fc.boolean(), ({ acked, consumed, sent }, at, storedAgain) => {
        const copy = pick(consumed, at);
        const again = storedAgain ? { ...copy, offset: 1000 } : copy;
        const found = verdict(acked, [...consumed, again], sent);
        expect(found.duplicated).toBe(1);
        expect(isClean(found)).toBe(false);
      }),
    );
  });

  test('two records swapped are reordered, in reading or in the log', () => {
    fc.assert(
      fc.property(histories, fc.nat(), fc.boolean(), ({ acked, consumed, sent }, at, inTheLog) => {
        const first = pick(acked, at);
        const second = consumed.find((record) => record.partition === first.partition && record.id !== first.id);
        fc.pre(second !== undefined);
        const swapped = consumed.map((record) => {
          const other = record.id === first.id ? second : record.id === second.id ? first : undefined;
          if (other === undefined) return record;
          return inTheLog ? { ...other, offset: record.offset } : other;
        });
        const found = verdict(acked, swapped, sent);
        expect(found.reordered).toBeGreaterThan(0);
        expect(isClean(found)).toBe(false);
      }),
    );
  });

  test('an acked record that lies elsewhere is found out, even when nothing else moved', () => {
    const acked = [{ id: 0, partition: 0, offset: 0 }];
    expect(verdict(acked, [{ id: 0, partition: 0, offset: 1 }], 1)).toMatchObject({ lost: 0, reordered: 1 });
    expect(verdict(acked, [{ id: 0, partition: 1, offset: 0 }], 1)).toMatchObject({ lost: 0, reordered: 1 });
  });

  test('what nobody sent is unexpected', () => {
    const acked = [{ id: 0, partition: 0, offset: 0 }];
    for (const id of [1, -1, Number.NaN, 0.5]) {
      const found = verdict(acked, [...acked, { id, partition: 0, offset: 1 }], 1);
      expect(found.unexpected).toBe(1);
      expect(isClean(found)).toBe(false);
    }
  });

  test('counting nothing proves nothing', () => {
    expect(isClean(verdict([], [], 0))).toBe(false);
  });
});
