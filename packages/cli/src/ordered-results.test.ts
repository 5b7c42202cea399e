import { SluiceError } from '@sluice/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OrderedResults } from './ordered-results.ts';
import type { Outcome } from './ordered-results.ts';

function collect(windowMax = 1000) {
  const written: (number | string)[] = [];
  const write = (outcomes: readonly Outcome[]) => {
    written.push(...outcomes.map((outcome) => ('failure' in outcome ? outcome.failure.code : outcome.offset)));
    return Promise.resolve();
  };
  return { written, results: new OrderedResults({ windowMax, write }) };
}

const placed = (offset: number) => ({ partition: 0, offset });

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('any order of answers is written in input order, each once', async () => {
  const order = fc.array(fc.nat(), { maxLength: 60 }).map((ranks) => ranks.map((rank, at) => [rank, at] as const));
  await fc.assert(
    fc.asyncProperty(order, async (ranks) => {
      const { written, results } = collect();
      const answers = ranks.map(() => results.add());
      for (const [, at] of ranks.toSorted(([left], [right]) => left - right)) answers[at]?.(undefined, placed(at));
      await results.drained();
      expect(written).toEqual(ranks.map((_, at) => at));
    }),
  );
});

test('a decided record waits for those before it and for no other', async () => {
  const { written, results } = collect();
  const first = results.add();
  results.add()(undefined, placed(1));
  results.add();
  await turn();
  expect(written).toEqual([]);
  first(undefined, placed(0));
  await turn();
  expect(written).toEqual([0, 1]);
});

test('a failed record is an error in its place, and indefinite decides the exit', async () => {
  const { written, results } = collect();
  results.add()(undefined, placed(0));
  results.add()(new SluiceError('LEADERSHIP_LOST'), placed(-1));
  results.add()(new SluiceError('RECORD_TOO_LARGE'), placed(-1));
  results.add()(undefined, placed(1));
  await results.drained();
  expect(written).toEqual([0, 'LEADERSHIP_LOST', 'RECORD_TOO_LARGE', 1]);
  expect([results.succeeded, results.failed, results.exit]).toEqual([2, 2, 4]);
});

test('a full window holds the reader until something is written', async () => {
  const { results } = collect(2);
  const first = results.add();
  expect(results.room()).toBeUndefined();
  results.add()(undefined, placed(1));
  let free = false;
  const room = results.room()?.then(() => (free = true));
  await turn();
  expect(free).toBe(false);
  first(undefined, placed(0));
  await room;
  expect(free).toBe(true);
});

test('a broken output ends the wait', async () => {
  const results = new OrderedResults({ windowMax: 9, write: () => Promise.reject(new Error('EPIPE')) });
  results.add()(undefined, placed(0));
  await expect(results.drained()).rejects.toThrow('EPIPE');
});
