import { expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { Deadline } from './deadline.ts';

function surroundings() {
  let nowMs = 100;
  let timers: { readonly atMs: number; readonly run: () => void }[] = [];
  let set = 0;
  const clock: Clock = {
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    setTimer: (delayMs, run) => {
      const timer = { atMs: nowMs + delayMs, run };
      timers.push(timer);
      set += 1;
      return { cancel: () => void (timers = timers.filter((each) => each !== timer)) };
    },
    defer: () => undefined,
  };
  const due: string[] = [];
  const deadline = new Deadline(clock, (lateMs) => due.push(`at ${nowMs}, ${lateMs} late`));
  /** Nothing runs in between. */
  const jump = (toMs: number): void => {
    nowMs = toMs;
    const ready = timers.filter(({ atMs }) => atMs <= nowMs);
    timers = timers.filter(({ atMs }) => atMs > nowMs);
    for (const { run } of ready) run();
  };
  return { deadline, due, jump, timersSet: () => set, timersLeft: () => timers.length };
}

test('put off again and again, it sets a timer only when the one before ran', () => {
  const { deadline, due, jump, timersSet } = surroundings();
  for (let ms = 100; ms < 149; ms += 1) {
    jump(ms);
    deadline.set(ms + 50);
  }
  expect(timersSet()).toBe(1);
  jump(150);
  jump(197);
  expect(due).toEqual([]);
  jump(198);
  expect([due, timersSet()]).toEqual([['at 198, 0 late'], 2]);
});

test('brought forward, it comes then; over already, in the next turn', () => {
  const { deadline, due, jump, timersLeft } = surroundings();
  deadline.set(500);
  deadline.set(200);
  jump(200);
  expect([due, timersLeft()]).toEqual([['at 200, 0 late'], 0]);
  deadline.set(150);
  expect(due).toHaveLength(1);
  jump(200);
  expect(due).toEqual(['at 200, 0 late', 'at 200, 0 late']);
});

test('a process that stood still is told for how long at least', () => {
  const { deadline, due, jump } = surroundings();
  deadline.set(200);
  deadline.set(300);
  jump(350);
  expect(due).toEqual(['at 350, 150 late']);
});

test('cancelled, it never comes; set again, it does', () => {
  const { deadline, due, jump } = surroundings();
  deadline.set(200);
  deadline.cancel();
  jump(300);
  expect(due).toEqual([]);
  deadline.set(400);
  jump(400);
  expect(due).toEqual(['at 400, 0 late']);
});
