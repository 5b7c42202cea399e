import { nodeId } from '@sluice/base';
import { ManualClock } from '@sluice/wire';
import { expect, test } from 'vitest';
import { NodeLiveness } from './node-liveness.ts';

const peer = nodeId(2);

function liveness() {
  const clock = new ManualClock();
  return { clock, known: new NodeLiveness(clock, { heardAtMs: 7 }) };
}

test('a peer that was never heard of counts as that, also with a stream open', () => {
  const { known } = liveness();
  known.open(peer);
  expect([known.heardAtMs(peer), known.controllerHeardAtMs()]).toEqual([Number.NEGATIVE_INFINITY, 7]);
});

test('of two streams the newest word counts, and the one that closes takes only its own with it', async () => {
  const { clock, known } = liveness();
  const [followed, following] = [known.open(peer), known.open(peer)];
  followed.heard();
  await clock.pass(100);
  following.heard();
  expect(known.heardAtMs(peer)).toBe(100);
  following.closed();
  expect(known.heardAtMs(peer)).toBe(0);
  followed.closed();
  expect(known.heardAtMs(peer)).toBe(Number.NEGATIVE_INFINITY);
});

test('a stream that takes over is not forgotten with the one before it', async () => {
  const { clock, known } = liveness();
  const before = known.open(peer);
  before.heard();
  await clock.pass(10);
  const now = known.open(peer);
  now.heard();
  before.closed();
  before.heard();
  await clock.pass(10);
  expect(known.heardAtMs(peer)).toBe(10);
});
