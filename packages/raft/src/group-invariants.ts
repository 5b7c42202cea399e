/**
 * Test bed: what must hold in a whole group after every step, seen from outside all members. Throws `InvariantError`.
 *
 * - G1 election safety: one leader a term, which everybody of that term follows, and only it sends its messages
 * - G2 leader append-only, and nobody has an entry of its term that it lacks · G3 log matching
 * - G4 leader completeness, for every log: who has the last entry of a term, or a later one, has all that was committed
 *   up to then (MoreUpToDateCorrect, with the term of the commit in place of that of the log that knows of it)
 * - G5 state machine safety: each life of a member delivers the one committed log, from its snapshot on, without gaps but
 *   those that a snapshot fills, and nothing that is not on its own disk; who applied as much is in the same state; what
 *   anybody believes committed is (LogInv)
 * - G6 what is committed was on the disks of a quorum when it became so, leaves no disk again (CommittedIsDurable), and
 *   every quorum has a member with all of it, by the committed voters and by those of a leader (QuorumLog)
 * - G7 one vote a term, over restarts; terms never fall, on disk and in memory; commit and delivered index never fall
 *   within a life
 * - G8 no message leaves before the disk holds its term, nor an acknowledgement before its entries (P2, P3)
 * - G9 what a member believes about disks, its own and its peers', is true; a disk at rest equals the memory
 * - G10 one whose disk lacks a committed entry could not win the votes of a quorum, by the voters of its own log, even if
 *   all crashed now
 * - G11 a read is confirmed at no index below what was committed when it began (linearizable reads)
 * - G12 in every log, memberships that follow each other differ by one voter, and all but the last are committed; in
 *   effect is the last
 * - G13 purged ≤ snapshot ≤ applied ≤ commit ≤ last; a snapshot on disk is the committed log up to its index; a leader
 *   loads none
 */
import { invariant, logIndex, nextIndex, utf8Decode } from '@sluice/base';
import type { RaftEffects } from './effects.ts';
import { entryText } from './effects-text.ts';
import { decodeMembership } from './membership.ts';
import type { MemoryMember } from './memory-member.ts';
import type { Entry, Envelope, MemberId, RaftMessage, Snapshot } from './messages.ts';
import type { Raft } from './raft.ts';

interface Life {
  delivered: number;
  commitIndex: number;
  term: number;
  /** Of the term it leads, or 0. */
  leadsTerm: number;
  lastIndexAsLeader: number;
}

export class GroupInvariants {
  readonly #members: ReadonlyMap<MemberId, MemoryMember>;
  readonly #initialVoters: readonly MemberId[];
  readonly #leaderOfTerm = new Map<number, MemberId>();
  readonly #votes = new Map<string, MemberId>();
  readonly #lives = new Map<MemberId, Life>();
  readonly #diskTerms = new Map<MemberId, number>();
  readonly #diskVotes = new Map<string, MemberId>();
  /** How much of the committed log was on each disk. */
  readonly #kept = new Map<MemberId, number>();
  /** Snapshots that were seen to be what they should. */
  readonly #known = new WeakSet<Snapshot>();
  /** What was committed when each read began. */
  readonly #reads = new Map<number, number>();
  readsConfirmed = 0;
  /** The one committed log, and the term in which each entry was first known to be committed. */
  readonly committed: { readonly entry: Entry; readonly inTerm: number }[] = [];

  constructor(members: ReadonlyMap<MemberId, MemoryMember>, voters: readonly MemberId[]) {
    this.#members = members;
    this.#initialVoters = voters;
  }

  get committedVoters(): readonly MemberId[] {
    return votersIn(this.committed.map(({ entry }) => entry)) ?? this.#initialVoters;
  }

  get leaders(): number {
    return this.#leaderOfTerm.size;
  }

  onRestart({ raft, diskSnapshot, applied }: MemoryMember): void {
    const delivered = diskSnapshot?.index ?? 0;
    this.#lives.set(raft.self, { delivered, commitIndex: delivered, term: 0, leadsTerm: 0, lastIndexAsLeader: 0 });
    this.#assertState(raft.self, applied, delivered);
  }

