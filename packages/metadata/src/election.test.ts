import { leaderEpoch, nodeId, partitionEpoch, partitionIndex, topicId } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { electLeader, partitionChange, withoutLossy, withoutNodes, withoutUnclean } from './election.ts';
import type { Membership, PhaseOf } from './election.ts';
import type { NodePhase, PartitionState } from './state.ts';

const ids = (...values: readonly number[]): readonly NodeId[] => values.map(nodeId);
const phases =
  (given: Readonly<Record<number, NodePhase>>): PhaseOf =>
  (id) =>
    given[id] ?? 'up';

interface Row {
  readonly what: string;
  readonly isr: readonly number[];
  readonly lossy?: readonly number[];
  readonly leader: number | null;
  readonly nodes: Readonly<Record<number, NodePhase>>;
  readonly elected: number | null;
}

// Replicas are 1, 2, 3 in assignment order.
const rows: readonly Row[] = [
  { what: 'a valid leader stays', isr: [1, 2, 3], leader: 2, nodes: {}, elected: 2 },
  { what: 'first in assignment order', isr: [3, 2], leader: null, nodes: {}, elected: 2 },
  { what: 'only from the ISR', isr: [3], leader: null, nodes: {}, elected: 3 },
  { what: 'a fenced leader goes', isr: [1, 2, 3], leader: 1, nodes: { 1: 'fenced' }, elected: 2 },
  {
    what: 'a fenced replica is passed over',
    isr: [1, 2, 3],
    leader: 1,
    nodes: { 1: 'fenced', 2: 'fenced' },
    elected: 3,
  },
  { what: 'nobody', isr: [1, 2], leader: 1, nodes: { 1: 'fenced', 2: 'fenced' }, elected: null },
  { what: 'a draining leader goes', isr: [1, 2], leader: 1, nodes: { 1: 'draining' }, elected: 2 },
  { what: 'or leads on alone', isr: [1, 2], leader: 1, nodes: { 1: 'draining', 2: 'fenced' }, elected: 1 },
  { what: 'draining is never newly elected', isr: [1], leader: null, nodes: { 1: 'draining' }, elected: null },
  { what: 'a lossy one is never elected', isr: [1], lossy: [1], leader: null, nodes: {}, elected: null },
];

describe('E1: election order (D15)', () => {
  test.each(rows)('$what', ({ isr, lossy = [], leader, nodes, elected }) => {
    const partition: Membership = {
      replicas: ids(1, 2, 3),
      isr: ids(...isr),
      lossy: ids(...lossy),
      leader: leader === null ? null : nodeId(leader),
    };
    expect(electLeader(partition, phases(nodes))).toBe(elected);
  });
});

const phase = fc.constantFrom<NodePhase>('up', 'fenced', 'draining');
const anyPartition = fc
  .tuple(
    fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 1 }),
    fc.array(phase, { minLength: 5, maxLength: 5 }),
    fc.nat(),
  )
  .chain(([replicas, nodes, pick]) =>
    fc.shuffledSubarray(replicas, { minLength: 1 }).map((isr) => {
      const phaseOf: PhaseOf = (id) => nodes[id - 1] ?? 'fenced';
      const candidates = isr.filter((id) => phaseOf(nodeId(id)) !== 'fenced');
      const leader = candidates[pick % Math.max(1, candidates.length)];
      const membership: Membership = {
        replicas: ids(...replicas),
        isr: ids(...isr),
        lossy: [],
        leader: leader === undefined ? null : nodeId(leader),
      };
      return { membership, phaseOf };
    }),
  );

test('E2: the ISR is never empty, and shrinks only under a leader', () => {
  fc.assert(
    fc.property(anyPartition, fc.subarray([1, 2, 3, 4, 5]), ({ membership, phaseOf }, lost) => {
      const after: PhaseOf = (id) => (lost.includes(id) ? 'fenced' : phaseOf(id));
      const { isr, leader } = withoutNodes(membership, (id) => lost.includes(id), after);
      expect(isr.length).toBeGreaterThan(0);
      const remaining = membership.isr.filter((id) => !lost.includes(id));
      expect(isr).toEqual(leader === null ? membership.isr : remaining);
      expect(leader === null || (isr.includes(leader) && after(leader) !== 'fenced')).toBe(true);
    }),
  );
});

test('E3: a lossy replica leaves the ISR or is marked in it, and never leads', () => {
  fc.assert(
    fc.property(anyPartition, fc.shuffledSubarray([1, 2, 3, 4, 5]), ({ membership, phaseOf }, lossyOnes) => {
      let after = membership;
      const returned = new Set<number>();
      for (const id of lossyOnes) {
        returned.add(id);
        after = withoutLossy(after, nodeId(id), (other) => (other === id ? 'fenced' : phaseOf(other)));
        expect(after.isr.length).toBeGreaterThan(0);
        for (const member of after.isr) expect(after.lossy.includes(member)).toBe(returned.has(member));
        // Once up again they still are not electable.
        const elected = electLeader(after, () => 'up');
        expect(elected === null || !returned.has(elected)).toBe(true);
      }
    }),
  );
});

test('E5: of those that stopped uncleanly the last one stays and may lead; nobody is marked', () => {
  fc.assert(
    fc.property(anyPartition, fc.shuffledSubarray([1, 2, 3, 4, 5]), ({ membership, phaseOf }, uncleanOnes) => {
      let after = membership;
      for (const id of uncleanOnes) {
        after = withoutUnclean(after, nodeId(id), (other) => (other === id ? 'fenced' : phaseOf(other)));
      }
      const clean = membership.isr.filter((id) => !uncleanOnes.includes(id));
      const last = uncleanOnes.findLast((id) => membership.isr.includes(nodeId(id)));
      expect(after.isr).toEqual(clean.length > 0 ? clean : [last]);
      expect(after.lossy).toEqual([]);
      expect(after.isr).toContain(electLeader({ ...after, leader: null }, () => 'up'));
    }),
  );
});

test('E5: it is not the last one while a lossy replica is all that would be left', () => {
  const partition: Membership = { replicas: ids(1, 2), isr: ids(1, 2), lossy: ids(1), leader: null };
  expect(withoutUnclean(partition, nodeId(2), phases({}))).toBe(partition);
});

test('M4: a change counts its epochs, no change is no record', () => {
  const before: PartitionState = {
    topicId: topicId('0'.repeat(32)),
    partition: partitionIndex(0),
    replicas: ids(1, 2),
    isr: ids(1, 2),
    elr: [],
    lastKnownElr: [],
    lossy: [],
    refilling: [],
    leader: nodeId(1),
    leaderEpoch: leaderEpoch(4),
    partitionEpoch: partitionEpoch(7),
  };
  expect(partitionChange(before, { ...before, isr: ids(1, 2) })).toBeUndefined();
  expect(partitionChange(before, { ...before, isr: ids(1) })).toMatchObject({ leaderEpoch: 4, partitionEpoch: 8 });
  const moved = partitionChange(before, { ...before, leader: null });
  expect(moved).toMatchObject({ leader: null, leaderEpoch: 5, partitionEpoch: 8 });
  expect(moved).not.toHaveProperty('isr');
});
