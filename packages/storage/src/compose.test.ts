/** Composed summaries do to any log what the summaries do one after the other. */
import { logIndex, offset, SeededRandom, term } from '@sluice/base';
import { expect, test } from 'vitest';
import { composeLogs, composeRaft, keptEntries } from './compose.ts';
import { LogIndex, type LogSummary } from './log-index.ts';
import { RaftIndex, type RaftSummary } from './raft-index.ts';
import type { RaftEntry } from './raft-store.ts';
import type { LogIdRow, RaftRow } from './rows.ts';
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

interface RaftFile {
  readonly summary: RaftSummary;
  readonly entries: readonly RaftEntry[];
}

function randomRaftRow(random: SeededRandom, index: RaftIndex): RaftRow {
  const { lastGroup: previousGroup, lastIndex, firstIndex, snapshot } = index;
  const draw = random.below(20);
  const within = firstIndex + random.below(lastIndex - firstIndex + 2);
  if (draw < 9) {
    const row = { entryKind: 0, payloadAt: 0, bytes: 0, crc: 0 };
    const at = random.below(3) === 0 ? within : lastIndex + 1;
    return { kind: 'raft-entry', previousGroup, index: logIndex(Math.max(1, at)), term: term(random.below(9)), ...row };
  }
  if (draw < 12) return { kind: 'raft-truncate', previousGroup, from: logIndex(Math.max(1, within)) };
  if (draw < 17) {
    const to = logIndex((snapshot?.index ?? 0) + 1 + random.below(4));
    const ref = { index: to, term: term(1), fileId: 1 + previousGroup, bytes: 1, crc: 0 };
    const keepFrom = logIndex(Math.max(1, to + 1 - random.below(4)));
    const replacesLog = to > lastIndex || random.below(4) === 0;
    return { kind: 'raft-snapshot', previousGroup, snapshot: ref, keepFrom, replacesLog };
  }
  if (draw < 18) return { kind: 'raft-hard-state', previousGroup, term: term(random.below(9)), votedFor: 'x' };
  if (draw < 19) return { kind: 'raft-doubtful', previousGroup };
  return { kind: random.below(2) === 0 ? 'raft-reset' : 'raft-healed', previousGroup };
}

/** What one file does to the Raft state; undefined when nothing. */
function raftFileOf(random: SeededRandom, index: RaftIndex, fileId: number): RaftFile | undefined {
  for (let rows = random.below(5); rows > 0; rows -= 1) {
    const group = fileId * 10 + 9 - rows;
    index.apply(randomRaftRow(random, index), { group, payloadPosition: 0, appendedMs: group });
  }
  const summary = index.summary();
  const entries = index.stored.map(({ index: at, term: of, kind }) => ({ index: at, term: of, kind, payload: none }));
  index.finishFile();
  return summary && { summary, entries };
}

const none = new Uint8Array(0);

const composedRaft = (files: readonly RaftFile[], firstIndex: number): RaftFile | undefined =>
  files.slice(1).reduce<RaftFile | undefined>((before, { summary: next, entries }) => {
    const summary = before && composeRaft(before.summary, next);
    if (before === undefined || summary === undefined) return undefined;
    const kept = [...keptEntries(before.entries, next), ...entries];
    // As a rewrite does: what later files discard is not carried on.
    const keepFrom = Math.max(summary.keepFrom, firstIndex);
    return { summary: { ...summary, keepFrom }, entries: kept.filter(({ index }) => index >= firstIndex) };
  }, files[0]);

test('one file does to the Raft state what several did, also without what later ones discard', () => {
  let composed = 0;
  let discarded = 0;
  for (let seed = 1; seed <= 3000; seed += 1) {
    const random = new SeededRandom(seed);
    const writer = new RaftIndex();
    const files = [1, 2, 3, 4, 5, 6].map((fileId) => raftFileOf(random, writer, fileId)).filter((f) => f !== undefined);
    const from = random.below(Math.max(1, files.length - 1));
    const range = files.slice(from, from + 2 + random.below(3));
    if (range.length < 2) continue;
    const one = composedRaft(range, writer.firstIndex);
    const whole = composedRaft(range, 0);
    if (one === undefined || whole === undefined) throw new Error(`seed ${seed}: not composed`);
    discarded += whole.entries.length - one.entries.length;
    const replayed = (middle: readonly RaftFile[]): unknown => {
      const index = new RaftIndex();
      for (const { summary, entries } of [...files.slice(0, from), ...middle, ...files.slice(from + range.length)])
        index.applySummary(summary, entries);
      const { hardState, doubtful, snapshot, lastIndex, firstIndex, fits, lastGroup } = index;
      return { hardState, doubtful, snapshot, lastIndex, firstIndex, fits, lastGroup, entries: index.take() };
    };
    expect([seed, replayed([one])]).toEqual([seed, replayed(range)]);
    expect([seed, replayed([whole])]).toEqual([seed, replayed(range)]);
    composed += 1;
  }
  expect(composed).toBeGreaterThan(1000);
  expect(discarded).toBeGreaterThan(500);
});
