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
  const verdict = states.judge(producer, count);
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
    expect(states.judge(facts(2), 2)).toMatchObject({ kind: 'duplicate', batch: { baseOffset: 2, endOffset: 4 } });
    expect(kind(states, facts(2), 1)).toBe('OUT_OF_ORDER_SEQUENCE');
    expect(kind(states, facts(1))).toBe('duplicate');
    expect(kind(states, facts(0))).toBe('OUT_OF_ORDER_SEQUENCE');
  });
});

test('memory is bounded: five batches each, and the producer idle for longest goes first', () => {
  const states = new ProducerStates(3);
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
