import { directoryId, logIndex, nodeId, term } from '@sluice/base';
import type { SluiceError } from '@sluice/base';
import type { Entry, MemberId, MembershipChange, MembershipChangeOutcome, Raft } from '@sluice/raft';
import { expect, test } from 'vitest';
import { memberOf } from './members.ts';
import { VoterChanges } from './voter-changes.ts';

const member = (node: number, directory: string): MemberId =>
  memberOf({ nodeId: nodeId(node), directoryId: directoryId(directory.repeat(32)) });

const nowMs = 100_000;
const contactMsMax = 2_000;

interface Seen {
  readonly member: MemberId;
  readonly isVoter: boolean;
  /** Ms ago. */
  readonly heard: number;
}

/** A leader, node 1 with directory a, as `VoterChanges` sees one. */
class Leader {
  readonly changes: MembershipChange[] = [];
  outcome: MembershipChangeOutcome = { outcome: 'accepted', index: logIndex(7), term: term(3) };
  commitIndex = 6;
  seen: readonly Seen[] = [];
  readonly voters: VoterChanges;

  constructor() {
    this.voters = new VoterChanges({
      raft: () => this.#raft(),
      change: (change) => {
        this.changes.push(change);
        return this.outcome;
      },
      announced: () => ({ incarnation: '', address: 'h:1', isController: true, votesRevoked: false }),
      addressesOf: () => ['h:1'],
      nowMs: () => nowMs,
      contactMsMax,
    });
  }

  #raft(): Raft {
    const self = member(1, 'a');
    const peers = this.seen.map(({ member: peer, isVoter, heard }) => ({
      peer,
      isVoter,
      matchIndex: 6,
      lastContactMs: nowMs - heard,
    }));
    const entryAt = (index: number): Pick<Entry, 'term'> => ({ term: term(index === 7 ? 3 : 1) });
    const raft: Partial<Record<keyof Raft, unknown>> = {
      self,
      isLeader: true,
      voters: [self, ...peers.filter(({ isVoter }) => isVoter).map(({ peer }) => peer)],
      peers,
      lastIndex: 6,
      durableIndex: 6,
      deliveredIndex: 6,
      commitIndex: this.commitIndex,
      votingAllowed: true,
      entryAt,
    };
    return raft as unknown as Raft;
  }
}

const ended = (index: number, inTerm: number): Entry => ({
  index: logIndex(index),
  term: term(inTerm),
  kind: 'membership',
  payload: new Uint8Array(),
});

const failure = async (promise: Promise<unknown>): Promise<SluiceError> => {
  try {
    await promise;
  } catch (error) {
    return error as SluiceError;
  }
  throw new Error('it was done');
};

const two = { member: member(2, 'b'), isVoter: true, heard: 10 };
const three = { member: member(3, 'c'), isVoter: true, heard: 10 };

test('of two directories of a node the one that does not answer is removed', async () => {
  const leader = new Leader();
  leader.seen = [{ ...two, heard: contactMsMax + 1 }, { ...two, member: member(2, 'd') }, three];
  const removed = leader.voters.remove(nodeId(2), '');
  leader.voters.onCommitted(ended(7, 3));
  expect((await removed).changed?.directoryId).toBe('b'.repeat(32));
  expect(leader.changes).toEqual([{ remove: member(2, 'b') }]);
});

test.each([
  ['both answer', 10],
  ['neither answers', contactMsMax + 1],
])('of two directories of a node one must be named when %s', async (_what, heard) => {
  const leader = new Leader();
  leader.seen = [
    { ...two, heard },
    { ...two, member: member(2, 'd'), heard },
    three,
    { ...three, member: member(4, 'e') },
  ];
  expect((await failure(leader.voters.remove(nodeId(2), ''))).code).toBe('INVALID_REQUEST');
  expect(leader.changes).toEqual([]);
  void leader.voters.remove(nodeId(2), 'd'.repeat(32));
  expect(leader.changes).toEqual([{ remove: member(2, 'd') }]);
});

