/** Rows of a table: they come back as they were written, whatever their numbers, and nothing else is read for one. */
import { LogKind, logIndex, type Offset, offset, partitionIndex, term, topicId } from '@sluice/base';
import { expect, test } from 'vitest';
import { readRows, type Row, RowWriter } from './rows.ts';
import { testLogId } from './test-node-log.ts';

const most = Number.MAX_SAFE_INTEGER;
const other = { topicId: topicId('ab'.repeat(16)), partition: partitionIndex(0x7fff_ffff), kind: LogKind.data };
const of = { group: 900, appendedMs: 1_795_000_000_000 };

function tableOf(rows: readonly Row[], at = of): Uint8Array {
  const writer = new RowWriter(at, 0);
  for (const row of rows) writer.write(row);
  return writer.written();
}

const run = (fields: Partial<Row & { kind: 'run' }>): Row => ({
  kind: 'run',
  id: testLogId(1),
  previousGroup: 899,
  base: offset(70_000),
  end: offset(70_001),
  payloadAt: 0,
  bytes: 1024,
  headsCrc: 0xffff_ffff,
  maxTimestampMs: of.appendedMs - 3,
  ...fields,
});

const rows: readonly Row[] = [
  run({ bytes: 0xffff_0000 }),
  { kind: 'truncate', id: other, previousGroup: 0, to: offset(most) },
  run({ payloadAt: 0xffff_0000, previousGroup: 900, base: offset(most - 1), end: offset(most), maxTimestampMs: most }),
  run({ payloadAt: 0xffff_0400, id: other, base: offset(0), end: offset(most), bytes: 0, maxTimestampMs: 0 }),
  { kind: 'raft-hard-state', previousGroup: 0, term: term(most), votedFor: null },
  {
    kind: 'raft-entry',
    previousGroup: 900,
    index: logIndex(most),
    term: term(0),
    entryKind: 255,
    payloadAt: 0xffff_0400,
    bytes: 9,
    crc: 0,
  },
  { kind: 'raft-truncate', previousGroup: 0, from: logIndex(1) },
  { kind: 'raft-doubtful', previousGroup: 0 },
  { kind: 'raft-healed', previousGroup: 900 },
  { kind: 'start', id: testLogId(2), previousGroup: 1, to: offset(0) },
  { kind: 'lossy', id: other, previousGroup: 1, intactEnd: offset(5), knownEnd: offset(most), where: 'ä' },
  { kind: 'lossy', id: other, previousGroup: 1, intactEnd: offset(5), knownEnd: undefined, where: '' },
  { kind: 'healed', id: testLogId(1), previousGroup: 0 },
  { kind: 'delete', id: other, previousGroup: 900 },
];
const payloadBytes = 0xffff_0409;

test('rows of every kind come back as they were written', () => {
  expect(readRows(tableOf(rows), { ...of, rowCount: rows.length, payloadBytes })).toEqual(rows);
});

test('of thousands of logs a small run takes at most 18 bytes, and its topic 16 once', () => {
  const runs = Array.from({ length: 10_000 }, (_, at) =>
    run({ id: { ...testLogId(1), partition: partitionIndex(at) }, previousGroup: 897 }),
  );
  expect(tableOf(runs).length).toBeLessThan(18 * runs.length + 16);
});

test('a table of another group, payload or number of rows is none', () => {
  const table = tableOf(rows);
  const told = { ...of, rowCount: rows.length, payloadBytes };
  expect(readRows(table, { ...told, payloadBytes: payloadBytes + 1 })).toBe(undefined);
  expect(readRows(table, { ...told, rowCount: rows.length - 1 })).toBe(undefined);
  expect(readRows(table, { ...told, rowCount: rows.length + 1 })).toBe(undefined);
  expect(readRows(table, { ...told, group: 10 })).toBe(undefined);
  expect(readRows(table, { ...told, appendedMs: of.appendedMs + 1 })).not.toEqual(rows);
});

test('a run that ends, or is newer, than any can be is damage, and so are payloads beyond what a frame holds', () => {
  const read = (row: Row, at = of) => readRows(tableOf([row], at), { ...of, rowCount: 1, payloadBytes: 1024 });
  expect(read(run({}))).toEqual([run({})]);
  expect(read(run({ base: offset(most), end: (most + 3) as Offset }))).toBe(undefined);
  expect(read(run({ maxTimestampMs: 0 }), { ...of, appendedMs: 0 })).toEqual([run({ maxTimestampMs: of.appendedMs })]);
  expect(read(run({ maxTimestampMs: most }), { ...of, appendedMs: 0 })).toBe(undefined);
  const large = [run({ bytes: 0xffff_0000 }), run({ bytes: 0x1_0000 })];
  expect(readRows(tableOf(large), { ...of, rowCount: 2, payloadBytes: 0x1_0000_0000 })).toBe(undefined);
});

test('every byte of a table that is cut off is missed', () => {
  const table = tableOf(rows);
  for (let bytes = 0; bytes < table.length; bytes += 1) {
    expect(readRows(table.subarray(0, bytes), { ...of, rowCount: rows.length, payloadBytes })).toBe(undefined);
  }
});
