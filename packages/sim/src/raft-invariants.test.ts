/** Each invariant, broken by hand: a group of members that say of themselves what the test wants. */
import { logIndex, term } from '@sluice/base';
import { memberId } from '@sluice/raft';
import type { Entry, Raft } from '@sluice/raft';
import { expect, test } from 'vitest';
import { RaftInvariants } from './raft-invariants.ts';
import type { ObservedMember } from './raft-invariants.ts';
import { Violation } from './violation.ts';

interface Said {
  name?: string;
  role?: 'leader' | 'follower';
  term?: number;
  /** Term of each entry. */
  log?: readonly number[];
  /** Indexes of entries that change the voters. */
  changes?: readonly number[];
  votedFor?: string;
  isDamaged?: boolean;
  commit?: number;
  delivered?: number;
  durable?: number;
  applied?: number;
  digest?: string;
  votingAllowed?: boolean;
}

/** A new life every time unless `raft` is taken over from an earlier one. */
function member(said: Said, life?: ObservedMember): ObservedMember {
  const { name = 'a', log = [], commit = 0, delivered = commit } = said;
  const state = {
    self: memberId(name),
    isLeader: said.role === 'leader',
    role: said.role ?? 'follower',
    membership: { index: 0 },
    peers: [],
    term: term(said.term ?? log.at(-1) ?? 1),
    commitIndex: commit,
    deliveredIndex: delivered,
    lastIndex: log.length,
    durableIndex: said.durable ?? log.length,
    firstIndex: 1,
    votingAllowed: said.votingAllowed ?? true,
    votedFor: said.votedFor === undefined ? undefined : memberId(said.votedFor),
    isVoter: true,
    voters: ['a', 'b', 'c'].map(memberId),
    entryAt: (index: number): Entry | undefined => {
      const entryTerm = log[index - 1];
      if (entryTerm === undefined) return undefined;
      const kind = said.changes?.includes(index) === true ? 'membership' : 'command';
      return { index: logIndex(index), term: term(entryTerm), kind, payload: new Uint8Array(0) };
    },
  };
  const raft = life === undefined ? state : Object.assign(life.raft, state);
  return {
    node: name.charCodeAt(0),
    raft: raft as unknown as Raft,
    appliedIndex: said.applied ?? delivered,
    digest: () => said.digest ?? 'same',
    isDamaged: said.isDamaged ?? false,
  };
}

/** What is seen after each event, in order; the same name without `again` goes on with its life. */
function seen(...events: readonly (readonly (Said & { again?: true })[])[]): string {
  const invariants = new RaftInvariants();
  const lives = new Map<string, ObservedMember>();
  try {
    for (const event of events) {
      const observed = event.map((said) => {
        const name = said.name ?? 'a';
        const known = said.again === true ? undefined : lives.get(name);
        const made = member(said, known);
        lives.set(name, made);
        return made;
      });
      invariants.afterEvent(observed);
    }
    return 'nothing';
  } catch (error) {
    if (error instanceof Violation) return error.invariant;
    throw error;
  }
}

const [a, b] = [{ name: 'a' }, { name: 'b' }];
const leads = { role: 'leader' } as const;

test('a group that does everything right', () => {
  const follower = { ...b, log: [1, 1] };
  expect(
    seen(
      [
        { ...a, ...leads, term: 1, log: [1], commit: 0 },
        { ...b, log: [1] },
      ],
      [{ ...a, ...leads, term: 1, log: [1, 1], commit: 2 }, follower],
      [{ ...follower, commit: 2 }],
      [{ ...follower, ...leads, term: 2, log: [1, 1, 2], commit: 2 }],
      [{ ...a, term: 2, log: [1, 1, 2], again: true }],
    ),
  ).toBe('nothing');
});