  onEffects(member: MemoryMember, effects: RaftEffects): void {
    const { raft } = member;
    const life = this.#life(raft.self);
    if (raft.isLeader) this.#onLeader(member, life, effects);
    // One that is removed leads no more when that is committed, in the same step.
    if (life.leadsTerm === raft.term) this.#onCommit(member);
    if (!raft.isLeader) life.leadsTerm = 0;
    this.#assertMonotonic(member, life);
    this.#assertBeliefs(member);
    if (effects.restore !== undefined) this.#onRestore(member, life, effects.restore);
    for (const entry of effects.committed) {
      const known = this.committed[life.delivered]?.entry;
      invariant(
        known !== undefined && entryText(known) === entryText(entry),
        'G5: delivered what was never committed, or out of order',
        { member: raft.self, entry: entryText(entry), known: known === undefined ? null : entryText(known) },
      );
      life.delivered += 1;
      invariant(this.#termOnDisk(member, life.delivered) === entry.term, 'G5: delivered before it was durable', {
        member: raft.self,
        index: entry.index,
      });
    }
    this.#assertReads(raft.self, effects);
    this.#assertOrder(member, effects);
    this.#assertOwnDisk(member);
    this.#assertLogMatching(member);
    this.#assertMemberships(member);
    this.#assertCommittedDurable();
  }

  onSend(from: MemberId, { message }: Envelope): void {
    const member = this.#members.get(from);
    if (member === undefined) return;
    if (!isHypothetical(message)) {
      invariant(member.diskHardState.term >= message.term, 'G8: sent before its term was durable', {
        from,
        message: message.kind,
      });
    }
    if (message.kind === 'append' || message.kind === 'heartbeat' || message.kind === 'snapshot-chunk') {
      invariant(this.#leaderOfTerm.get(message.term) === from, 'G1: an append from one that does not lead', { from });
    }
    if (message.kind === 'append-accepted' && member.diskHardState.term === message.term) {
      invariant(member.diskEnd.index >= message.matchIndex, 'G8: acknowledged before durable', {
        from,
        matchIndex: message.matchIndex,
        onDisk: member.diskEnd.index,
      });
    }
  }

  onRead(id: number): void {
    this.#reads.set(id, this.committed.length);
  }

  /** A granted vote left for `candidate`. */
  onVote(voter: MemberId, candidate: MemberId, term: number): void {
    const key = `${voter} ${term}`;
    const earlier = this.#votes.get(key);
    invariant(earlier === undefined || earlier === candidate, 'G7: two votes in a term', {
      voter,
      term,
      earlier: earlier ?? null,
      candidate,
    });
    this.#votes.set(key, candidate);
  }

  #onRestore(member: MemoryMember, life: Life, { index }: Snapshot): void {
    const { self } = member.raft;
    const { delivered } = life;
    invariant(index > delivered, 'G5: a snapshot rolls the state machine back', { member: self, index, delivered });
    invariant((member.diskSnapshot?.index ?? 0) >= index, 'G5: restored before it was durable', {
      member: self,
      index,
    });
    life.delivered = index;
    this.#assertState(self, member.applied.slice(0, index), index);
  }

  #assertReads(member: MemberId, effects: RaftEffects): void {
    for (const read of effects.reads) {
      const committedBefore = this.#reads.get(read.id);
      invariant(committedBefore !== undefined, 'G11: a read is answered twice', { member, id: read.id });
      this.#reads.delete(read.id);
      if (read.outcome !== 'confirmed') continue;
      this.readsConfirmed += 1;
      invariant(read.index >= committedBefore, 'G11: a read would miss what was committed when it began', {
        member,
        index: read.index,
        committedBefore,
      });
    }
  }

  #life(member: MemberId): Life {
    const known = this.#lives.get(member);
    if (known !== undefined) return known;
    const life: Life = { delivered: 0, commitIndex: 0, term: 0, leadsTerm: 0, lastIndexAsLeader: 0 };
    this.#lives.set(member, life);
    return life;
  }

  #onLeader({ raft }: MemoryMember, life: Life, effects: RaftEffects): void {
    const other = this.#leaderOfTerm.get(raft.term);
    invariant(other === undefined || other === raft.self, 'G1: two leaders in one term', { term: raft.term });
    this.#leaderOfTerm.set(raft.term, raft.self);
    if (life.leadsTerm === raft.term) {
      invariant(
        effects.persist?.truncateFrom === undefined && raft.lastIndex >= life.lastIndexAsLeader,
        'G2: a leader cut its log',
        { leader: raft.self },
      );
    } else {
      life.leadsTerm = raft.term;
    }
    life.lastIndexAsLeader = raft.lastIndex;
    for (const peer of raft.peers) {
      invariant(peer.matchIndex < peer.nextIndex, 'G9: match is not below next', { peer: peer.peer });
      const there = this.#members.get(peer.peer);
      if (there === undefined || there.raft.term !== raft.term || peer.matchIndex === 0) continue;
      invariant(
        this.#termOnDisk(there, peer.matchIndex) === this.#termIn(raft, peer.matchIndex),
        'G9: a peer is believed to hold durably what it does not',
        { leader: raft.self, peer: peer.peer, matchIndex: peer.matchIndex },
      );
    }
  }

  /** Of a leader: what it committed in this step. */
  #onCommit({ raft }: MemoryMember): void {
    if (this.committed.length >= raft.commitIndex) return;
    while (this.committed.length < raft.commitIndex) {
      const entry = raft.entryAt(logIndex(this.committed.length + 1));
      invariant(entry !== undefined, 'G5: committed beyond the log', { leader: raft.self });
      this.committed.push({ entry, inTerm: raft.term });
    }
    const { voters } = raft;
    const holders = voters.filter((voter) => this.#isWhole(voter)).length;
    invariant(holders * 2 > voters.length, 'G6: committed without a quorum of disks', {
      leader: raft.self,
      voters,
      holders,
    });
  }

  #assertMonotonic({ raft }: MemoryMember, life: Life): void {
    invariant(raft.commitIndex >= life.commitIndex, 'G7: commit index fell', { member: raft.self });
    life.commitIndex = raft.commitIndex;
    invariant(raft.term >= life.term, 'G7: term fell', { member: raft.self });
    life.term = raft.term;
  }

  #assertBeliefs({ raft }: MemoryMember): void {
    const { self, leader } = raft;
    invariant(
      leader === undefined || this.#leaderOfTerm.get(raft.term) === leader,
      'G1: follows one that does not lead',
      {
        member: self,
        leader: leader ?? null,
      },
    );
    const last = this.committed[raft.commitIndex - 1]?.entry;
    invariant(
      raft.commitIndex === 0 || (last !== undefined && this.#termIn(raft, last.index) === last.term),
      'G5: believed committed and is not',
      { member: self, commitIndex: raft.commitIndex },
    );
    const lastTerm = raft.termAt(raft.lastIndex) ?? 0;
    const due = this.committed.findLast(
      ({ entry, inTerm }) => inTerm < lastTerm || (inTerm === lastTerm && entry.index <= raft.lastIndex),
    )?.entry;
    invariant(due === undefined || this.#termIn(raft, due.index) === due.term, 'G4: a log without a committed entry', {
      member: self,
      lastTerm,
      entry: due === undefined ? null : entryText(due),
    });
  }

  #assertMemberships({ raft }: MemoryMember): void {
    // What is compacted away is committed.
    const below = this.committed.findLast(
      ({ entry: { index, kind } }) => index < raft.firstIndex && kind === 'membership',
    );
    let before = below === undefined ? this.#initialVoters : votersOf(below.entry);
    let beforeIndex: number = below?.entry.index ?? 0;
    for (let index = raft.firstIndex; index <= raft.lastIndex; index = nextIndex(index)) {
      const entry = raft.entryAt(index);
      if (entry?.kind !== 'membership') continue;
      invariant(beforeIndex <= this.committed.length, 'G12: two memberships that are not committed', {
        member: raft.self,
        index: beforeIndex,
      });
      const voters = votersOf(entry);
      const changed = new Set([...before, ...voters]).size * 2 - before.length - voters.length;
      invariant(changed === 1, 'G12: memberships differ by more than one voter', { before, voters });
      before = voters;
      beforeIndex = index;
    }
    invariant(
      raft.membership.index === beforeIndex && raft.voters.join() === before.join(),
      'G12: another membership is in effect than the last of the log',
      { member: raft.self, effective: raft.membership.index, inLog: beforeIndex },
    );
  }

  #assertOwnDisk(member: MemoryMember): void {
    const { raft, diskHardState, diskEntries, diskSnapshot } = member;
    const { self } = raft;
    invariant(diskHardState.term >= (this.#diskTerms.get(self) ?? 0), 'G7: the term on disk fell', { member: self });
    this.#diskTerms.set(self, diskHardState.term);
    const { votedFor } = diskHardState;
    const ballot = `${self} ${diskHardState.term}`;
    const before = this.#diskVotes.get(ballot);
    invariant(before === undefined || before === votedFor, 'G7: the vote on disk changed within a term', {
      member: self,
      before: before ?? null,
    });
    if (votedFor !== undefined) this.#diskVotes.set(ballot, votedFor);
    const { durableIndex } = raft;
    invariant(
      durableIndex === 0 || this.#termOnDisk(member, durableIndex) === this.#termIn(raft, durableIndex),
      'G9: an entry is believed durable and is not on disk',
      { member: self, durableIndex },
    );
    if (member.writing.length > 0) return;
    invariant(
      diskHardState.term === raft.term &&
        diskHardState.votedFor === raft.votedFor &&
        diskSnapshot?.index === raft.snapshot?.index &&
        diskEntries.length === raft.lastIndex - raft.firstIndex + 1 &&
        member.diskEnd.index === raft.lastIndex &&
        durableIndex === raft.lastIndex,
      'G9: a disk at rest differs from the memory',
      { member: self },
    );
  }

  /** Equal at one index and term means equal below; checked for the pairs of the member that moved. */
  #assertLogMatching({ raft }: MemoryMember): void {
    for (const { raft: other } of this.#members.values()) {
      if (other === raft) continue;
      if (raft.isLeader) assertOwnsTerm(raft, other);
      if (other.isLeader) assertOwnsTerm(other, raft);
      let isBelowMatch = false;
      const from = Math.max(raft.firstIndex, other.firstIndex);
      for (let index = Math.min(raft.lastIndex, other.lastIndex); index >= from; index -= 1) {
        const here = raft.entryAt(logIndex(index));
        const there = other.entryAt(logIndex(index));
        // Entries travel by reference: one object cannot differ from itself, nor can what lies below it.
        if (here === there && isBelowMatch) break;
        const isEqual = here?.term === there?.term;
        invariant(isEqual || !isBelowMatch, 'G3: logs agree at an index and differ below', {
          members: [raft.self, other.self],
          index,
        });
        if (isEqual) isBelowMatch = true;
      }
    }
  }

  #assertCommittedDurable(): void {
    for (const [id, member] of this.#members) {
      const kept = this.#committedOn(member);
      invariant(kept >= (this.#kept.get(id) ?? 0), 'G6: a committed entry left a disk', { member: id, kept });
      this.#kept.set(id, kept);
    }
    this.#assertQuorumLog(this.committedVoters);
    const leaders = [...this.#members.values()].filter(({ raft }) => raft.isLeader);
    const newest = leaders.toSorted((left, right) => right.raft.term - left.raft.term)[0];
    if (newest !== undefined) this.#assertQuorumLog(newest.raft.voters);
    for (const [id, member] of this.#members) {
      if (this.#isWhole(id)) continue;
      const voters = this.#votersOnDisk(member);
      // One that was wiped is gone: its name grants nothing any more.
      const disks = voters.map((voter) => this.#members.get(voter)?.diskEnd).filter((end) => end !== undefined);
      const granting = disks.filter((end) => isAtLeast(member.diskEnd, end)).length;
      invariant(granting * 2 <= voters.length, 'G10: a quorum would elect one that lacks a committed entry', {
        member: id,
        committed: this.committed.length,
        granting,
        voters,
      });
    }
  }

  #assertQuorumLog(voters: readonly MemberId[]): void {
    const lacking = voters.filter((voter) => !this.#isWhole(voter)).length;
    invariant(lacking * 2 <= voters.length, 'G6: a quorum without a member that has all that is committed', {
      committed: this.committed.length,
      lacking,
      voters,
    });
  }

  /** As its own log says. */
  #votersOnDisk({ diskSnapshot, diskEntries }: MemoryMember): readonly MemberId[] {
    return votersIn(diskEntries) ?? diskSnapshot?.membership.voters.map(({ id }) => id) ?? this.#initialVoters;
  }

  #isWhole(id: MemberId): boolean {
    const member = this.#members.get(id);
    return (member === undefined ? 0 : this.#committedOn(member)) >= this.committed.length;
  }

  /** How much of the committed log a disk holds, in its snapshot and as entries. */
  #committedOn(member: MemoryMember): number {
    let index = Math.min(member.diskEnd.index, this.committed.length);
    while (index > 0 && this.#termOnDisk(member, index) !== this.committed[index - 1]?.entry.term) index -= 1;
    return index;
  }

  #assertOrder(member: MemoryMember, effects: RaftEffects): void {
    const { raft, diskSnapshot } = member;
    const { self, firstIndex, deliveredIndex, commitIndex, lastIndex } = raft;
    const snapshotIndex = raft.snapshot?.index ?? 0;
    // One that is being installed becomes the state when its write is durable.
    const isApplied = snapshotIndex <= deliveredIndex || member.writing.some((write) => write.snapshot?.replacesLog);
    invariant(
      firstIndex - 1 <= snapshotIndex && isApplied && snapshotIndex <= commitIndex,
      'G13: purged, snapshot, applied and commit index are out of order',
      { member: self, firstIndex, snapshotIndex, deliveredIndex, commitIndex },
    );
    invariant(
      deliveredIndex <= commitIndex && commitIndex <= lastIndex,
      'G13: applied, commit and last are out of order',
      {
        member: self,
        deliveredIndex,
        commitIndex,
        lastIndex,
      },
    );
    invariant(!raft.isLeader || effects.persist?.snapshot?.replacesLog !== true, 'G13: a leader loads a snapshot', {
      member: self,
    });
    if (diskSnapshot === undefined || this.#known.has(diskSnapshot)) return;
    this.#known.add(diskSnapshot);
    this.#assertState(self, utf8Decode(diskSnapshot.bytes)?.split(' ') ?? [], diskSnapshot.index);
  }

  #assertState(member: MemberId, applied: readonly string[], index: number): void {
    const expected = this.committed.slice(0, index).map(({ entry }) => entryText(entry));
    invariant(applied.length === index && applied.join(' ') === expected.join(' '), 'G5: not the state of its index', {
      member,
      index,
      applied: applied.join(' '),
      expected: expected.join(' '),
    });
  }

  /** What a snapshot covers is the committed log: see G13. */
  #termOnDisk({ diskSnapshot, diskEntries }: MemoryMember, index: number): number | undefined {
    if (index <= (diskSnapshot?.index ?? 0)) return this.committed[index - 1]?.entry.term;
    return diskEntries[index - (diskEntries[0]?.index ?? 1)]?.term;
  }

  #termIn(raft: Raft, index: number): number | undefined {
    if (index <= (raft.snapshot?.index ?? 0)) return this.committed[index - 1]?.entry.term;
    return raft.entryAt(logIndex(index))?.term;
  }
}

