/**
 * Owns everything a member knows; each phase (`election`, `replication`, `following`, `commit`) is functions over it.
 * Only `Raft.step` enters, and leaves through `finish`.
 *
 * - S1: term never falls; the vote of a term is set at most once.
 * - S2: commit and delivered index never fall; delivered ≤ min(commit, durable).
 * - S3: a message that reflects term, vote or entries is held until they are durable (P2, P3). A leader's appends may
 *   run ahead of its own entries, never of its term: it was elected only after its vote was durable.
 * - S4: one persist a step, numbered without gaps (P1).
 */
import { invariant, logIndex, nextIndex } from '@sluice/base';
import type { LogIndex, Random, Term } from '@sluice/base';
import type { RaftConfig } from './config.ts';
import type { HardState, Leadership, Persist, RaftEffects, Role } from './effects.ts';
import { LogView } from './log-view.ts';
import type { Entry, MemberId, Membership, RaftMessage, ReplicationSession, Snapshot, Voter } from './messages.ts';
import { isSameMembership, Memberships } from './membership.ts';
import { Outbox } from './outbox.ts';
import type { Progress } from './progress.ts';
import type { IncomingSnapshot } from './incoming-snapshot.ts';

export interface RaftOptions {
  readonly self: MemberId;
  /**
   * The voters that the group was born with. A member that is not among the voters is an observer: it follows, never
   * votes, never campaigns.
   */
  readonly initialVoters: readonly Voter[];
  /** False when later votes of this member may be lost; the `voting` event changes it. */
  readonly votingAllowed: boolean;
  /** As recovered from disk; term 0 and no vote for an empty directory. */
  readonly hardState: HardState;
  /** As recovered from disk; the shell has already loaded its state machine from it. */
  readonly snapshot: Snapshot | undefined;
  /**
   * As recovered from disk: all durable, contiguous. The first may have any index up to that after the snapshot; if
   * there are any, they reach the snapshot.
   */
  readonly entries: readonly Entry[];
  /** CRC-32C. */
  readonly checksum: (bytes: Uint8Array) => number;
  readonly config: RaftConfig;
  readonly random: Random;
  readonly nowMs: number;
}

/** A read that the leader has not confirmed yet; `reading` says more. */
export interface PendingRead {
  readonly id: number;
  readonly index: LogIndex;
  /** A quorum must answer this round or a later one. */
  readonly round: number;
}

/** Leadership is being handed to a voter; `transfer` says more. */
export interface TransferUnderWay {
  readonly to: MemberId;
  readonly deadlineMs: number;
  /** It was told to campaign, since the last tick. */
  isTold: boolean;
}

export class RaftState {
  readonly self: MemberId;
  readonly config: RaftConfig;
  readonly random: Random;
  readonly log: LogView;
  readonly memberships: Memberships;
  readonly checksum: (bytes: Uint8Array) => number;
  /** The latest that is durable here, or that this member was told to make so; sent to who lacks what it covers. */
  snapshot: Snapshot | undefined;
  votingAllowed: boolean;
  nowMs: number;

  role: Role = 'follower';
  leader: MemberId | undefined;
  commitIndex: LogIndex;
  #term: Term;
  #votedFor: MemberId | undefined;

  /** Follower: when the leader was last heard; else when this member started, or last led. */
  leaderContactMs: number;
  /** Follower: its log is known to equal that of this term's leader up to here; beyond, a commit index says nothing. */
  matchedIndex: LogIndex = logIndex(0);
  electionDeadlineMs: number;
  /** How many rounds have begun since the own start, or since the leader's machine refused; undefined: it may live. */
  leaderlessRounds: number | undefined = 0;
  /** Who granted the round under way. */
  grants = new Set<MemberId>();
  /** The persist that makes this candidate's own vote durable; only then it counts (P6). */
  ownVotePersist = 0;

  /** Follower: the snapshot that its leader sends; kept over a change of leader, lost by a restart. */
  incoming: IncomingSnapshot | undefined;

  /** Leader: every other voter, and observers that asked. */
  peers = new Map<MemberId, Progress>();
  nextHeartbeatMs = 0;
  uncommittedBytes = 0;
  /** Leader: the first entry of its term. Nothing is known of what is committed before it is. */
  ownTermIndex: LogIndex = logIndex(0);
  /** Leader: of the heartbeats sent last. */
  round = 0;
  /** Leader: what was committed when the last regular heartbeats left. An observer that holds it is caught up. */
  caughtUpIndex: LogIndex = logIndex(0);
  transfer: TransferUnderWay | undefined;
  /** Leader: reads that are not confirmed yet. */
  reads: PendingRead[] = [];

  /** Led until a moment ago: whom it replicated to besides the voters. They hear when it knows who leads now. */
  observersLeft: readonly MemberId[] = [];

