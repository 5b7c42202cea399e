import { expect, test } from 'vitest';
import { momentsOf, stagesOf, stageSummary } from './failover-stages.ts';

const struckMs = Date.parse('2026-01-01T00:00:00.000Z');
const at = (ms: number): string => new Date(struckMs + ms).toISOString();
const line = (ms: number, node: number, msg: string, more: object = {}): string =>
  JSON.stringify({ level: 'debug', time: at(ms), node, ...more, msg });
const leads = (ms: number, node: number, partition: number, topic = 'failover'): string =>
  line(ms, node, 'partition event', { topic, partition, kind: 'role', role: 'leader', leaderEpoch: 2 });

const lines = [
  line(-5, 2, 'node is gone', { nodeId: 1 }),
  line(1, 1, 'nodes fenced', { nodes: [1] }),
  line(40, 2, 'controller leadership began', { term: 3 }),
  line(41, 2, 'node is gone', { nodeId: 3 }),
  line(42, 2, 'node is gone', { nodeId: 1, probe: 'refused' }),
  leads(50, 2, 0),
  line(52, 2, 'nodes fenced', { nodes: [1] }),
  leads(55, 3, 1),
  leads(56, 3, 1, 'other'),
  leads(90, 2, 1),
  `{"time":"${at(60)}","node":1,"msg":"partition event","ki`,
  'Trace: not of pino',
];

test('moments are those of this failover, told by nodes that live', () => {
  const ledMs = new Map([
    [0, struckMs + 50],
    [1, struckMs + 55],
  ]);
  expect(momentsOf(lines, { node: 1, topic: 'failover', atMs: struckMs })).toEqual({
    electedMs: struckMs + 40,
    goneMs: struckMs + 42,
    fencedMs: struckMs + 52,
    ledMs,
  });
});

test('each stage counts from the end of the one before', () => {
  const moments = momentsOf(lines, { node: 1, topic: 'failover', atMs: struckMs });
  const acks = [
    { partition: 0, learntMs: struckMs + 51, atMs: struckMs + 60, dueMs: struckMs - 20 },
    // It had nothing to send before.
    { partition: 1, learntMs: struckMs + 70, atMs: struckMs + 84, dueMs: struckMs + 80 },
  ];
  const stages = stagesOf(struckMs, moments, acks);
  expect(stages).toEqual({ elect: 40, detect: 42, decide: 10, propagate: [0, 3], learn: [1, 15], firstAck: [9, 4] });
  expect(stageSummary([stages]).firstAck).toEqual({ p50: 4, p90: 9, p99: 9, max: 9 });
});

test('what no line tells of is null', () => {
  const moments = {
    electedMs: undefined,
    goneMs: undefined,
    fencedMs: struckMs + 1600,
    ledMs: new Map([[0, struckMs + 1605]]),
  };
  const acks = [{ partition: 0, learntMs: undefined, atMs: struckMs + 1610, dueMs: struckMs }];
  const stages = stagesOf(struckMs, moments, acks);
  expect(stages).toEqual({ elect: null, detect: null, decide: 1600, propagate: [5], learn: [], firstAck: [5] });
  expect(stageSummary([stages]).detect).toBeNull();
});