/** Of the last membership entry, if there is one. */
function votersIn(entries: readonly Entry[]): readonly MemberId[] | undefined {
  const last = entries.findLast(({ kind }) => kind === 'membership');
  return last === undefined ? undefined : votersOf(last);
}

const votersOf = ({ payload }: Entry): readonly MemberId[] => decodeMembership(payload).map(({ id }) => id);

function assertOwnsTerm(leader: Raft, other: Raft): void {
  const isOfTerm = other.termAt(other.lastIndex) === leader.term;
  invariant(!isOfTerm || other.lastIndex <= leader.lastIndex, 'G2: an entry of a term that its leader lacks', {
    leader: leader.self,
    other: other.self,
    index: other.lastIndex,
  });
}

/** Paper §5.4.1, written anew: whether a log that ends with `candidate` gets the vote of one that ends with `voter`. */
function isAtLeast(candidate: MemoryMember['diskEnd'], voter: MemoryMember['diskEnd']): boolean {
  return candidate.term === voter.term ? candidate.index >= voter.index : candidate.term > voter.term;
}

/** Messages that name a term which nobody has yet. */
const isHypothetical = (message: RaftMessage): boolean =>
  message.kind === 'vote-request' ? message.pre : message.kind === 'vote-reply' && message.pre && message.granted;