  nextObserveMs: number;
  /** Whom to ask for a leader besides the voters known here. */
  votersHint: readonly MemberId[] = [];

  out = new Outbox();
  #deliveredIndex: LogIndex;
  #lastPersist = 0;
  #durablePersist = 0;
  #hardStatePersist = 0;
  /** Installed; the state machine follows when the persist is durable. */
  #restoring: { readonly snapshot: Snapshot; readonly persist: number } | undefined;
  #snapshotToSend: { readonly snapshot: Snapshot; readonly checksum: number } | undefined;
  #shown: Leadership;
  #shownMembership: Membership;
  #sessions = 0;

  constructor(options: RaftOptions) {
    this.self = options.self;
    this.config = options.config;
    this.random = options.random;
    this.checksum = options.checksum;
    this.snapshot = options.snapshot;
    this.memberships = new Memberships(
      options.snapshot?.membership ?? { index: logIndex(0), voters: options.initialVoters },
    );
    invariant(new Set(this.voters).size === this.voters.length, 'a voter is named twice', { voters: this.voters });
    this.votingAllowed = options.votingAllowed;
    this.nowMs = options.nowMs;
    this.log = new LogView(options.snapshot, options.entries);
    for (const entry of options.entries) {
      if (entry.kind === 'membership' && entry.index > this.log.snapshotIndex) this.memberships.append(entry);
    }
    this.commitIndex = this.log.snapshotIndex;
    this.#deliveredIndex = this.log.snapshotIndex;
    this.#term = options.hardState.term;
    this.#votedFor = options.hardState.votedFor;
    invariant(this.log.lastTerm <= this.#term, 'P3: the log is ahead of the term', {
      lastTerm: this.log.lastTerm,
      term: this.#term,
    });
    this.electionDeadlineMs = options.nowMs;
    this.leaderContactMs = options.nowMs;
    this.nextObserveMs = options.nowMs;
    this.#shown = { role: this.role, term: this.#term, leader: this.leader };
    this.#shownMembership = this.membership;
  }

  get term(): Term {
    return this.#term;
  }

  get votedFor(): MemberId | undefined {
    return this.#votedFor;
  }

  get membership(): Membership {
    return this.memberships.effective;
  }

  get voters(): readonly MemberId[] {
    return this.memberships.voters;
  }

  get deliveredIndex(): LogIndex {
    return this.#deliveredIndex;
  }

  get isVoter(): boolean {
    return this.voters.includes(this.self);
  }

  get isMembershipCommitted(): boolean {
    return this.membership.index <= this.commitIndex;
  }

  /**
   * Not one whose removal is not committed: it may be the only one that holds the entry by which it was removed, and
   * then nobody else can be elected. It campaigns, and does not count itself (thesis §4.2.2).
   */
  get isObserver(): boolean {
    if (this.isVoter) return false;
    const { previous } = this.memberships;
    return this.isMembershipCommitted || previous?.voters.some(({ id }) => id === this.self) !== true;
  }

  get mayCampaign(): boolean {
    return this.votingAllowed && !this.isObserver;
  }

  /** Another than any that this leader used before in its term. */
  newSession(): ReplicationSession {
    this.#sessions += 1;
    return { term: this.term, configIndex: this.membership.index, attempt: this.#sessions };
  }

  /** The number that this step's persist will have. */
  get nextPersist(): number {
    return this.#lastPersist + 1;
  }

  isDurable(persist: number): boolean {
    return persist <= this.#durablePersist;
  }

  adoptTerm(term: Term, votedFor: MemberId | undefined): void {
    invariant(term > this.#term, 'S1: term does not rise', { from: this.#term, to: term });
    this.#term = term;
    this.#votedFor = votedFor;
    this.matchedIndex = logIndex(0);
    this.out.hardStateChanged = true;
  }

  recordVote(votedFor: MemberId): void {
    if (this.#votedFor === votedFor) return;
    invariant(this.#votedFor === undefined, 'S1: second vote in a term', { term: this.#term });
    this.#votedFor = votedFor;
    this.out.hardStateChanged = true;
  }

  appendEntry(entry: Entry): void {
    this.log.append(entry);
    if (entry.kind === 'membership') this.memberships.append(entry);
    this.out.entries.push(entry);
  }

  truncateFrom(index: LogIndex): void {
    invariant(index > this.commitIndex, 'S2: truncation of a committed entry', {
      index,
      commitIndex: this.commitIndex,
    });
    this.log.truncateFrom(index);
    this.memberships.truncateFrom(index);
    this.out.truncateFrom = index;
  }

  /** This snapshot of a delivered index is the start of the log; entries below `keepFrom` go. */
  startLogAt(snapshot: Snapshot, keepFrom: LogIndex): void {
    const { index, term, membership } = snapshot;
    invariant(index <= this.#deliveredIndex, 'S2: compaction of what is not delivered', {
      index,
      deliveredIndex: this.#deliveredIndex,
    });
    invariant(
      membership.index === this.memberships.at(index).index,
      'V1: a snapshot with the membership of another index',
      {
        index,
        membershipIndex: membership.index,
      },
    );
    this.log.compact(index, keepFrom);
    this.memberships.compactTo(index);
    this.snapshot = snapshot;
    this.out.snapshot = { index, term, membership, keepFrom, replacesLog: false };
  }

  /** The whole log gives way to this snapshot of what is committed. */
  replaceLog(snapshot: Snapshot): void {
    const { index, term, membership } = snapshot;
    this.log.replaceBy(index, term, this.#deliveredIndex);
    this.commitIndex = index;
    this.snapshot = snapshot;
    this.memberships.replace(membership);
    this.#restoring = { snapshot, persist: this.nextPersist };
    this.out.snapshot = { index, term, membership, keepFrom: nextIndex(index), replacesLog: true };
  }

  /** The latest snapshot, with its checksum, which is computed once. */
  snapshotToSend(): { readonly snapshot: Snapshot; readonly checksum: number } {
    const { snapshot } = this;
    invariant(snapshot !== undefined, 'L1: entries are compacted away without a snapshot', {
      base: this.log.firstIndex,
    });
    if (this.#snapshotToSend?.snapshot !== snapshot) {
      this.#snapshotToSend = { snapshot, checksum: this.checksum(snapshot.bytes) };
    }
    return this.#snapshotToSend;
  }

  /** For messages that reflect the term but no entry: held only while the term is not durable (S3). */
  sendWhenTermDurable(to: MemberId, message: RaftMessage): void {
    if (this.out.hardStateChanged || !this.isDurable(this.#hardStatePersist)) this.out.sendAfterPersist(to, message);
    else this.out.sendNow(to, message);
  }

  persisted(number: number): void {
    invariant(number > this.#durablePersist && number <= this.#lastPersist, 'S4: no such persist is under way', {
      number,
      durable: this.#durablePersist,
      last: this.#lastPersist,
    });
    this.#durablePersist = number;
    this.log.written(number);
  }

  /** Closes the step: numbers the persist, sorts messages by contract, hands out what is committed and durable. */
  finish(nextTickAtMs: number): RaftEffects {
    const out = this.out;
    this.out = new Outbox();
    const persist = this.#persist(out);
    const held = this.#durablePersist < this.#lastPersist;
    const { membership } = this;
    const isMembershipShown = isSameMembership(membership, this.#shownMembership);
    this.#shownMembership = membership;
    return {
      persist,
      sendAfterPersist: held
        ? out.afterPersist.map(({ to, message }) => ({ to, message, afterPersist: this.#lastPersist }))
        : [],
      sendNow: held || out.afterPersist.length === 0 ? out.now : [...out.afterPersist, ...out.now],
      saveSnapshot: out.saveSnapshot,
      restore: this.#restore(),
      committed: this.#deliver(),
      proposal: out.proposal,
      membershipChange: out.membershipChange,
      transfer: out.transfer,
      membership: isMembershipShown ? undefined : membership,
      reads: out.reads,
      leadership: this.#newLeadership(),
      nextTickAtMs,
      trace: out.traces,
    };
  }

  #persist(out: Outbox): Persist | undefined {
    const isLogChanged = out.snapshot !== undefined || out.truncateFrom !== undefined || out.entries.length > 0;
    if (!out.hardStateChanged && !isLogChanged) return undefined;
    this.#lastPersist += 1;
    this.log.writing(this.#lastPersist);
    if (out.hardStateChanged) this.#hardStatePersist = this.#lastPersist;
    return {
      number: this.#lastPersist,
      hardState: out.hardStateChanged ? { term: this.#term, votedFor: this.#votedFor } : undefined,
      snapshot: out.snapshot,
      truncateFrom: out.truncateFrom,
      entries: out.entries,
    };
  }

  #restore(): Snapshot | undefined {
    if (this.#restoring === undefined || !this.isDurable(this.#restoring.persist)) return undefined;
    const { snapshot } = this.#restoring;
    this.#restoring = undefined;
    this.#deliveredIndex = snapshot.index;
    return snapshot;
  }

  #deliver(): readonly Entry[] {
    const end = logIndex(Math.min(this.commitIndex, this.log.durableIndex));
    if (end <= this.#deliveredIndex) return [];
    const entries = this.log.range(nextIndex(this.#deliveredIndex), end);
    this.#deliveredIndex = end;
    return entries;
  }

  /** Undefined while it is what was shown last. */
  #newLeadership(): Leadership | undefined {
    const { role, leader } = this;
    const shown = this.#shown;
    if (shown.role === role && shown.term === this.#term && shown.leader === leader) return undefined;
    this.#shown = { role, term: this.#term, leader };
    return this.#shown;
  }
}
