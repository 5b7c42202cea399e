import { silentLogger } from '@sluice/base';
import { expect, test } from 'vitest';
import { RecoveryProgress } from './recovery-progress.ts';
import { TestClock } from './test-clock.ts';

test('a long recovery says each second how far it is, a short one nothing', () => {
  const clock = new TestClock();
  const said: unknown[] = [];
  const logger = { ...silentLogger, info: (phrase: string, fields?: object) => void said.push([phrase, fields]) };
  const progress = new RecoveryProgress(clock, logger);
  progress.begin(4);
  progress.filesDone(1);
  clock.advance(999);
  progress.filesDone(1);
  expect(said).toEqual([]);
  clock.advance(1);
  progress.filesDone(1);
  progress.scannedTo(4096);
  clock.advance(1500);
  progress.scannedTo(8192);
  progress.scannedTo(12_288);
  expect(said).toEqual([
    ['recovering', { filesDone: 3, files: 4 }],
    ['recovering', { filesDone: 3, files: 4, scannedBytes: 8192 }],
  ]);
});
