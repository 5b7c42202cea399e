/** Composed summaries do to any log what the summaries do one after the other. */
import { offset, SeededRandom } from '@sluice/base';
import { expect, test } from 'vitest';
import { composeLogs } from './compose.ts';
import { LogIndex, type LogSummary } from './log-index.ts';
import type { LogIdRow } from './rows.ts';
import { noPlaces } from './snapshot-places.ts';
import { testLogId } from './test-node-log.ts';

const id = testLogId(1);
const section = { position: 0, bytes: 0, crc: 0, extents: 0 };

/** What one file does to a log that is in this state: a few random rows. */
function fileOf(random: SeededRandom, index: LogIndex, fileId: number): LogSummary | undefined {
  for (let rows = random.below(4); rows > 0; rows -= 1) {
    const group = fileId * 10 + 9 - rows;
    const row = randomRow(random, index);
    index.apply(row, { group, payloadPosition: 0, appendedMs: group });
  }
  const summary = index.summary();
  index.finishFile(fileId, section, noPlaces);
  return summary;
}

function randomRow(random: SeededRandom, { start, end, lastGroup: previousGroup }: LogIndex): LogIdRow {
  const draw = random.below(20);
  const within = start + random.below(end - start + 1);
  if (draw < 10) {
    const run = { payloadAt: 0, bytes: 100, headsCrc: 0, maxTimestampMs: 7 };
    return { kind: 'run', id, previousGroup, base: offset(end), end: offset(end + 1 + random.below(9)), ...run };
  }
  if (draw < 13) return { kind: 'truncate', id, previousGroup, to: offset(within) };
  if (draw < 16) return { kind: 'start', id, previousGroup, to: offset(random.below(3) === 0 ? end + 5 : within) };
  if (draw < 18)
    return { kind: 'lossy', id, previousGroup, intactEnd: offset(within), knownEnd: undefined, where: 'x' };
  return draw < 19 ? { kind: 'healed', id, previousGroup } : { kind: 'delete', id, previousGroup };
}

/**
 * All that recovery goes by, but for the bytes that the files of the range hold themselves. How far a log had reached
 * before rows of it were lost is less where a later file of the range cut it.
 */
const stateOf = ({ start, end, lastGroup, deleted, lossy, sealed }: LogIndex, range: ReadonlySet<number>): unknown => [
  { start, end, lastGroup, deleted, lossy: lossy && { intactEnd: lossy.intactEnd, where: lossy.where } },
  sealed.filter(({ fileId }) => !range.has(fileId)).map((segment) => [segment.fileId, segment.base, segment.end]),
];

test('whatever a log was before, also when rows of it are lost', () => {
  let composed = 0;
  let behindLoss = 0;
  for (let seed = 1; seed <= 3000; seed += 1) {
    const random = new SeededRandom(seed);
    const writer = new LogIndex(id);
    const files = [1, 2, 3, 4, 5, 6].map((fileId) => ({ fileId, summary: fileOf(random, writer, fileId) }));
    const known = files.flatMap(({ fileId, summary }) => (summary === undefined ? [] : [{ fileId, summary }]));
    const from = random.below(Math.max(1, known.length - 1));
    const range = known.slice(from, from + 2 + random.below(3));
    const [first, ...rest] = range.map(({ summary }) => summary);
    if (first === undefined || rest.length === 0) continue;
    const both = rest.reduce<LogSummary | undefined>((so, next) => so && composeLogs(so, next), first);
    expect([seed, both]).not.toEqual([seed, undefined]);
    // One of the files before the range is lost in every third run.
    const lost = random.below(3) === 0 ? random.below(from + 1) : -1;
    const before = known.slice(0, from).filter((_, at) => at !== lost);
    const ids = new Set(range.map(({ fileId }) => fileId));
    const replayed = (middle: readonly { fileId: number; summary: LogSummary }[]): LogIndex => {
      const index = new LogIndex(id);
      for (const { fileId, summary } of [...before, ...middle]) index.applySummary(summary, fileId, section, noPlaces);
      return index;
    };
    const one = replayed([{ fileId: range[0]?.fileId ?? 0, summary: both as LogSummary }]);
    const each = replayed(range);
    if (lost >= 0 && lost < from) behindLoss += 1;
    expect([seed, stateOf(one, ids)]).toEqual([seed, stateOf(each, ids)]);
    composed += 1;
  }
  expect(composed).toBeGreaterThan(1000);
  expect(behindLoss).toBeGreaterThan(200);
});

test('what does not follow is not composed, unless it needs no predecessor', () => {
  const index = new LogIndex(id);
  const run = { payloadAt: 0, bytes: 100, headsCrc: 0, maxTimestampMs: 0 };
  index.apply(
    { kind: 'run', id, previousGroup: 0, base: offset(0), end: offset(5), ...run },
    { group: 1, payloadPosition: 0, appendedMs: 0 },
  );
  const summary = index.summary() as LogSummary;
  expect(composeLogs(summary, { ...summary, previousGroup: 7 })).toBe(undefined);
  expect(composeLogs(summary, { ...summary, previousGroup: 7, absolute: true })).toMatchObject({ absolute: true });
});