test('of two directories that follow, the one that answered last is added', async () => {
  const leader = new Leader();
  leader.seen = [
    { member: member(2, 'b'), isVoter: false, heard: 900 },
    { member: member(2, 'd'), isVoter: false, heard: 20 },
  ];
  const added = leader.voters.add(nodeId(2));
  leader.voters.onCommitted(ended(7, 3));
  expect((await added).changed?.directoryId).toBe('d'.repeat(32));
});

test('a node whose other directory votes is not added, whether that one answers or not', async () => {
  const leader = new Leader();
  for (const heard of [10, contactMsMax + 1]) {
    leader.seen = [{ ...two, heard }, three, { member: member(2, 'd'), isVoter: false, heard: 20 }];
    const refused = await failure(leader.voters.add(nodeId(2)));
    expect(refused).toMatchObject({ code: 'OTHER_DIRECTORY_VOTES', definite: true, retryable: false });
    expect(refused.message).toContain(`sluice node remove 2 --directory ${'b'.repeat(32)}`);
  }
  expect(leader.changes).toEqual([]);
});

test('a node whose old directory votes and is silent is waited for; one that nobody heard of is unknown', async () => {
  const leader = new Leader();
  leader.seen = [{ ...two, heard: contactMsMax + 1 }, three];
  expect((await failure(leader.voters.add(nodeId(2)))).code).toBe('VOTER_NOT_CAUGHT_UP');
  expect((await failure(leader.voters.add(nodeId(3)))).code).toBe('ALREADY_A_VOTER');
  expect((await failure(leader.voters.add(nodeId(9)))).code).toBe('UNKNOWN_NODE');
  // Who leads for a moment only has not been found by everybody.
  leader.voters.lead();
  expect((await failure(leader.voters.add(nodeId(9)))).code).toBe('VOTER_NOT_CAUGHT_UP');
});

test('an end of the leadership before the commit is indefinite; another entry in its place as well', async () => {
  const leader = new Leader();
  leader.seen = [two, three];
  const lost = failure(leader.voters.remove(nodeId(2), ''));
  leader.voters.stepDown();
  expect(await lost).toMatchObject({ code: 'CONTROLLER_CHANGED', definite: false });
  const overwritten = failure(leader.voters.remove(nodeId(2), ''));
  leader.voters.onCommitted(ended(7, 4));
  expect(await overwritten).toMatchObject({ code: 'CONTROLLER_CHANGED', definite: false });
});

test('a leader that ends by the commit of its own removal has done it', async () => {
  const leader = new Leader();
  leader.seen = [two, three];
  const removed = leader.voters.remove(nodeId(1), '');
  leader.commitIndex = 7;
  leader.voters.stepDown();
  expect(await removed).toMatchObject({ metadataOffset: 7, changed: { nodeId: 1 } });
});

test('changes that a quorum has committed and this disk has not are each answered', async () => {
  const leader = new Leader();
  leader.seen = [two, three];
  const first = leader.voters.remove(nodeId(2), '');
  // Committed by the disks of the others: raft takes the next change, and nothing is applied here yet.
  leader.outcome = { outcome: 'accepted', index: logIndex(8), term: term(3) };
  const second = leader.voters.remove(nodeId(3), '');
  leader.voters.onCommitted(ended(7, 3));
  leader.voters.onCommitted(ended(8, 3));
  expect(await second).toMatchObject({ metadataOffset: 8 });
  expect(await first).toMatchObject({ metadataOffset: 7 });
});

test.each([
  ['change-under-way', 'VOTER_CHANGE_UNDER_WAY', true],
  ['own-term-uncommitted', 'VOTER_CHANGE_UNDER_WAY', true],
  ['transfer-under-way', 'VOTER_CHANGE_UNDER_WAY', true],
  ['not-caught-up', 'VOTER_NOT_CAUGHT_UP', true],
  ['not-leader', 'NOT_CONTROLLER', true],
  ['last-voter', 'LAST_VOTER', false],
  ['not-a-voter', 'NOT_A_VOTER', false],
  ['already-a-voter', 'ALREADY_A_VOTER', false],
] as const)('refused by raft as %s: %s, definite', async (reason, code, retryable) => {
  const leader = new Leader();
  leader.seen = [two, three];
  leader.outcome = { outcome: 'refused', reason };
  expect(await failure(leader.voters.remove(nodeId(2), ''))).toMatchObject({ code, definite: true, retryable });
});
