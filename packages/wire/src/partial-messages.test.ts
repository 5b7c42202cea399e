import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PartialMessages, pieceBytes } from './partial-messages.ts';

const frame = (bytes: number): Uint8Array => {
  const framed = new Uint8Array(5 + bytes);
  new DataView(framed.buffer).setUint32(1, bytes);
  return framed;
};

test('messages cut anywhere: what is held is the body of the unfinished one and its pieces, and nothing at the end', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(700)), fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), (sizes, cuts) => {
      const whole = Buffer.concat(sizes.map(frame));
      const ends: number[] = [];
      for (const size of sizes) ends.push((ends.at(-1) ?? 0) + 5 + size);
      const partial = new PartialMessages(Number.MAX_SAFE_INTEGER);
      const stream = partial.open();
      let pieces = 0;
      for (let at = 0, turn = 0; at < whole.length; turn += 1) {
        const end = Math.min(whole.length, at + (cuts[turn % cuts.length] ?? 1));
        stream.onBytes(whole.subarray(at, end));
        const begun = ends.findLast((one) => one <= end) ?? 0;
        const body = Math.max(0, end - begun - 5);
        // A piece of the body came with these bytes, the first one when they began before it.
        if (at < begun + 5) pieces = 0;
        if (body > 0) pieces += 1;
        at = end;
        expect(partial.bytes).toBe(body + pieces * pieceBytes);
      }
      expect(partial.bytes).toBe(0);
    }),
  );
});

test('the stream that goes over the limit is told, and gives back when it closes', () => {
  const partial = new PartialMessages(1_000 + 2 * pieceBytes);
  const [one, other] = [partial.open(), partial.open()];
  expect(one.onBytes(frame(900).subarray(0, 800))).toBe(true);
  expect(other.onBytes(frame(900).subarray(0, 205))).toBe(true);
  expect(other.onBytes(new Uint8Array(6))).toBe(false);
  other.close();
  expect([one.onBytes(new Uint8Array(104)), partial.bytes]).toEqual([true, 795 + 104 + 2 * pieceBytes]);
  one.close();
  expect(partial.bytes).toBe(0);
});
