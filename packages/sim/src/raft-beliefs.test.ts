/** Each belief, wrong by hand. */
import { logIndex, term } from '@sluice/base';
import { memberId } from '@sluice/raft';
import type { Raft } from '@sluice/raft';
import { expect, test } from 'vitest';
import { RaftBeliefs } from './raft-beliefs.ts';

interface Said {
  readonly name?: string;
  readonly role?: 'leader' | 'candidate' | 'follower';
  readonly term?: number;
  /** Term of each entry. */
  readonly log?: readonly number[];
  /** Where the voters in effect come from; 0: the birth. */
  readonly votersFrom?: number;
  /** Indexes of entries that change the voters. */
  readonly changes?: readonly number[];
  readonly leader?: string;
  readonly round?: number;
  readonly peers?: readonly { readonly peer: string; readonly matchIndex: number; readonly roundAnswered?: number }[];
  readonly contactMs?: number;
  /** Default: it steps whenever it has to. */
  readonly nextTickAtMs?: number;
}

function member(said: Said): Raft {
  const { name = 'a', log = [], role = 'follower' } = said;
  const termAt = (index: number) => (log[index - 1] === undefined ? undefined : term(log[index - 1] ?? 0));
  const fake = {
    self: memberId(name),
    role,
    isLeader: role === 'leader',
    term: term(said.term ?? log.at(-1) ?? 1),
    leader: said.leader === undefined ? undefined : memberId(said.leader),
    membership: { index: logIndex(said.votersFrom ?? 0) },
    firstIndex: 1,
    lastIndex: logIndex(log.length),
    termAt,
    entryAt: (index: number) =>
      termAt(index) === undefined
        ? undefined
        : { kind: said.changes?.includes(index) === true ? 'membership' : 'command' },
    round: said.round ?? 0,
    peers: (said.peers ?? []).map((peer) => ({ roundAnswered: 0, ...peer, peer: memberId(peer.peer), isVoter: true })),
    nextTickAtMs: said.nextTickAtMs ?? Number.POSITIVE_INFINITY,
    quorumContactMs: role === 'leader' ? (said.contactMs ?? 0) : undefined,
  };
  return fake as unknown as Raft;
}

test('V12: a vote for one whose log ends in an older term, or is shorter', () => {
  const voteFor = (asked: readonly number[], voter: Said) => () => {
    const beliefs = new RaftBeliefs();
    beliefs.observe(member({ name: 'b', role: 'candidate', term: 5, log: asked }));
    beliefs.onVote(member({ term: 5, ...voter }), memberId('b'), 5);
  };
  expect(voteFor([1, 1, 1], { log: [1, 2] })).toThrow('vote-for-complete');
  expect(voteFor([1], { log: [1, 1] })).toThrow('vote-for-complete');
  expect(voteFor([1, 2], { log: [1, 1, 1] })).not.toThrow();
  expect(voteFor([1, 1], { log: [1, 1] })).not.toThrow();
  // What the winner has sent it since.
  expect(voteFor([1], { log: [1, 5], leader: 'b' })).not.toThrow();
});

test('V13: voters of an entry that is not there, or is another', () => {
  const seen = (said: Said) => () => new RaftBeliefs().observe(member(said));
  expect(seen({ log: [1, 1], votersFrom: 3 })).toThrow('voters-of-own-log');
  expect(seen({ log: [1, 1], votersFrom: 2 })).toThrow('voters-of-own-log');
  expect(seen({ log: [1, 1], votersFrom: 2, changes: [2] })).not.toThrow();
});

test('V14: an entry that a voter does not have, and an answer to what was not asked', () => {
  const leads = (peer: { matchIndex: number; roundAnswered?: number }, follower: Said) => () => {
    const leader = member({ role: 'leader', log: [1, 2, 2], round: 7, peers: [{ peer: 'b', ...peer }] });
    new RaftBeliefs().onLeader(leader, [leader, member({ name: 'b', term: 2, ...follower })]);
  };
  expect(leads({ matchIndex: 3 }, { log: [1, 2] })).toThrow('true-of-peers');
  expect(leads({ matchIndex: 2 }, { log: [1, 1] })).toThrow('true-of-peers');
  expect(leads({ matchIndex: 2 }, { log: [1, 2] })).not.toThrow();
  // Of another term: it may have been told to cut its log.
  expect(leads({ matchIndex: 2 }, { log: [1, 3], term: 3 })).not.toThrow();
  expect(leads({ matchIndex: 0, roundAnswered: 8 }, {})).toThrow('true-of-peers');
  expect(leads({ matchIndex: 0, roundAnswered: 7 }, {})).not.toThrow();
});

test('V15: a leader that is alone for long', () => {
  const beliefs = new RaftBeliefs();
  const leader = member({ role: 'leader', contactMs: 100 });
  const look = (nowMs: number) => () => beliefs.lookAt(1, leader, { nowMs, aloneMsMax: 1000 });
  expect(look(1100)).not.toThrow();
  // What is due may be next.
  expect(look(1200)).not.toThrow();
  expect(look(1300)).not.toThrow();
  expect(look(1500)).toThrow('check-quorum');
  beliefs.forget(1);
  expect(look(1600)).not.toThrow();
});

test('V15: who steps no more leads nobody', () => {
  const beliefs = new RaftBeliefs();
  const stopped = member({ role: 'leader', contactMs: 100, nextTickAtMs: 150 });
  const look = (nowMs: number) => () => beliefs.lookAt(1, stopped, { nowMs, aloneMsMax: 1000 });
  expect(look(1200)).not.toThrow();
  expect(look(2000)).not.toThrow();
});
