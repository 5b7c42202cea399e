import { expect, test } from 'vitest';
import { StampedValues } from './stamped-values.ts';

test('a value says which record it is and when it was due, also as a view', () => {
  const values = new StampedValues(1024);
  const [one, other] = [values.make(7, 12.5), values.make(8, 13.5)];
  expect(one).toHaveLength(1024);
  const joined = Buffer.concat([one, other]);
  const view = joined.subarray(1024);
  expect([values.indexOf(view), values.dueMsOf(view)]).toEqual([8, 13.5]);
});

test('a foreign value is no record of ours', () => {
  expect(new StampedValues(16).indexOf(new Uint8Array(15))).toBeNaN();
});
