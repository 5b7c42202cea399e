import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BatchPart, BatchParts, PartAssembler, partBytesMax, PartPacing, wholeBytesMax } from './batch-parts.ts';

const cut = (batch: Uint8Array): readonly BatchPart[] => {
  const parts = new BatchParts(batch);
  const all: BatchPart[] = [];
  while (parts.leftBytes > 0) all.push(parts.next());
  return all;
};

const part = (bytes: number, moreBytes: number): BatchPart => ({
  bytes: new Uint8Array(bytes),
  moreBytes,
  continues: false,
});

describe('a batch in parts', () => {
  test('is cut into views that are put together to the same bytes, in one buffer of their size (T1, T3)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 * partBytesMax + 1 }), (length) => {
        const batch = Uint8Array.from({ length }, (_, at) => at * 7);
        const parts = cut(batch);
        expect(parts.every(({ bytes }) => bytes.buffer === batch.buffer && bytes.byteLength <= partBytesMax)).toBe(
          true,
        );
        expect(parts.map(({ continues }) => continues)).toEqual(parts.map((_, at) => at > 0));
        const assembler = new PartAssembler(parts[0]!, length);
        const whole = parts.map((one) => assembler.add(one));
        expect(whole.slice(0, -1).every((one) => one === undefined)).toBe(true);
        expect(whole.at(-1)?.buffer.byteLength).toBe(length);
        expect(Buffer.compare(whole.at(-1)!, batch)).toBe(0);
      }),
      { numRuns: 20 },
    );
  });

  test.each([
    ['promises more than may come', () => new PartAssembler(part(1, 100), 100), /A batch of 101 bytes/],
    [
      'promises what no number holds',
      () => new PartAssembler(part(1, Number.MAX_SAFE_INTEGER), 100),
      /the most is 100/,
    ],
  ])('that %s is refused before anything is allocated', (_, begin, sentence) => {
    expect(begin).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringMatching(sentence) as string }),
    );
  });

  test('goes on while the transport holds little, or when as much as a message went without it (T4, T5)', () => {
    const pacing = new PartPacing();
    expect([pacing.take(0), pacing.take(partBytesMax - 1), pacing.take(partBytesMax)]).toEqual([true, true, false]);
    pacing.onWhole(wholeBytesMax - 1);
    expect(pacing.take(1e9)).toBe(false);
    pacing.onWhole(1);
    expect([pacing.take(1e9), pacing.take(1e9)]).toEqual([true, false]);
  });

  test.each([
    ['too much', part(51, 0)],
    ['too little', part(49, 0)],
    ['another sum', part(10, 41)],
    ['nothing', part(0, 50)],
  ])('that goes on with %s is refused (T2)', (_, next) => {
    const first = part(50, 50);
    const assembler = new PartAssembler(first, 1_000);
    assembler.add(first);
    expect(() => assembler.add(next)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
  });
});
