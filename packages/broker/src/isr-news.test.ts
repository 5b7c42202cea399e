import type { Logger } from '@sluice/base';
import { expect, test } from 'vitest';
import { IsrNews, isrLinesMax } from './isr-news.ts';

const setUp = (): { readonly news: IsrNews; readonly lines: unknown[] } => {
  const lines: unknown[] = [];
  const keep =
    (level: string): Logger['info'] =>
    (phrase, fields) =>
      void lines.push([level, phrase, fields]);
  const logger = { debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
  return { news: new IsrNews({ ...logger, with: () => expect.fail('it has no fields of its own') }), lines };
};

const changed = 'in-sync replicas changed';

test('of one change so many are told, and of the others how many', () => {
  const { news, lines } = setUp();
  news.during(() => {
    for (let partition = 0; partition < isrLinesMax + 3; partition += 1) news.tell({ partition });
  });
  const each = Array.from({ length: isrLinesMax + 3 }, (_, partition) => [
    partition < isrLinesMax ? 'info' : 'debug',
    changed,
    { partition },
  ]);
  expect(lines).toEqual([...each, ['info', 'in-sync replicas of more partitions changed', { partitions: 3 }]]);
});

test('each change begins anew, and outside of one all are told', () => {
  const { news, lines } = setUp();
  const told: unknown[] = [];
  for (let round = 0; round < 2; round += 1) {
    news.during(() => {
      for (let partition = 0; partition < isrLinesMax; partition += 1) news.tell({ partition });
    });
  }
  for (let partition = 0; partition < isrLinesMax + 1; partition += 1) news.tell({ partition });
  for (const count of [isrLinesMax, isrLinesMax, isrLinesMax + 1]) {
    for (let partition = 0; partition < count; partition += 1) told.push(['info', changed, { partition }]);
  }
  expect(lines).toEqual(told);
});

test('a change that fails is over', () => {
  const { news, lines } = setUp();
  expect(() =>
    news.during(() => {
      for (let partition = 0; partition < isrLinesMax + 1; partition += 1) news.tell({ partition });
      throw new Error('no');
    }),
  ).toThrow('no');
  news.tell({ partition: 7 });
  expect(lines.slice(-2)).toEqual([
    ['info', 'in-sync replicas of more partitions changed', { partitions: 1 }],
    ['info', changed, { partition: 7 }],
  ]);
});
