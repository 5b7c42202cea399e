import { SluiceError } from '@sluice/base';
import { expect, test } from 'vitest';
import { pinoLogger } from './pino-logger.ts';

function capture(level: 'debug' | 'info') {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) };
  return { lines, logger: pinoLogger({ level, fields: { node: 7 }, destination }) };
}

test('a line is JSON with level, time, the standing fields, the phrase and its variables', () => {
  const { lines, logger } = capture('info');
  logger.with({ component: 'raft' }).info('became leader', { term: 3 });
  expect(lines).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as unknown,
      node: 7,
      component: 'raft',
      term: 3,
      msg: 'became leader',
    },
  ]);
});

test('lines below the level are not written', () => {
  const { lines, logger } = capture('info');
  logger.debug('request');
  logger.warn('slow');
  expect(lines.map((line) => line['msg'])).toEqual(['slow']);
});

test('an error is written with its message and code', () => {
  const { lines, logger } = capture('debug');
  logger.error('storage failed', { err: new SluiceError('STORAGE_FAILED', { message: 'EIO on sync' }) });
  expect(lines[0]?.['err']).toMatchObject({ code: 'STORAGE_FAILED', message: 'EIO on sync' });
});
