import { logIndex, SeededRandom, term } from '@sluice/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memberId } from './messages.ts';
import type { MemberId } from './messages.ts';
import { isQuorum, isUpToDate, quorumSize, quorumValue } from './quorum.ts';

const runs = { numRuns: 5000 };
/** Even and odd numbers of voters; few different values, so that many are equal. */
const values = fc.array(fc.nat(12), { minLength: 1, maxLength: 9 });

/** Naive: the highest value that more than half have reached, found by trying. */
function naiveQuorumValue(reached: readonly number[]): number {
  for (let value = Math.max(...reached); ; value -= 1) {
    const holders = reached.filter((other) => other >= value).length;
    if (holders > reached.length / 2) return value;
  }
}

/** Naive: all subsets of so many voters. */
function subsets(voters: number, size: number): readonly ReadonlySet<number>[] {
  const all: ReadonlySet<number>[] = [];
  for (let bits = 0; bits < 2 ** voters; bits += 1) {
    const members = Array.from({ length: voters }, (_, at) => at).filter((at) => Math.floor(bits / 2 ** at) % 2 === 1);
    if (members.length === size) all.push(new Set(members));
  }
  return all;
}

test('what a quorum has reached (commit index, contact, round of heartbeats) is the highest value of more than half', () => {
  fc.assert(
    fc.property(values, (reached) => {
      expect(quorumValue(reached)).toBe(naiveQuorumValue(reached));
    }),
    runs,
  );
});

test('the order of the voters is no matter, and one more match never lowers it', () => {
  fc.assert(
    fc.property(values, fc.nat(8), fc.nat(5), (reached, who, more) => {
      expect(quorumValue(reached.toReversed())).toBe(quorumValue(reached));
      const raised = reached.map((value, at) => (at === who % reached.length ? value + more : value));
      expect(quorumValue(raised)).toBeGreaterThanOrEqual(quorumValue(reached) ?? 0);
    }),
    runs,
  );
});

test('without voters nothing is reached and nobody is elected', () => {
  expect(quorumValue([])).toBeUndefined();
  expect(isQuorum([], new Set([memberId('a')]))).toBe(false);
});

const ids = Array.from({ length: 10 }, (_, at) => memberId(`m${at}`));
const someIds = fc.uniqueArray(fc.constantFrom(...ids), { maxLength: ids.length });

test('grants are a quorum when they are more than half of the voters; those of others count for nothing', () => {
  fc.assert(
    fc.property(someIds, someIds, (voters, granting) => {
      let balance = 0;
      for (const voter of voters) balance += granting.includes(voter) ? 1 : -1;
      expect(isQuorum(voters, new Set(granting))).toBe(balance > 0);
    }),
    runs,
  );
});

test.each([1, 2, 3, 4, 5, 6, 7])('any two quorums of %d voters meet, and any of one voter more or less', (voters) => {
  const quorums = subsets(voters, quorumSize(voters));
  const larger = subsets(voters + 1, quorumSize(voters + 1));
  const meet = (left: ReadonlySet<number>, right: ReadonlySet<number>): boolean => !left.isDisjointFrom(right);
  expect(quorums.every((left) => quorums.every((right) => meet(left, right)))).toBe(true);
  expect(quorums.every((left) => larger.every((right) => meet(left, right)))).toBe(true);
  // And no fewer do.
  const fewer = subsets(voters, quorumSize(voters) - 1);
  expect(fewer.every((left) => fewer.every((right) => meet(left, right)))).toBe(false);
});

const logEnd = fc.record({ lastIndex: fc.nat(6).map(logIndex), lastTerm: fc.nat(4).map(term) });

test('up-to-date is the lexicographic order of (last term, last index)', () => {
  const key = (end: { readonly lastIndex: number; readonly lastTerm: number }): string =>
    `${String(end.lastTerm).padStart(3, '0')} ${String(end.lastIndex).padStart(3, '0')}`;
  fc.assert(
    fc.property(logEnd, logEnd, (candidate, voter) => {
      expect(isUpToDate(candidate, voter)).toBe(key(candidate) >= key(voter));
    }),
    runs,
  );
});

/** A membership as the log would change it, one voter at a time. */
const changes = fc.array(fc.constantFrom<MemberId>(...ids), { maxLength: 20 });

test('whoever a quorum of one membership holds is known to any quorum of the next, along any way of single changes', () => {
  fc.assert(
    fc.property(changes, fc.nat(), (steps, seed) => {
      const random = new SeededRandom(seed);
      let voters: readonly MemberId[] = ids.slice(0, 3);
      for (const who of steps) {
        const next = voters.includes(who) ? voters.filter((id) => id !== who) : [...voters, who];
        if (next.length === 0) continue;
        const shuffled = (all: readonly MemberId[]): readonly MemberId[] =>
          all
            .map((id) => ({ id, at: random.nextUint32() }))
            .toSorted((a, b) => a.at - b.at)
            .map(({ id }) => id);
        const held = shuffled(voters).slice(0, quorumSize(voters.length));
        const asked = new Set(shuffled(next).slice(0, quorumSize(next.length)));
        expect(held.some((id) => asked.has(id))).toBe(true);
        voters = next;
      }
    }),
    { numRuns: 1000 },
  );
});
