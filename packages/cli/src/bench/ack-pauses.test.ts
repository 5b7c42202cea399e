import { expect, test } from 'vitest';
import { AckPauses } from './ack-pauses.ts';

function manual(steadyMs = 1000) {
  let nowMs = 0;
  const pauses = new AckPauses(steadyMs, () => nowMs);
  const pass = (ms: number): number => (nowMs += ms);
  return { pauses, pass };
}

test('the longest pause since the last look', () => {
  const { pauses, pass } = manual();
  pass(5);
  pauses.acked();
  pass(700);
  pauses.acked();
  pass(3);
  pauses.acked();
  expect(pauses.takeLongestMs()).toBe(700);
  pass(20);
  pauses.acked();
  expect(pauses.takeLongestMs()).toBe(20);
});

test('a pause that still lasts counts', () => {
  const { pauses, pass } = manual();
  pauses.acked();
  pass(4000);
  expect(pauses.takeLongestMs()).toBe(4000);
});

test('acks that never flow are a failure, not a short pause', async () => {
  const { pauses, pass } = manual();
  const timer = setInterval(() => pass(400), 1);
  await expect(pauses.steady(5000, new AbortController().signal)).rejects.toMatchObject({ code: 'TIMEOUT' });
  clearInterval(timer);
});
