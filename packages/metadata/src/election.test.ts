import { leaderEpoch, nodeId, partitionEpoch, partitionIndex, topicId } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  elect,
  partitionChange,
  withIsr,
  withoutLossy,
  withoutMember,
  withoutNodes,
  withoutUnclean,
} from './election.ts';
import type { Electorate, Membership, Standing } from './election.ts';
import { partitionFault } from './partition-rules.ts';
import type { PartitionState } from './state.ts';

const ids = (...values: readonly number[]): readonly NodeId[] => values.map(nodeId);
const electorate = (given: Readonly<Record<number, Standing>> = {}, minIsr = 2): Electorate => ({
  minIsr,
  standingOf: (id) => given[id] ?? 'electable',
});

interface Lists {
  readonly isr?: readonly number[];
  readonly elr?: readonly number[];
  readonly lastKnownElr?: readonly number[];
  readonly lossy?: readonly number[];
  readonly leader?: number | null;
}

/** Replicas are 1, 2, 3 in assignment order. */
const partitionOf = ({ isr = [], elr = [], lastKnownElr = [], lossy = [], leader = null }: Lists): Membership => ({
  replicas: ids(1, 2, 3),
  isr: ids(...isr),
  elr: ids(...elr),
  lastKnownElr: ids(...lastKnownElr),
  lossy: ids(...lossy),
  leader: leader === null ? null : nodeId(leader),
});

interface Row extends Lists {
  readonly what: string;
  readonly nodes?: Readonly<Record<number, Standing>>;
  readonly minIsr?: number;
  readonly elected: Lists;
}

const rows: readonly Row[] = [
  { what: 'a valid leader stays', isr: [1, 2, 3], leader: 2, elected: { isr: [1, 2, 3], leader: 2 } },
  { what: 'first in assignment order', isr: [3, 2], elected: { isr: [3, 2], leader: 2 } },
  { what: 'the ISR before the ELR', isr: [3], elr: [1, 2], elected: { isr: [3], elr: [1, 2], leader: 3 } },
  {
    what: 'without an ISR the first of the ELR, which alone is in sync then',
    elr: [2, 3],
    elected: { isr: [2], elr: [3], leader: 2 },
  },
  {
    what: 'what alone makes up minIsr has no ELR beside it',
    elr: [2, 3],
    minIsr: 1,
    elected: { isr: [2], leader: 2 },
  },
  {
    what: 'the ELR where nobody of the ISR can',
    isr: [1],
    elr: [2],
    leader: 1,
    nodes: { 1: 'lastResort' },
    elected: { isr: [2], elr: [1], leader: 2 },
  },
  {
    what: 'a fenced replica is passed over',
    elr: [1, 2, 3],
    nodes: { 1: 'fenced', 2: 'fenced' },
    elected: { isr: [3], elr: [1, 2], leader: 3 },
  },
  {
    what: 'a fenced leader goes, and stays in sync if nothing else is said',
    isr: [1, 2, 3],
    leader: 1,
    nodes: { 1: 'fenced' },
    elected: { isr: [1, 2, 3], leader: 2 },
  },
  {
    what: 'nobody',
    isr: [1],
    elr: [2],
    leader: 1,
    nodes: { 1: 'fenced', 2: 'fenced' },
    elected: { isr: [1], elr: [2], leader: null },
  },
  {
    what: 'who leads on hands over and leaves',
    isr: [1, 2, 3],
    leader: 1,
    nodes: { 1: 'lastResort' },
    elected: { isr: [2, 3], leader: 2 },
  },
  {
    what: 'or leads on alone',
    isr: [1],
    elr: [2],
    leader: 1,
    nodes: { 1: 'lastResort', 2: 'fenced' },
    elected: { isr: [1], elr: [2], leader: 1 },
  },
  {
    what: 'but is never newly elected',
    isr: [1],
    elr: [2],
    nodes: { 1: 'lastResort', 2: 'lastResort' },
    elected: { isr: [1], elr: [2], leader: null },
  },
  {
    what: 'who may lack records is not elected',
    lastKnownElr: [1, 2],
    lossy: [1],
    elected: { lastKnownElr: [1, 2], lossy: [1], leader: null },
  },
];

describe('E1: election order (D15)', () => {
  test.each(rows)('$what', ({ nodes, minIsr, elected, ...lists }) => {
    expect(elect(partitionOf(lists), electorate(nodes, minIsr))).toEqual(partitionOf(elected));
  });
});

const standing = fc.constantFrom<Standing>('electable', 'lastResort', 'fenced');

/** A partition of up to five replicas as decisions leave it, and the standing of the nodes. */
const anyPartition = fc
  .record({
    replicas: fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 1 }),
    nodes: fc.array(standing, { minLength: 5, maxLength: 5 }),
    minIsr: fc.integer({ min: 1, max: 5 }),
    inSync: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
  })
  .map(({ replicas, nodes, minIsr, inSync }) => {
    const list = ids(...replicas);
    const empty = { elr: [], lastKnownElr: [], lossy: [], leader: null };
    const whole: Membership = { replicas: list, isr: list, ...empty };
    const rules = { minIsr: Math.min(minIsr, list.length), standingOf: (id: NodeId) => nodes[id - 1] ?? 'fenced' };
    const membership = elect(
      withIsr(
        whole,
        list.filter((id) => inSync[id - 1]),
        rules.minIsr,
      ),
      rules,
    );
    return { membership, rules };
  });