test.each([
  [
    'election-safety',
    [
      [
        { ...a, ...leads, term: 3 },
        { ...b, ...leads, term: 3 },
      ],
    ],
  ],
  ['leader-append-only', [[{ ...a, ...leads, term: 1, log: [1, 1] }], [{ ...a, ...leads, term: 1, log: [1] }]]],
  [
    'leader-completeness',
    [
      [
        { ...a, log: [1, 1], commit: 2 },
        { ...b, log: [1, 1] },
      ],
      [{ ...b, ...leads, term: 2, log: [1, 2] }],
    ],
  ],
  [
    'log-matching',
    [
      [
        { ...a, log: [1, 1], commit: 2 },
        { ...b, log: [1, 1] },
      ],
      [{ ...b, log: [1, 2], commit: 2 }],
    ],
  ],
  ['monotonic', [[{ ...a, term: 5 }], [{ ...a, term: 4 }]]],
  [
    'monotonic',
    [
      [
        { ...a, log: [1], commit: 1 },
        { ...b, log: [1] },
      ],
      [{ ...a, log: [1], commit: 0 }],
    ],
  ],
  ['log-order', [[{ ...a, log: [1], commit: 2 }]]],
  ['log-order', [[{ ...a, log: [1, 1], commit: 2, delivered: 2, durable: 1 }]]],
  [
    'log-order',
    [
      [
        { ...a, log: [1, 1], commit: 1, applied: 2 },
        { ...b, log: [1, 1] },
      ],
    ],
  ],
  [
    'committed-is-durable',
    [
      [
        { ...a, log: [1], commit: 1 },
        { ...b, log: [1], durable: 0 },
      ],
    ],
  ],
  [
    'committed-is-durable',
    [
      [
        { ...a, log: [1, 1], commit: 2 },
        { ...b, log: [1, 1] },
      ],
      [{ ...a, log: [1], term: 1, again: true as const }],
    ],
  ],
  [
    'own-term-commit',
    [
      [
        { ...a, ...leads, term: 2, log: [1, 2] },
        { ...b, log: [1, 2] },
      ],
      [{ ...a, ...leads, term: 2, log: [1, 2], commit: 1 }],
    ],
  ],
  [
    'one-change-at-a-time',
    [
      [
        { ...a, ...leads, term: 1, log: [1, 1], commit: 1, changes: [2] },
        { ...b, log: [1, 1] },
      ],
      [{ ...a, ...leads, term: 1, log: [1, 1, 1], commit: 1, changes: [2, 3] }],
    ],
  ],
  [
    'change-after-own-term',
    [
      [
        { ...a, log: [1], commit: 1 },
        { ...b, log: [1] },
      ],
      [{ ...b, ...leads, term: 2, log: [1, 2, 2], commit: 1, changes: [3] }],
    ],
  ],
  ['no-doubt-without-damage', [[{ ...a, votingAllowed: false }]]],
  ['no-doubt-without-damage', [[{ ...a }], [{ ...a, votingAllowed: false }]]],
  [
    'state-machine-safety',
    [
      [
        { ...a, log: ones(16), commit: 16, digest: 'one' },
        { ...b, log: ones(16), term: 1 },
      ],
      [{ ...b, log: ones(16), commit: 16, digest: 'other' }],
    ],
  ],
] as const)('%s is seen to be broken', (invariant, events) => {
  expect(seen(...(events as unknown as readonly (readonly Said[])[]))).toBe(invariant);
});

test('a late vote makes a leader of an older term, which lacks what a newer one committed', () => {
  expect(
    seen(
      [
        { ...a, ...leads, term: 3, log: [1, 3], commit: 2 },
        { ...b, term: 3, log: [1, 3] },
        { name: 'c', log: [1] },
      ],
      [{ name: 'c', ...leads, term: 2, log: [1, 2] }],
    ),
  ).toBe('nothing');
});

test('a member that says itself that it lost its log, and one that the run robbed, are forgiven', () => {
  const committed = [
    { ...a, log: [1, 1], commit: 2 },
    { ...b, log: [1, 1] },
  ];
  expect(seen(committed, [{ ...a, log: [], term: 1, votingAllowed: false, isDamaged: true, again: true }])).toBe(
    'nothing',
  );
  const invariants = new RaftInvariants();
  invariants.afterEvent(committed.map((said) => member(said)));
  invariants.forgive(memberId('a'));
  expect(() => invariants.afterEvent([member({ ...a, term: 1 })])).not.toThrow();
});

test('one vote a term, over all lives', () => {
  const invariants = new RaftInvariants();
  const [voter, one, other] = [memberId('a'), memberId('b'), memberId('c')];
  invariants.onVote(voter, one, 2);
  invariants.onVote(voter, other, 3);
  invariants.onVote(voter, one, 2);
  expect(() => invariants.onVote(voter, other, 2)).toThrow('one-vote');
});

test('a vote that was given is known after a restart, in its term', () => {
  const invariants = new RaftInvariants();
  invariants.onVote(memberId('a'), memberId('b'), 2);
  const restarted = (said: Said) => () => invariants.afterEvent([member({ ...a, log: [1], ...said })]);
  expect(restarted({ term: 1 })).toThrow('vote-is-durable');
  expect(restarted({ term: 2 })).toThrow('vote-is-durable');
  expect(restarted({ term: 2, votedFor: 'b' })).not.toThrow();
  expect(restarted({ term: 3 })).not.toThrow();
});

function ones(count: number): readonly number[] {
  return Array.from({ length: count }, () => 1);
}
