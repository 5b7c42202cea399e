/** Cuts of a log whose batches a compacting leader had joined. */
import { LogKind, offset, partitionIndex, silentLogger, topicId } from '@sluice/base';
import { emptyBatch } from '@sluice/record';
import { DataDirectory, MemoryDisk, openNodeLog } from '@sluice/storage';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { cutLog } from './cut-log.ts';

test.each([
  ['an empty batch', 0, 12, [0, 5]],
  ['an empty batch that the log begins in', 7, 12, [5]],
  ['no batch', 0, 20, [0, 5]],
  ['no batch, where the log begins inside of one', 7, 7, []],
])('a cut that lies in %s leaves what ends there', async (_what, start, to, bases) => {
  const clock = new ManualClock();
  const disk = new MemoryDisk();
  const directory = await DataDirectory.open(disk, '/cut');
  const halts: Error[] = [];
  const halt = { halt: (reason: Error): void => void halts.push(reason) };
  const nodeLog = await openNodeLog({ directory, clock, halt, logger: silentLogger });
  const log = nodeLog.log({ topicId: topicId('a'.repeat(32)), partition: partitionIndex(0), kind: LogKind.data });
  for (const [baseOffset, endOffset] of [
    [0, 5],
    [5, 20],
    [20, 22],
  ] as const) {
    const span = { baseOffset: offset(baseOffset), endOffset: offset(endOffset) };
    log.append(emptyBatch({ ...span, leaderEpoch: 1, maxTimestamp: 0 }), span);
  }
  log.restartAt(offset(start));
  cutLog(log, offset(to));
  const found: (readonly [base: number, end: number])[] = [];
  for await (const { baseOffset, lastOffsetDelta } of log.headers(log.startOffset)) {
    found.push([baseOffset, baseOffset + lastOffsetDelta + 1]);
  }
  expect(found.map(([base]) => base)).toEqual(bases);
  expect([log.startOffset, log.endOffset, found.at(-1)?.[1] ?? to, halts]).toEqual([start, to, to, []]);
});
