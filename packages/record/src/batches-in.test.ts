import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { commitMarker, oneRecord, placed, twoRecords } from '../testdata/golden-batches.ts';
import { batchesIn } from './batches-in.ts';

const three = Uint8Array.from([...placed(oneRecord()), ...placed(twoRecords()), ...commitMarker()]);
const starts = [0, 70, 157];

describe('batchesIn', () => {
  test('gives each batch with its position', () => {
    const found = [...batchesIn(three)];
    expect(found.map((item) => [item.ok, item.position])).toEqual(starts.map((at) => [true, at]));
    expect(found.map((item) => item.ok && item.header.recordCount)).toEqual([1, 2, 1]);
  });

  test('nothing holds no batch', () => {
    expect([...batchesIn(new Uint8Array(0))]).toEqual([]);
  });

  test('bytes cut anywhere give the whole batches and then one problem', () => {
    for (let end = 1; end < three.length; end += 1) {
      const found = [...batchesIn(three.subarray(0, end))];
      const whole = [70, 157, 235].filter((at) => at <= end);
      expect([end, found.filter((item) => item.ok).length]).toEqual([end, whole.length]);
      const rest = found.slice(whole.length);
      const cutOff = { ok: false, position: starts[whole.length], problem: { rule: 'cut-off' } };
      expect(rest).toMatchObject(starts.includes(end) ? [] : [cutOff]);
    }
  });

  test('stops at the first damage, which only the CRC shows', () => {
    const damaged = Uint8Array.from(three);
    damaged[150]! ^= 1;
    expect([...batchesIn(damaged)]).toMatchObject([
      { ok: true, position: 0 },
      { ok: false, position: 70, problem: { code: 'CORRUPT_BATCH', rule: 'crc' } },
    ]);
    expect([...batchesIn(damaged, 'skip')].map((item) => item.ok)).toEqual([true, true, true]);
  });

  test('random bytes never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, prefixed) => {
        const all = prefixed ? Uint8Array.from([...placed(oneRecord()), ...bytes]) : bytes;
        for (const item of batchesIn(all)) expect(item.position).toBeLessThan(all.length);
        for (const item of batchesIn(all, 'skip')) expect(item.position).toBeLessThan(all.length);
      }),
    );
  });
});
