import { expect, test } from 'vitest';
import { figureLines } from './figure-line.ts';
import { median, report } from './report.ts';

const cells = (table: string, row: string): string[] => {
  const line = table.split('\n').find((each) => each.startsWith(`| ${row} |`)) ?? '';
  return line
    .split('|')
    .slice(2, -1)
    .map((each) => each.trim());
};

const produce = (system: string, work: string, recordsPerSecond: number) => ({
  system,
  work,
  recordsPerSecond,
  settings: { fsync: system === 'sluice' },
});

test('a cell is the median, the range and the ratios to kafka at its defaults and tuned', () => {
  const table = report([
    produce('kafka', 'produce-max 1024 B', 10_000),
    produce('kafka', 'produce-max 1024 B', 12_000),
    produce('kafka', 'produce-max 1024 B', 11_000),
    produce('kafka', 'produce-max 1024 B, tuned', 44_000),
    produce('sluice', 'produce-max 1024 B', 55_000),
    produce('sluice', 'produce-max 1024 B, tuned', 66_000),
  ]);
  expect(table.split('\n')[0]).toBe('| work | kafka | sluice (fsync) |');
  expect(cells(table, 'produce-max 1024 B, records/s')).toEqual(['11,000 [10,000–12,000]', '55,000 ×5.00 / ×1.25']);
  expect(cells(table, 'produce-max 1024 B, tuned, records/s')).toEqual(['44,000', '66,000 ×6.00 / ×1.50']);
});

test('what consumes by records stands against the same row of kafka', () => {
  const table = report([
    produce('kafka', 'consume-max 100 B', 200_000),
    produce('sluice', 'consume-max 100 B, decoded', 300_000),
  ]);
  expect(cells(table, 'consume-max 100 B, decoded, records/s')).toEqual(['–', '300,000 ×1.50']);
});

test('at a rate the latencies count, at full speed they do not', () => {
  const latencyMs = { p50: 1.25, p99: 4, p999: 9, max: 20 };
  const table = report([
    { ...produce('kafka', 'produce 1000/s 1024 B', 1000), latencyMs },
    { ...produce('kafka', 'produce-max 1024 B', 1000), latencyMs },
  ]);
  expect(cells(table, 'produce 1000/s 1024 B: p50, ms')).toEqual(['1.25']);
  expect(cells(table, 'produce 1000/s 1024 B: max, ms')).toEqual(['20']);
  expect(table).not.toContain('produce-max 1024 B: p50');
});

test('failover, cold-start, idle and the disk', () => {
  const table = report([
    { system: 'kafka', work: 'failover', rounds: [9000, 8000, 10_000], restartGaps: [90], lost: 0, duplicated: 2 },
    { system: 'nats', work: 'failover', rounds: [900], restartGaps: [], lost: 0, duplicated: 0 },
    { system: 'kafka', work: 'cold-start', ms: 8000 },
    { system: 'kafka', work: 'idle', rssMb: [300, 302, 301] },
    { system: 'kafka', work: 'disk 4 KiB', latencyMs: { p50: 0.5, p99: 2 }, bytesPerSecond: 8_000_000 },
  ]);
  expect(cells(table, 'failover: longest pause of acks, ms')).toEqual(['9,000 [8,000–10,000]', '900 ×0.10']);
  expect(cells(table, 'failover: pause while it comes back, ms')).toEqual(['90', '–']);
  expect(cells(table, 'failover: duplicated')).toEqual(['2', '0 ×0.00']);
  expect(cells(table, 'cold-start, ms')).toEqual(['8,000', '–']);
  expect(cells(table, 'idle: memory of a node, MB')).toEqual(['301 [300–302]', '–']);
  expect(cells(table, 'disk 4 KiB, MB/s')).toEqual(['8', '–']);
});

test('the median of an even count lies between', () => expect(median([4, 1, 3, 2])).toBe(2.5));

test('only lines of figures are read', () => {
  expect(figureLines('warming up\n{"system":"kafka","work":"idle","rssMb":[1]}\n\n')).toEqual([
    { system: 'kafka', work: 'idle', rssMb: [1] },
  ]);
});
