/**
 * Test bed: what must hold in a whole group after every step, seen from outside all members. Throws `InvariantError`.
 *
 * - G1 election safety: one leader a term, and only it sends appends of that term
 * - G2 leader append-only · G3 log matching · G4 leader completeness
 * - G5 state machine safety: each life of a member delivers the one committed log, from the start, without gaps, and
 *   nothing that is not on its own disk
 * - G6 what is committed stays for ever on the disks of a quorum of voters
 * - G7 one vote a term, over restarts; terms on disk never fall; commit and delivered index never fall within a life
 * - G8 no message leaves before the disk holds its term, nor an acknowledgement before its entries (P2, P3)
 * - G9 what a member believes about disks, its own and its peers', is true; a disk at rest equals the memory
 * - G10 a voter whose disk lacks a committed entry could not win the votes of a quorum, even if all crashed now
 * - G11 a read is confirmed at no index below what was committed when it began (linearizable reads)
 */
import { invariant, logIndex } from '@sluice/base';
import type { RaftEffects } from './effects.ts';
import { entryText } from './effects-text.ts';
import type { MemoryMember } from './memory-member.ts';
import type { Entry, Envelope, MemberId, RaftMessage } from './messages.ts';

interface Life {
  delivered: number;
  commitIndex: number;
  /** Of the term it leads, or 0. */
  leadsTerm: number;
  lastIndexAsLeader: number;
}

export class GroupInvariants {
  readonly #members: ReadonlyMap<MemberId, MemoryMember>;
  readonly #voters: readonly MemberId[];
  readonly #leaderOfTerm = new Map<number, MemberId>();
  readonly #votes = new Map<string, MemberId>();
  readonly #lives = new Map<MemberId, Life>();
  readonly #diskTerms = new Map<MemberId, number>();
  /** What was committed when each read began. */
  readonly #reads = new Map<number, number>();
  readsConfirmed = 0;
  /** The one committed log, and the term in which each entry was first known to be committed. */
  readonly committed: { readonly entry: Entry; readonly inTerm: number }[] = [];

  constructor(members: ReadonlyMap<MemberId, MemoryMember>, voters: readonly MemberId[]) {
    this.#members = members;
    this.#voters = voters;
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
    else life.leadsTerm = 0;
    invariant(raft.commitIndex >= life.commitIndex, 'G7: commit index fell', { member: raft.self });
    life.commitIndex = raft.commitIndex;
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
    const life: Life = { delivered: 0, commitIndex: 0, leadsTerm: 0, lastIndexAsLeader: 0 };
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
      for (const { entry, inTerm } of this.committed) {
        invariant(
          inTerm >= raft.term || raft.entryAt(entry.index)?.term === entry.term,
          'G4: a leader without a committed entry',
          { leader: raft.self, term: raft.term, entry: entryText(entry) },
        );
      }
    }
    life.lastIndexAsLeader = raft.lastIndex;
    while (this.committed.length < raft.commitIndex) {
      const entry = raft.entryAt(logIndex(this.committed.length + 1));
      invariant(entry !== undefined, 'G5: committed beyond the log', { leader: raft.self });
      this.committed.push({ entry, inTerm: raft.term });
    }
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
    const voters = this.#voters.map((voter) => this.#members.get(voter)?.diskEntries ?? []);
    const quorum = Math.floor(voters.length / 2) + 1;
    const isWhole = (disk: readonly Entry[]): boolean => this.#committedOn(disk) >= this.committed.length;
    invariant(voters.filter(isWhole).length >= quorum, 'G6: a committed entry is not durable on a quorum', {
      committed: this.committed.length,
    });
    for (const disk of voters) {
      if (isWhole(disk)) continue;
      const granting = voters.filter((other) => isAtLeast(disk.at(-1), other.at(-1))).length;
      invariant(granting < quorum, 'G10: a quorum would elect one that lacks a committed entry', {
        committed: this.committed.length,
        granting,
      });
    }
  }

  /** How much of the committed log a disk holds. */
  #committedOn(disk: readonly Entry[]): number {
    let index = Math.min(disk.length, this.committed.length);
    while (index > 0 && disk[index - 1]?.term !== this.committed[index - 1]?.entry.term) index -= 1;
    return index;
  }
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
