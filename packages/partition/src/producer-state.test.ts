import { offset, producerEpoch, producerId } from '@sluice/base';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProducerFacts } from './events.ts';
import { ProducerStates, producerWindowBatches } from './producer-state.ts';

const facts = (baseSequence: number, epoch = 0, id = 7): ProducerFacts => ({
  producerId: producerId(id),
  producerEpoch: producerEpoch(epoch),
  baseSequence,
});

/** Batches one after the other, from offset 0, of `counts` records each, from `sequence`. */
function filled(counts: readonly number[], sequence = 0): ProducerStates {
  const states = new ProducerStates(100);
  let at = 0;
  for (const count of counts) {
    const baseSequence = (sequence + at) % 2 ** 31;
    states.record({ baseOffset: offset(at), endOffset: offset(at + count), producer: facts(baseSequence) }, 0);
    at += count;
  }
  return states;
}

const kind = (states: ProducerStates, producer: ProducerFacts, count = 1): string => {
  const verdict = states.judge(producer, count, 0);
  return verdict.kind === 'refused' ? verdict.error : verdict.kind;
};

describe('sequences', () => {
  test('an unknown producer starts at 0 (I6)', () => {
    expect(kind(new ProducerStates(1), facts(0))).toBe('next');
    expect(kind(new ProducerStates(1), facts(5))).toBe('OUT_OF_ORDER_SEQUENCE');
  });

  test('the next batch follows the last, and a new epoch starts at 0 (I2)', () => {
    const states = filled([3]);
    expect(kind(states, facts(3))).toBe('next');
    expect(kind(states, facts(4))).toBe('OUT_OF_ORDER_SEQUENCE');
    expect(kind(states, facts(0, 1))).toBe('next');
    expect(kind(states, facts(3, 1))).toBe('OUT_OF_ORDER_SEQUENCE');
    states.record({ baseOffset: offset(3), endOffset: offset(4), producer: facts(0, 1) }, 0);
    expect(kind(states, facts(3))).toBe('INVALID_PRODUCER_EPOCH');
  });

  test('they wrap from 2^31 − 1 to 0 (I1), also inside a batch', () => {
    expect(kind(filled([2], 2 ** 31 - 2), facts(0))).toBe('next');
    const states = filled([4], 2 ** 31 - 2);
    expect(kind(states, facts(2))).toBe('next');
    expect(kind(states, facts(2 ** 31 - 2), 4)).toBe('duplicate');
  });

  test('a duplicate is an exact match among the last five (I3)', () => {
    const states = filled([1, 1, 2, 1, 1, 1]);
    expect(states.judge(facts(2), 2, 0)).toMatchObject({ kind: 'duplicate', batch: { baseOffset: 2, endOffset: 4 } });
    expect(kind(states, facts(2), 1)).toBe('OUT_OF_ORDER_SEQUENCE');
    expect(kind(states, facts(1))).toBe('duplicate');
    expect(kind(states, facts(0))).toBe('OUT_OF_ORDER_SEQUENCE');
  });
});

test('memory is bounded: five batches each, and of those idle for long the one idle for longest goes first', () => {
  const states = new ProducerStates(3, 0);
  for (let id = 1; id <= 5; id += 1) {
    for (let at = 0; at < 20; at += 1) {
      states.record({ baseOffset: offset(at), endOffset: offset(at + 1), producer: facts(at, 0, id) }, id);
    }
  }
  expect(states.snapshots(0).map((one) => [one.producerId, one.batches.length])).toEqual([
    [3, 5],
    [4, 5],
    [5, 5],
  ]);
  states.expire(5);
  expect(states.count).toBe(1);
});

