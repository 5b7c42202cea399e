import { expect, test } from 'vitest';
import { Deliveries } from './deliveries.ts';

test('ranges end where the records, the batch or the place in it go apart, and are found from any record', () => {
  const deliveries = new Deliveries(9);
  const batch = { partition: 1, baseOffset: 100 };
  const other = { partition: 2, baseOffset: 50 };
  const failed = { partition: 1, baseOffset: -1 };
  deliveries.place(0, batch, 4);
  deliveries.place(1, batch, 5);
  deliveries.place(2, batch, 9);
  deliveries.place(3, other, 0);
  deliveries.place(5, other, 1);
  deliveries.place(6, failed, 2);
  deliveries.place(7, batch, 10);
  const ranges = [...deliveries.ranges()].map(({ first, count, partition, baseOffset }) => [
    first,
    count,
    partition,
    baseOffset,
  ]);
  expect(ranges).toEqual([
    [0, 2, 1, 104],
    [2, 1, 1, 109],
    [3, 1, 2, 50],
    [5, 1, 2, 51],
    [7, 1, 1, 110],
  ]);
  const offsets = Array.from({ length: 9 }, (_, at) => deliveries.at(at)?.offset);
  expect(offsets).toEqual([104, 105, 109, 50, undefined, 51, undefined, 110, undefined]);
  expect([...deliveries].map(({ offset }) => offset)).toEqual(offsets.filter((offset) => offset !== undefined));
  expect([[...deliveries.indexesIn(batch)], [...deliveries.indexesIn(failed)]]).toEqual([[0, 1, 2, 7], [6]]);
});
