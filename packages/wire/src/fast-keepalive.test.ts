import type { Http2Session } from 'node:http2';
import { expect, test } from 'vitest';
import { keepAlive } from './fast-keepalive.ts';
import { keepaliveTimeMs, keepaliveTimeoutMs } from './grpc-options.ts';
import { ManualClock } from './manual-clock.ts';

type OnAnswer = (error: Error | null) => void;

/** The part of a connection that is asked here. */
class Asked {
  destroyed = false;
  answers: OnAnswer[] = [];
  onClose: () => void = () => undefined;
  ping(onAnswer: OnAnswer): boolean {
    this.answers.push(onAnswer);
    return true;
  }
  destroy(): void {
    this.destroyed = true;
    this.onClose();
  }
  once(_event: 'close', run: () => void): void {
    this.onClose = run;
  }
}

function start(): { clock: ManualClock; session: Asked } {
  const clock = new ManualClock();
  const session = new Asked();
  keepAlive(session as unknown as Http2Session, clock);
  return { clock, session };
}

test('asks after each pause, and is content with answers', async () => {
  const { clock, session } = start();
  for (let round = 1; round <= 3; round += 1) {
    await clock.pass(keepaliveTimeMs);
    expect(session.answers).toHaveLength(round);
    await clock.pass(keepaliveTimeoutMs - 1);
    session.answers.at(-1)?.(null);
  }
  expect(session.destroyed).toBe(false);
});

test('ends a connection that does not answer, and asks no more', async () => {
  const { clock, session } = start();
  await clock.pass(keepaliveTimeMs + keepaliveTimeoutMs - 1);
  expect(session.destroyed).toBe(false);
  await clock.pass(1);
  expect([session.destroyed, clock.timers]).toEqual([true, 0]);
});

test('an answer that lay behind the timers of a paused process counts', async () => {
  const { clock, session } = start();
  await clock.pass(keepaliveTimeMs);
  // The timer fires, and the socket is read before the turn is over.
  clock.defer = (judge) => {
    session.answers[0]?.(null);
    judge();
  };
  await clock.pass(keepaliveTimeoutMs);
  expect([session.destroyed, clock.timers]).toEqual([false, 1]);
});

test('a connection that is over is left alone', async () => {
  const { clock, session } = start();
  session.destroy();
  expect(clock.timers).toBe(0);
});
