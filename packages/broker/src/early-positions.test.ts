import { LogKind, partitionIndex, topicId } from '@sluice/base';
import type { ReplicaPosition } from '@sluice/wire';
import { expect, test } from 'vitest';
import { EarlyPositions } from './early-positions.ts';

const topic = topicId('a'.repeat(32));
const log = (partition: number) => ({ topicId: topic, partition: partitionIndex(partition), kind: LogKind.data });

const position = (slot: number, partition: number, session = 1): ReplicaPosition => ({
  slot,
  topicId: topic,
  partition,
  kind: 0,
  leaderEpoch: 3,
  session,
  fetchOffset: 0,
  lastEpoch: -1,
  durableOffset: 0,
  durableStart: 0,
  partitionEpoch: 0,
});

test('a later statement of a slot, or of a log under another slot, takes the place of the one before', () => {
  const early = new EarlyPositions(10);
  early.keep(position(1, 0, 1));
  early.keep(position(1, 0, 2));
  early.keep(position(2, 0, 3));
  expect([early.count, early.take(log(0))?.session, early.take(log(0)), early.count]).toEqual([1, 3, undefined, 0]);
  early.keep(position(1, 0));
  early.keep(position(1, 1));
  expect([early.take(log(0)), early.take(log(1))?.slot]).toEqual([undefined, 1]);
});

test('a slot that is released waits no more', () => {
  const early = new EarlyPositions(10);
  early.keep(position(1, 0));
  early.release(1);
  early.release(2);
  expect([early.take(log(0)), early.count]).toEqual([undefined, 0]);
});

test('there is room for so many, and for one that takes the place of another', () => {
  const early = new EarlyPositions(2);
  expect([1, 2, 3].map((slot) => early.keep(position(slot, slot)))).toEqual([true, true, false]);
  expect([early.keep(position(2, 2, 5)), early.keep(position(7, 1)), early.count]).toEqual([true, true, 2]);
});
