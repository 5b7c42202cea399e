import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HistoryLine } from '@sluice/sim/history';
import { afterAll, expect, test } from 'vitest';
import { chaosKinds } from './chaos-plan.ts';
import { judgeRun } from './chaos-run.ts';
import { HistoryFile, historyLines } from './history-file.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'sluice-chaos-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const send = { event: 'invoke', action: 'send', client: 'p', topic: 't' } as const;
const read = { event: 'invoke', action: 'poll', client: 'final-0', topic: 't', partition: 0, final: true } as const;

/** Two records are acked, a third is in doubt, every kind of fault comes, and somebody reads it all. */
const whole: readonly HistoryLine[] = [
  { ...send, atMs: 0, operation: 1, value: '1' },
  { event: 'ok', atMs: 1, operation: 1, partition: 0, offset: 0 },
  ...chaosKinds.map((kind) => ({ event: 'fault', atMs: 2, kind, target: 'node 1' }) as const),
  { ...send, atMs: 3, operation: 2, value: '2' },
  { event: 'ok', atMs: 5, operation: 2, partition: 0, offset: 1 },
  { ...send, atMs: 6, operation: 3, value: '\u20ac' },
  { event: 'info', atMs: 7, operation: 3, code: 'TIMEOUT' },
  { ...read, atMs: 8, operation: 4 },
  { event: 'ok', atMs: 9, operation: 4, offsets: [0, 1], values: ['1', '2'] },
];

let histories = 0;

async function judged(lines: readonly HistoryLine[], failures: readonly string[] = []) {
  histories += 1;
  const file = new HistoryFile(path.join(directory, `${histories}.jsonl`));
  for (const line of lines) file.write(line);
  await file.close();
  return judgeRun({ seed: 1, minutes: 1 / 60, rate: 20, historyPath: file.path }, failures);
}

test('a run that exercised everything, and lost nothing, is valid', async () => {
  const { verdict, acked, indefinite, faults, unavailableMsMax, found } = await judged(whole);
  expect({ verdict, acked, indefinite, found }).toEqual({ verdict: 'valid', acked: 2, indefinite: 1, found: [] });
  expect(Object.keys(faults)).toEqual([...chaosKinds]);
  expect(unavailableMsMax).toEqual({ [chaosKinds[0]]: 4 });
});

test('a kind of fault that never came, nothing in doubt, few acks, or a run that broke off: unknown', async () => {
  const withoutPause = whole.filter((line) => !(line.event === 'fault' && line.kind === 'pause'));
  const decided = whole.filter((line) => !('operation' in line && line.operation === 3));
  const oneAck = whole
    .filter((line) => !('operation' in line && line.operation === 2))
    .map((line) => (line.event === 'ok' && line.operation === 4 ? { ...line, offsets: [0], values: ['1'] } : line));
  for (const lines of [withoutPause, decided, oneAck]) {
    expect(await judged(lines)).toMatchObject({ verdict: 'unknown', found: [expect.any(String)] });
  }
  expect(await judged(whole, ['it never came back'])).toMatchObject({
    verdict: 'unknown',
    found: ['it never came back'],
  });
});

test('what is lost is invalid, also when the run broke off', async () => {
  const lossy = whole.map((line) =>
    line.event === 'ok' && line.operation === 4 ? { ...line, offsets: [1], values: ['2'] } : line,
  );
  for (const failures of [[], ['it never came back']]) {
    expect(await judged(lossy, failures)).toMatchObject({ verdict: 'invalid', anomalies: { lost: 1 } });
  }
});

test('a history is read back as it was written, wherever a piece of the file ends', async () => {
  const file = new HistoryFile(path.join(directory, 'long.jsonl'));
  const lines = Array.from({ length: 30_000 }, (_, at) => ({
    ...send,
    atMs: at,
    operation: at,
    value: `${at} \u20ac`,
  }));
  for (const line of lines) file.write(line);
  await file.close();
  expect([...historyLines(file.path)]).toEqual(lines);
});
