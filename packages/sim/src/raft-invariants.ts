/**
 * What must hold of the controller's Raft group in a running cluster, seen from outside after every event (reliability
 * §1.5). Owns what was once seen: leaders of terms, votes, the committed log, what each disk had promised. Called by the
 * run of a seed; the same invariants are held more closely, message by message, by the random group of `raft`.
 *
 * - V1 election safety: one leader a term
 * - V2 leader append-only: what a leader has in its term stays until the term is over
 * - V3 one committed log: what one member knows to be committed at an index, every other does (LogInv, log matching)
 * - V4 leader completeness: who begins to lead has every entry that was committed in an earlier term
 * - V5 commit and delivered index never fall within a life; delivered ≤ commit ≤ last; delivered ≤ durable
 * - V6 committed is durable: each committed entry was on the disks of a quorum of voters when it was first known to be
 *   committed, and a disk that had it has it after a restart, unless the run itself took it away
 * - V7 the same applied index gives the same image on every node (state machine safety)
 * - V8 terms never fall within a life; a member votes for one in a term, as far as that left it, and knows it after a
 *   restart, unless the run itself took something away
 * - V9 a leader commits by counting only what is of its own term, and with it all before (Figure 8)
 * - V10 voters change one at a time, and only once the leader has committed an entry of its term (§1.4)
 * - V11 no voter says that it may have lost something when the run took nothing from its disk
 * - V12 to V15, what a member believes: see `raft-beliefs`
 */
import { logIndex } from '@sluice/base';
import type { Entry, MemberId, Raft } from '@sluice/raft';
import { RaftBeliefs } from './raft-beliefs.ts';
import { mustHold } from './violation.ts';

/** One live node, as it is after an event. */
export interface ObservedMember {
  readonly node: number;
  readonly raft: Raft;
  /** Of the image: what it has applied, and a digest of all of it, made on demand. */
  readonly appliedIndex: number;
  readonly digest: () => string;
  /** The run wiped or damaged a disk of this node. */
  readonly isDamaged?: boolean;
}

interface Life {
  readonly raft: Raft;
  term: number;
  commitIndex: number;
  deliveredIndex: number;
  appliedIndex: number;
  leadsTerm: number;
  lastIndexAsLeader: number;
}

interface Committed {
  readonly term: number;
  /** Of whoever was first seen to know it: not before the term in which it was committed. */
  readonly inTerm: number;
  readonly payload: Uint8Array | undefined;
}

/** An image is compared whenever its applied index is a multiple of this: often enough, and cheap. */
const digestEvery = 16;

export class RaftInvariants {
  readonly beliefs = new RaftBeliefs();
  readonly #leaderOf = new Map<number, MemberId>();
  readonly #votes = new Map<string, MemberId>();
  /** The latest term in which a member was heard to vote. */
  readonly #votedIn = new Map<MemberId, number>();
  readonly #lives = new Map<MemberId, Life>();
  /** Up to where each member's disk was known to equal its log; survives its restarts (V6). */
  readonly #durable = new Map<MemberId, number>();
  /** Up to where each member's disk was seen to hold the committed log: beyond, its log may be another (V6). */
  readonly #kept = new Map<MemberId, number>();
  /** What damage took from members that do not vote until they have it again: they acked it, and an ack may be on its way. */
  readonly #damaged = new Map<MemberId, number>();
  /** By index − 1. */
  readonly #committed: Committed[] = [];
  readonly #digests = new Map<number, { readonly digest: string; readonly node: number }>();
  #digestsCompared = 0;

  /** Terms that had a leader. */
  get elections(): number {
    return this.#leaderOf.size;
  }

  get committedEntries(): number {
    return this.#committed.length;
  }

  get digestsCompared(): number {
    return this.#digestsCompared;
  }

  /** The run took something away from this member's disk: it is held to nothing of before. */
  forgive(member: MemberId): void {
    this.#durable.delete(member);
    this.#kept.delete(member);
    this.#votedIn.delete(member);
    this.#lives.delete(member);
  }