const stateOf = (membership: Membership): PartitionState => ({
  topicId: topicId('0'.repeat(32)),
  partition: partitionIndex(0),
  refilling: [],
  recoveredEpoch: null,
  leaderEpoch: leaderEpoch(4),
  partitionEpoch: partitionEpoch(7),
  ...membership,
});

const complete = ({ replicas, isr, elr }: Membership): readonly NodeId[] =>
  replicas.filter((id) => isr.includes(id) || elr.includes(id));

/** The rules that hold after every decision, and that nobody is passed over who could lead. */
function checkSettled(after: Membership, { minIsr, standingOf }: Electorate): void {
  expect(partitionFault(stateOf(after), minIsr)).toBeUndefined();
  const { leader } = after;
  const passedOver = complete(after).filter((id) => leader === null && standingOf(id) === 'electable');
  expect(passedOver).toEqual([]);
  expect(leader === null || standingOf(leader) !== 'fenced').toBe(true);
}

const lostOnes = fc.shuffledSubarray([1, 2, 3, 4, 5]);

test('E2: whoever leaves an ISR that falls below minIsr may lead still; from minIsr on nobody else may', () => {
  fc.assert(
    fc.property(anyPartition, lostOnes, ({ membership, rules }, lost) => {
      const isGone = (id: NodeId): boolean => lost.includes(id);
      const standingOf = (id: NodeId): Standing => (isGone(id) ? 'fenced' : rules.standingOf(id));
      const after = withoutNodes(membership, isGone, { ...rules, standingOf });
      checkSettled(after, { ...rules, standingOf });
      const kept = membership.isr.filter((id) => !isGone(id));
      const isBelow = kept.length < rules.minIsr;
      expect(complete(after)).toEqual(
        isBelow ? complete(membership) : membership.replicas.filter((id) => kept.includes(id)),
      );
    }),
  );
});

test('E2, E4: who drains or whose disk hangs leaves, but leads on where nobody else can', () => {
  fc.assert(
    fc.property(anyPartition, fc.constantFrom(...ids(1, 2, 3, 4, 5)), ({ membership, rules }, leaving) => {
      const standingOf = (id: NodeId): Standing => {
        const before = rules.standingOf(id);
        return id === leaving && before === 'electable' ? 'lastResort' : before;
      };
      const after = withoutMember(membership, leaving, { ...rules, standingOf });
      checkSettled(after, { ...rules, standingOf });
      if (!after.isr.includes(leaving)) return;
      expect(after).toEqual(membership);
      expect(after.leader === null || after.leader === leaving).toBe(true);
    }),
  );
});

test('E3: a lossy replica is neither in sync nor eligible, is marked while the ISR is below minIsr, and never leads', () => {
  fc.assert(
    fc.property(anyPartition, lostOnes, ({ membership, rules }, lossyOnes) => {
      let after = membership;
      const returned = new Set<number>();
      for (const id of lossyOnes) {
        returned.add(id);
        const standingOf = (other: NodeId): Standing => (other === id ? 'fenced' : rules.standingOf(other));
        after = withoutLossy(after, nodeId(id), { ...rules, standingOf });
        checkSettled(after, { ...rules, standingOf });
        for (const member of complete(after)) expect(returned.has(member)).toBe(false);
        for (const member of after.lastKnownElr) expect(after.lossy.includes(member)).toBe(returned.has(member));
        // Once up again they still are not electable.
        const { leader } = elect(after, { ...rules, standingOf: () => 'electable' });
        expect(leader === null || !returned.has(leader)).toBe(true);
      }
    }),
  );
});

test('E5: of those that stopped uncleanly the last one stays and may lead; nobody is marked', () => {
  fc.assert(
    fc.property(anyPartition, lostOnes, ({ membership, rules }, uncleanOnes) => {
      let after = membership;
      for (const id of uncleanOnes) {
        const standingOf = (other: NodeId): Standing => (other === id ? 'fenced' : rules.standingOf(other));
        // It was fenced before it registered.
        after = withoutUnclean(elect(after, { ...rules, standingOf }), nodeId(id), { ...rules, standingOf });
        checkSettled(after, { ...rules, standingOf });
      }
      expect(after.lossy).toEqual([]);
      expect(complete(after)).toContain(
        elect({ ...after, leader: null }, { ...rules, standingOf: () => 'electable' }).leader,
      );
    }),
  );
});

test('E5: it is the last one also when all others are lossy', () => {
  const partition = partitionOf({ elr: [2], lastKnownElr: [1], lossy: [1] });
  expect(withoutUnclean(partition, nodeId(2), electorate())).toBe(partition);
});

test('M4: a change counts its epochs, no change is no record', () => {
  const before = stateOf(partitionOf({ isr: [1, 2], leader: 1 }));
  expect(partitionChange(before, { ...before, isr: ids(1, 2) })).toBeUndefined();
  const shrunk = partitionChange(before, { ...before, isr: ids(1), elr: ids(2) });
  expect(shrunk).toMatchObject({ isr: [1], elr: [2], leaderEpoch: 4, partitionEpoch: 8 });
  expect(shrunk).not.toHaveProperty('lossy');
  const moved = partitionChange(before, { ...before, leader: null });
  expect(moved).toMatchObject({ leader: null, leaderEpoch: 5, partitionEpoch: 8 });
  expect(moved).not.toHaveProperty('isr');
});
