import { offset } from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Unsynced, unsyncedBytesMax, unsyncedMsMax } from './unsynced.ts';

interface Batch {
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
  readonly atMs: number;
}

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('append'), amount: fc.constantFrom(61, 900, 5_000, 70_000) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sync'), amount: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut'), amount: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wait'), amount: fc.nat(80) }) },
);

/** The definition, with every batch kept. */
test('what is acked and not durable stays within the bound, and nothing is acked behind what waits too long', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const unsynced = new Unsynced();
      const log: Batch[] = [];
      let [durable, acked, end, nowMs] = [0, 0, 0, 0];
      for (const { kind, amount } of steps) {
        if (kind === 'wait') nowMs += amount;
        if (kind === 'append') {
          log.push({ start: end, end: end + 2, bytes: amount, atMs: nowMs });
          end += 2;
          unsynced.appended({ start: offset(end - 2), end: offset(end), bytes: amount }, nowMs);
        }
        if (kind === 'sync') {
          durable = Math.min(end, durable + 2 * amount);
          unsynced.durable(offset(durable));
        }
        if (kind === 'cut') {
          end = Math.max(0, end - 2 * amount);
          while ((log.at(-1)?.end ?? 0) > end) log.pop();
          [durable, acked] = [Math.min(durable, end), Math.min(acked, end)];
          unsynced.truncated(offset(end));
          unsynced.durable(offset(durable));
        }
        const waiting = log.filter((batch) => batch.end > durable);
        const newly = unsynced.newlyAcked(nowMs);
        const waitedMs = newly === undefined ? 0 : nowMs - (waiting[0]?.atMs ?? 0);
        expect(waitedMs).toBeLessThanOrEqual(unsyncedMsMax);
        acked = Math.max(acked, durable, newly ?? 0);
        expect(acked).toBeLessThanOrEqual(end);
        const atRisk = waiting.filter((batch) => batch.end <= acked).reduce((sum, batch) => sum + batch.bytes, 0);
        expect(atRisk).toBeLessThanOrEqual(unsyncedBytesMax);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('while the disk follows, each batch is acked as it comes', () => {
  const unsynced = new Unsynced();
  for (let at = 0; at < 10_000; at += 1) {
    const end = offset(at + 1);
    unsynced.appended({ start: offset(at), end, bytes: 10_000 }, at);
    expect(unsynced.newlyAcked(at)).toBe(end);
    if (at % 20 === 19) unsynced.durable(end);
  }
});

test('small batches beyond the bound are acked as the disk gets there', () => {
  const unsynced = new Unsynced();
  for (let at = 0; at < 20_000; at += 1) {
    unsynced.appended({ start: offset(at), end: offset(at + 1), bytes: 100 }, 0);
    unsynced.newlyAcked(0);
  }
  unsynced.durable(offset(10_000));
  // 2,621 batches are within the bound; of what waited behind them about 4 KiB go together.
  const acked = unsynced.newlyAcked(50) ?? 0;
  expect(acked).toBeGreaterThan(10_000 + 2_621 - 82);
  expect(acked).toBeLessThanOrEqual(10_000 + 2_621);
});

test('a cut to where the log was restarted leaves the restart: nothing is acked before that is durable', () => {
  const unsynced = new Unsynced();
  unsynced.restarted(offset(10), 0);
  unsynced.appended({ start: offset(10), end: offset(15), bytes: 100 }, 0);
  unsynced.truncated(offset(10));
  unsynced.appended({ start: offset(10), end: offset(12), bytes: 100 }, 1);
  expect(unsynced.newlyAcked(1)).toBeUndefined();
  unsynced.durable(offset(10));
  expect(unsynced.newlyAcked(1)).toBe(12);
});