  /** `changed`: those of whom anything may be new; `all`: with them whoever else is alive. */
  afterEvent(changed: readonly ObservedMember[], all: () => readonly ObservedMember[] = () => changed): void {
    for (const member of changed) this.#observe(member, all);
  }

  /** A granted vote left `voter`. */
  onVote(voter: MemberId, candidate: MemberId, term: number): void {
    const key = `${voter} ${term}`;
    const first = this.#votes.get(key);
    mustHold(first === undefined || first === candidate, 'one-vote', 'a member voted for two in one term', {
      voter,
      term,
      first,
      second: candidate,
    });
    this.#votes.set(key, candidate);
    this.#votedIn.set(voter, Math.max(term, this.#votedIn.get(voter) ?? 0));
  }

  #observe(member: ObservedMember, all: () => readonly ObservedMember[]): void {
    const { raft } = member;
    if (!raft.votingAllowed) {
      const isExplained = member.isDamaged === true || !raft.isVoter;
      const seen = { member: raft.self, lastIndex: raft.lastIndex };
      mustHold(isExplained, 'no-doubt-without-damage', 'a voter says that it may have lost something', seen);
    }
    const life = this.#lifeOf(member);
    if (
      life.term === raft.term &&
      life.commitIndex === raft.commitIndex &&
      life.deliveredIndex === raft.deliveredIndex &&
      life.appliedIndex === member.appliedIndex &&
      !raft.isLeader
    ) {
      this.#rememberDisk(raft);
      return;
    }
    this.#assertMonotonic(member, life);
    this.beliefs.observe(raft);
    this.#rememberDisk(raft);
    if (raft.isLeader) {
      this.#onLeader(raft, life);
      if (raft.commitIndex > life.commitIndex) this.beliefs.onLeader(raft, undamaged(all()));
    }
    this.#onCommitted(member, life, all);
    this.#rememberKept(raft);
    this.#onApplied(member, life);
    life.term = raft.term;
    life.commitIndex = raft.commitIndex;
    life.deliveredIndex = raft.deliveredIndex;
  }

  #lifeOf(member: ObservedMember): Life {
    const { raft } = member;
    const known = this.#lives.get(raft.self);
    if (known?.raft === raft) return known;
    const life: Life = {
      raft,
      term: 0,
      commitIndex: 0,
      deliveredIndex: 0,
      appliedIndex: 0,
      leadsTerm: 0,
      lastIndexAsLeader: 0,
    };
    this.#lives.set(raft.self, life);
    this.#assertDiskKept(member);
    return life;
  }

  /** V6 and V8, across a restart. */
  #assertDiskKept({ raft }: ObservedMember): void {
    if (!raft.votingAllowed) {
      this.#damaged.set(raft.self, Math.max(this.#durable.get(raft.self) ?? 0, this.#damaged.get(raft.self) ?? 0));
      this.#durable.delete(raft.self);
      this.#kept.delete(raft.self);
      this.#votedIn.delete(raft.self);
      return;
    }
    const votedIn = this.#votedIn.get(raft.self) ?? 0;
    mustHold(
      votedIn === 0 || raft.term > votedIn || (raft.term === votedIn && raft.votedFor !== undefined),
      'vote-is-durable',
      'a member restarted without a vote that it had given',
      { member: raft.self, votedIn, term: raft.term, votedFor: raft.votedFor },
    );
    const last = this.#kept.get(raft.self) ?? 0;
    const expected = this.#committed[last - 1];
    if (expected === undefined) return;
    mustHold(
      holds(raft, last, expected.term),
      'committed-is-durable',
      'a member restarted without what it had synced',
      { member: raft.self, index: last, term: expected.term, lastIndex: raft.lastIndex },
    );
  }

  #rememberDisk(raft: Raft): void {
    this.#durable.set(raft.self, raft.durableIndex);
    if (raft.votingAllowed) this.#damaged.delete(raft.self);
    this.#rememberKept(raft);
  }

  #rememberKept(raft: Raft): void {
    const last = Math.min(raft.durableIndex, this.#committed.length);
    const expected = this.#committed[last - 1];
    if (expected === undefined || last <= (this.#kept.get(raft.self) ?? 0)) return;
    if (holds(raft, last, expected.term)) this.#kept.set(raft.self, last);
  }

  #assertMonotonic({ raft, appliedIndex }: ObservedMember, life: Life): void {
    const { term, commitIndex, deliveredIndex, lastIndex, durableIndex } = raft;
    const seen = (before?: number) => ({
      member: raft.self,
      term,
      commitIndex,
      deliveredIndex,
      lastIndex,
      durableIndex,
      appliedIndex,
      before,
    });
    mustHold(term >= life.term, 'monotonic', 'a term fell', () => seen(life.term));
    mustHold(commitIndex >= life.commitIndex, 'monotonic', 'a commit index fell', () => seen(life.commitIndex));
    mustHold(deliveredIndex >= life.deliveredIndex, 'monotonic', 'a delivered index fell', () =>
      seen(life.deliveredIndex),
    );
    mustHold(
      deliveredIndex <= commitIndex && commitIndex <= lastIndex && deliveredIndex <= durableIndex,
      'log-order',
      'delivered ≤ commit ≤ last, and delivered ≤ durable',
      seen,
    );
    mustHold(appliedIndex <= deliveredIndex, 'log-order', 'applied ≤ delivered', seen);
  }

  #onLeader(raft: Raft, life: Life): void {
    const known = this.#leaderOf.get(raft.term);
    mustHold(known === undefined || known === raft.self, 'election-safety', 'two members lead in one term', {
      term: raft.term,
      leader: known,
      other: raft.self,
    });
    if (known === undefined) {
      this.#leaderOf.set(raft.term, raft.self);
      this.#assertComplete(raft);
    }
    if (life.leadsTerm === raft.term) {
      mustHold(raft.lastIndex >= life.lastIndexAsLeader, 'leader-append-only', 'a leader cut its log', {
        leader: raft.self,
        term: raft.term,
        lastIndex: raft.lastIndex,
        before: life.lastIndexAsLeader,
      });
    }
    if (life.leadsTerm === raft.term && raft.commitIndex > life.commitIndex) {
      const ofTerm = raft.entryAt(raft.commitIndex)?.term;
      mustHold(
        ofTerm === undefined || ofTerm === raft.term,
        'own-term-commit',
        'a leader commits an entry of an older term by counting',
        { leader: raft.self, term: raft.term, index: raft.commitIndex, ofTerm },
      );
    }
    const isNew = life.leadsTerm !== raft.term;
    this.#assertChanges(raft, (isNew ? raft.commitIndex : life.lastIndexAsLeader) + 1);
    life.leadsTerm = raft.term;
    life.lastIndexAsLeader = raft.lastIndex;
  }

  /** V10, when an entry from here on changes the voters. */
  #assertChanges(raft: Raft, from: number): void {
    const changesFrom = (index: number): readonly Entry[] => {
      const found: Entry[] = [];
      for (let at = index; at <= raft.lastIndex; at += 1) {
        const entry = raft.entryAt(logIndex(at));
        if (entry?.kind === 'membership') found.push(entry);
      }
      return found;
    };
    const own = changesFrom(from).filter((entry) => entry.term === raft.term);
    if (own.length === 0) return;
    const open = changesFrom(raft.commitIndex + 1).map(({ index }) => index);
    const { self: leader, term, commitIndex } = raft;
    mustHold(open.length <= 1, 'one-change-at-a-time', 'two changes of voters are not committed', {
      leader,
      term,
      open,
    });
    const committed = raft.entryAt(commitIndex)?.term;
    mustHold(
      committed === undefined || committed === term,
      'change-after-own-term',
      'a leader changes the voters before it has committed an entry of its term',
      { leader, term, commitIndex, committed },
    );
  }

  /** One that wins by a vote that was long under way may lead an older term, and lack what later ones committed. */
  #assertComplete(raft: Raft): void {
    const last = this.#committed.findLastIndex(({ inTerm }) => inTerm < raft.term) + 1;
    const expected = this.#committed[last - 1];
    if (expected === undefined) return;
    mustHold(holds(raft, last, expected.term), 'leader-completeness', 'a member leads without a committed entry', {
      leader: raft.self,
      term: raft.term,
      index: last,
      ofTerm: expected.term,
      lastIndex: raft.lastIndex,
    });
  }

  #onCommitted({ raft }: ObservedMember, life: Life, all: () => readonly ObservedMember[]): void {
    const from = Math.max(life.commitIndex, raft.firstIndex - 1) + 1;
    for (let index = from; index <= raft.commitIndex; index += 1) {
      const entry = raft.entryAt(logIndex(index));
      if (entry === undefined) continue;
      if (index <= this.#committed.length) this.#assertSame(raft, entry);
      else this.#firstKnown(raft, entry, all);
    }
  }

  #assertSame(raft: Raft, entry: Entry): void {
    const known = this.#committed[entry.index - 1];
    if (known?.payload === undefined) return;
    mustHold(
      known.term === entry.term && isEqual(known.payload, entry.payload),
      'log-matching',
      'two members know different entries to be committed',
      { member: raft.self, index: entry.index, term: entry.term, known: known.term },
    );
  }

  #firstKnown(raft: Raft, entry: Entry, all: () => readonly ObservedMember[]): void {
    // Nobody was seen to commit what lies between: it came in a snapshot, whose maker is dead.
    while (this.#committed.length < entry.index - 1)
      this.#committed.push({ term: 0, inTerm: raft.term, payload: undefined });
    this.#committed.push({ term: entry.term, inTerm: raft.term, payload: entry.payload });
    this.#assertOnQuorum(raft, entry, all);
  }

  /** V6. A dead member's disk holds what it held when it was last seen. */
  #assertOnQuorum(raft: Raft, entry: Entry, all: () => readonly ObservedMember[]): void {
    const { voters } = raft;
    const members = all();
    const having = voters.filter((voter) => {
      const live = members.find((other) => other.raft.self === voter)?.raft;
      if ((this.#damaged.get(voter) ?? 0) >= entry.index) return true;
      if (live === undefined) return (this.#durable.get(voter) ?? 0) >= entry.index;
      return live.durableIndex >= entry.index && holds(live, entry.index, entry.term);
    });
    mustHold(
      having.length > voters.length / 2,
      'committed-is-durable',
      'an entry is committed that no quorum of voters has on disk',
      { by: raft.self, index: entry.index, term: entry.term, having, voters },
    );
  }

  #onApplied({ node, appliedIndex, digest }: ObservedMember, life: Life): void {
    if (appliedIndex === life.appliedIndex) return;
    life.appliedIndex = appliedIndex;
    if (appliedIndex % digestEvery !== 0) return;
    const own = digest();
    const known = this.#digests.get(appliedIndex);
    if (known === undefined) {
      this.#digests.set(appliedIndex, { digest: own, node });
      return;
    }
    this.#digestsCompared += 1;
    mustHold(known.digest === own, 'state-machine-safety', 'two nodes made different images of one log', {
      appliedIndex,
      nodes: [known.node, node],
    });
  }
}

const undamaged = (members: readonly ObservedMember[]): readonly Raft[] =>
  members.flatMap(({ raft, isDamaged }) => (isDamaged === true ? [] : [raft]));

/** Also by its snapshot: what lies below the start of a log was committed. */
const holds = (raft: Raft, index: number, term: number): boolean =>
  index < raft.firstIndex || raft.entryAt(logIndex(index))?.term === term;

const isEqual = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, at) => byte === other[at]);
