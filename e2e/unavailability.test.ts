import type { HistoryLine } from '@sluice/sim/history';
import { expect, test } from 'vitest';
import { longestGapsMs } from './unavailability.ts';

let operations = 0;

function acked(atMs: number, partition = 0): readonly HistoryLine[] {
  operations += 1;
  const operation = operations;
  const send = { action: 'send', client: 'p', topic: 't', value: `${operation}` } as const;
  return [
    { event: 'invoke', atMs: atMs - 1, operation, ...send },
    { event: 'ok', atMs, operation, partition, offset: operation },
  ];
}

const fault = (kind: string, atMs: number): HistoryLine => ({ event: 'fault', atMs, kind, target: 'node 1' });

test('a gap counts for the first fault in it, else for the last before it', () => {
  const lines = [
    ...acked(0),
    ...acked(900),
    fault('kill', 1000),
    ...acked(1300),
    // Nothing struck in this one.
    ...acked(2000),
    fault('pause', 2100),
    fault('kill-all', 2200),
    ...acked(7000),
  ];
  expect(longestGapsMs(lines)).toEqual({ kill: 700, pause: 5000 });
});

test('each partition has gaps of its own, and what is read or fails ends none', () => {
  const poll = { action: 'poll', client: 'c', topic: 't', partition: 1 } as const;
  const lines: readonly HistoryLine[] = [
    ...acked(0, 0),
    ...acked(0, 1),
    fault('kill', 10),
    ...acked(100, 0),
    { event: 'invoke', atMs: 200, operation: 1000, ...poll },
    { event: 'ok', atMs: 210, operation: 1000, offsets: [1], values: ['1'] },
    ...acked(400, 1),
    ...acked(450, 0),
  ];
  expect(longestGapsMs(lines)).toEqual({ kill: 400 });
  expect(longestGapsMs([...acked(0), ...acked(500)])).toEqual({});
});