/** I6: a repetition that comes within the time that a producer may take is a duplicate, however many there are. */
test('no producer that may repeat a batch is forgotten, by the leader, a follower or a log that is read again', () => {
  const idleMsMin = 100;
  const countMax = 3;
  const append = fc.record({ id: fc.integer({ min: 1, max: 6 }), afterMs: fc.nat(60), isNew: fc.boolean() });
  fc.assert(
    fc.property(fc.array(append, { minLength: 1, maxLength: 60 }), (appends) => {
      const leader = new ProducerStates(countMax, idleMsMin);
      const follower = new ProducerStates(countMax, idleMsMin);
      const scan = new ProducerStates(countMax);
      const lastOf = new Map<number, { producer: ProducerFacts; atMs: number }>();
      let nowMs = 0;
      let end = 0;
      for (const { id, afterMs, isNew } of appends) {
        nowMs += afterMs;
        const last = lastOf.get(id)?.producer;
        const next =
          isNew || last === undefined
            ? facts(0, (last?.producerEpoch ?? -1) + 1, id)
            : facts(last.baseSequence + 1, last.producerEpoch, id);
        if (leader.judge(next, 1, nowMs).kind === 'next') {
          const batch = { baseOffset: offset(end), endOffset: offset(end + 1), producer: next };
          end += 1;
          lastOf.set(id, { producer: next, atMs: nowMs });
          leader.record(batch, nowMs);
          // It began to look later, so all it knows seems younger.
          follower.record(batch, nowMs / 2);
          scan.record(batch, 0);
        }
        expect(leader.count).toBeLessThanOrEqual(countMax);
        expect(scan.count).toBeLessThanOrEqual(countMax);
        for (const { producer, atMs } of lastOf.values()) {
          if (nowMs - atMs > idleMsMin) continue;
          for (const states of [leader, follower, scan])
            expect(states.judge(producer, 1, nowMs).kind).toBe('duplicate');
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('beyond the bound a new producer is refused, and those that are known go on', () => {
  const states = new ProducerStates(2, 100);
  for (const id of [1, 2])
    states.record({ baseOffset: offset(id), endOffset: offset(id + 1), producer: facts(0, 0, id) }, id);
  expect(states.judge(facts(0, 0, 3), 1, 101)).toEqual({ kind: 'refused', error: 'TOO_MANY_PRODUCERS' });
  expect(states.judge(facts(1, 0, 1), 1, 101).kind).toBe('next');
  expect(states.judge(facts(0, 1, 1), 1, 101).kind).toBe('next');
  expect(states.judge(facts(0, 0, 3), 1, 102).kind).toBe('next');
});

test('a follower that fetches months of a log in a moment keeps no more than the bound: by order, as a scan does', () => {
  const states = new ProducerStates(2, 100);
  for (const id of [1, 2, 3, 4, 5]) {
    states.record({ baseOffset: offset(id), endOffset: offset(id + 1), producer: facts(0, 0, id) }, 0);
  }
  expect(states.snapshots(0).map((one) => one.producerId)).toEqual([4, 5]);
});

/** R3: what is read again after a truncation takes its place by its batches, not behind all others. */
test('after a reload the producer idle for longest is first again', () => {
  const states = new ProducerStates(2);
  const record = (id: number, sequence: number, at: number): void =>
    states.record({ baseOffset: offset(at), endOffset: offset(at + 1), producer: facts(sequence, 0, id) }, at);
  record(1, 0, 0);
  record(2, 0, 1);
  record(1, 1, 2);
  states.truncateTo(offset(2));
  const kept = { baseSequence: 0, lastSequence: 0, baseOffset: offset(0), endOffset: offset(1) };
  states.reload(
    [{ producerId: producerId(1), producerEpoch: producerEpoch(0), ageMs: 0, batches: [kept] }],
    offset(2),
    2,
  );
  record(3, 0, 2);
  expect(states.snapshots(0).map((one) => one.producerId)).toEqual([2, 3]);
});

/** I5: after a truncation and a reload the state is that of a replica which never had what was cut. */
test('truncated and reloaded, it is as if the rest had never been there', () => {
  const batch = fc.record({
    id: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 1, max: 3 }),
    bump: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(batch, { minLength: 1, maxLength: 30 }), fc.nat(30), (batches, keep) => {
      const whole = new ProducerStates(100);
      const kept = new ProducerStates(100);
      const nextOf = new Map<number, { epoch: number; sequence: number }>();
      let at = 0;
      let cutAt = 0;
      for (const [index, { id, count, bump }] of batches.entries()) {
        const known = nextOf.get(id) ?? { epoch: 0, sequence: 0 };
        const next = bump ? { epoch: known.epoch + 1, sequence: 0 } : known;
        const producer = facts(next.sequence, next.epoch, id);
        const facts1 = { baseOffset: offset(at), endOffset: offset(at + count), producer };
        whole.record(facts1, 0);
        at += count;
        if (index < keep) {
          kept.record(facts1, 0);
          cutAt = at;
        }
        nextOf.set(id, { epoch: next.epoch, sequence: next.sequence + count });
      }
      whole.truncateTo(offset(cutAt));
      if (whole.reloadNeeded) whole.reload(kept.snapshots(0), offset(cutAt), 0);
      const byId = (states: ProducerStates): unknown =>
        [...states.snapshots(0)].sort((one, other) => one.producerId - other.producerId);
      expect(byId(whole)).toEqual(byId(kept));
      expect(whole.reloadNeeded).toBe(false);
      for (const one of whole.snapshots(0)) expect(one.batches.length).toBeLessThanOrEqual(producerWindowBatches);
    }),
  );
});
