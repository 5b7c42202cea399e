import { expect, test } from 'vitest';
import { demonstrationResult, exitCodeOf } from './demonstration-result.ts';
import { verdict } from '@sluice/sim/ledger';
import type { PlacedRecord } from '@sluice/sim/ledger';

const acked: readonly PlacedRecord[] = Array.from({ length: 100 }, (_, id) => ({
  id,
  partition: id % 6,
  offset: Math.floor(id / 6),
}));

const exitAfter = (consumed: readonly PlacedRecord[]): number =>
  exitCodeOf(demonstrationResult(verdict(acked, consumed, acked.length), 300, 3));

test('all there, once and in order: exit 0', () => {
  expect(exitAfter(acked)).toBe(0);
  expect(demonstrationResult(verdict(acked, acked, 100), 300, 3)).toEqual({
    ok: true,
    acked: 100,
    consumed: 100,
    lost: 0,
    duplicated: 0,
    reordered: 0,
    failoverMs: 300,
    nodes: 3,
  });
});

test('one dropped, one twice, two swapped: exit 1', () => {
  expect(exitAfter(acked.toSpliced(40, 1))).toBe(1);
  expect(exitAfter(acked.toSpliced(40, 0, acked[40]!))).toBe(1);
  expect(exitAfter(acked.with(40, acked[46]!).with(46, acked[40]!))).toBe(1);
});
