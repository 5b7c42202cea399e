/**
 * Test bed: what must hold in a whole group after every step, seen from outside all members. Throws `InvariantError`.
 *
 * - G1 election safety: one leader a term, which everybody of that term follows, and only it sends its messages
 * - G2 leader append-only, and nobody has an entry of its term that it lacks · G3 log matching
 * - G4 leader completeness, for every log: who has the last entry of a term, or a later one, has all that was committed
 *   up to then (MoreUpToDateCorrect, with the term of the commit in place of that of the log that knows of it)
 * - G5 state machine safety: each life of a member delivers the one committed log, from the start, without gaps, and
 *   nothing that is not on its own disk; what anybody believes committed is (LogInv)
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
 */
import { invariant, logIndex, nextIndex } from '@sluice/base';
import type { RaftEffects } from './effects.ts';
import { entryText } from './effects-text.ts';
import { decodeMembership } from './membership.ts';
import type { MemoryMember } from './memory-member.ts';
import type { Entry, Envelope, MemberId, RaftMessage } from './messages.ts';
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
  /** How much of the committed log was on each disk. */
  readonly #kept = new Map<MemberId, number>();
  /** What was committed when each read began. */
  readonly #reads = new Map<number, number>();
  readsConfirmed = 0;
  /** The one committed log, and the term in which each entry was first known to be committed. */
  readonly committed: { readonly entry: Entry; readonly inTerm: number }[] = [];

  constructor(members: ReadonlyMap<MemberId, MemoryMember>, voters: readonly MemberId[]) {
    this.#members = members;
    this.#initialVoters = voters;
  }

  get leaders(): number {
    return this.#leaderOfTerm.size;
  }

  onRestart(member: MemberId): void {
    this.#lives.delete(member);
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
    for (const entry of effects.committed) {
      const known = this.committed[life.delivered]?.entry;
      invariant(
        known !== undefined && entryText(known) === entryText(entry),
        'G5: delivered what was never committed, or out of order',
        { member: raft.self, entry: entryText(entry), known: known === undefined ? null : entryText(known) },
      );
      life.delivered += 1;
      invariant(termOnDisk(member, life.delivered) === entry.term, 'G5: delivered before it was durable', {
        member: raft.self,
        index: entry.index,
      });
    }
    this.#assertReads(raft.self, effects);
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
    if (message.kind === 'append' || message.kind === 'heartbeat') {
      invariant(this.#leaderOfTerm.get(message.term) === from, 'G1: an append from one that does not lead', { from });
    }
    if (message.kind === 'append-accepted' && member.diskHardState.term === message.term) {
      invariant(member.diskEntries.length >= message.matchIndex, 'G8: acknowledged before durable', {
        from,
        matchIndex: message.matchIndex,
        onDisk: member.diskEntries.length,
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
        termOnDisk(there, peer.matchIndex) === raft.entryAt(peer.matchIndex)?.term,
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
      raft.commitIndex === 0 || (last !== undefined && raft.entryAt(last.index)?.term === last.term),
      'G5: believed committed and is not',
      { member: self, commitIndex: raft.commitIndex },
    );
    const lastTerm = raft.entryAt(raft.lastIndex)?.term ?? 0;
    const due = this.committed.findLast(
      ({ entry, inTerm }) => inTerm < lastTerm || (inTerm === lastTerm && entry.index <= raft.lastIndex),
    )?.entry;
    invariant(due === undefined || raft.entryAt(due.index)?.term === due.term, 'G4: a log without a committed entry', {
      member: self,
      lastTerm,
      entry: due === undefined ? null : entryText(due),
    });
  }

  #assertMemberships({ raft }: MemoryMember): void {
    let before = this.#initialVoters;
    let beforeIndex = 0;
    for (let index = raft.firstIndex; index <= raft.lastIndex; index = nextIndex(index)) {
      const entry = raft.entryAt(index);
      if (entry?.kind !== 'membership') continue;
      invariant(beforeIndex <= this.committed.length, 'G12: two memberships that are not committed', {
        member: raft.self,
        index: beforeIndex,
      });
      const voters = decodeMembership(entry.payload).map(({ id }) => id);
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
    const { raft, diskHardState, diskEntries } = member;
    const { self } = raft;
    invariant(diskHardState.term >= (this.#diskTerms.get(self) ?? 0), 'G7: the term on disk fell', { member: self });
    this.#diskTerms.set(self, diskHardState.term);
    const { durableIndex } = raft;
    invariant(
      durableIndex === 0 || termOnDisk(member, durableIndex) === raft.entryAt(durableIndex)?.term,
      'G9: an entry is believed durable and is not on disk',
      { member: self, durableIndex },
    );
    if (member.writing.length > 0) return;
    invariant(
      diskHardState.term === raft.term &&
        diskHardState.votedFor === raft.votedFor &&
        diskEntries.length === raft.lastIndex &&
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
      for (let index = Math.min(raft.lastIndex, other.lastIndex); index > 0; index -= 1) {
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
    for (const [id, { diskEntries }] of this.#members) {
      const kept = this.#committedOn(diskEntries);
      invariant(kept >= (this.#kept.get(id) ?? 0), 'G6: a committed entry left a disk', { member: id, kept });
      this.#kept.set(id, kept);
    }
    this.#assertQuorumLog(this.#committedVoters());
    const leaders = [...this.#members.values()].filter(({ raft }) => raft.isLeader);
    const newest = leaders.toSorted((left, right) => right.raft.term - left.raft.term)[0];
    if (newest !== undefined) this.#assertQuorumLog(newest.raft.voters);
    for (const [id, { diskEntries }] of this.#members) {
      if (this.#isWhole(id)) continue;
      const voters = votersIn(diskEntries) ?? this.#initialVoters;
      const granting = voters.filter((voter) => isAtLeast(diskEntries.at(-1), this.#disk(voter).at(-1))).length;
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

  #committedVoters(): readonly MemberId[] {
    return votersIn(this.committed.map(({ entry }) => entry)) ?? this.#initialVoters;
  }

  #disk(member: MemberId): readonly Entry[] {
    return this.#members.get(member)?.diskEntries ?? [];
  }

  #isWhole(member: MemberId): boolean {
    return this.#committedOn(this.#disk(member)) >= this.committed.length;
  }

  /** How much of the committed log a disk holds. */
  #committedOn(disk: readonly Entry[]): number {
    let index = Math.min(disk.length, this.committed.length);
    while (index > 0 && disk[index - 1]?.term !== this.committed[index - 1]?.entry.term) index -= 1;
    return index;
  }
}

/** Of the last membership entry, if there is one. */
function votersIn(entries: readonly Entry[]): readonly MemberId[] | undefined {
  const last = entries.findLast(({ kind }) => kind === 'membership');
  return last === undefined ? undefined : decodeMembership(last.payload).map(({ id }) => id);
}

function assertOwnsTerm(leader: Raft, other: Raft): void {
  const isOfTerm = other.entryAt(other.lastIndex)?.term === leader.term;
  invariant(!isOfTerm || other.lastIndex <= leader.lastIndex, 'G2: an entry of a term that its leader lacks', {
    leader: leader.self,
    other: other.self,
    index: other.lastIndex,
  });
}

/** Paper §5.4.1, written anew: whether a log that ends with `candidate` gets the vote of one that ends with `voter`. */
function isAtLeast(candidate: Entry | undefined, voter: Entry | undefined): boolean {
  const [candidateTerm, voterTerm] = [candidate?.term ?? 0, voter?.term ?? 0];
  if (candidateTerm !== voterTerm) return candidateTerm > voterTerm;
  return (candidate?.index ?? 0) >= (voter?.index ?? 0);
}

const termOnDisk = (member: MemoryMember, index: number): number | undefined => member.diskEntries[index - 1]?.term;

/** Messages that name a term which nobody has yet. */
const isHypothetical = (message: RaftMessage): boolean =>
  message.kind === 'vote-request' ? message.pre : message.kind === 'vote-reply' && message.pre && message.granted;
