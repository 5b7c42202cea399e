/**
 * One member of a Raft group, as a deterministic state machine: `step(event)` is the only way in, its effects the only
 * way out (see `effects` for the shell's duties). It knows no disk, network, clock or timer.
 *
 * Here is the dispatch and what holds for every message; the phases are in `election`, `replication` (leader),
 * `following` (follower), `commit`, `proposing`, `reading`, `transfer`, `membership-change`, `observing`,
 * `snapshot-sending`, `snapshot-receiving` and `compaction`; what they share is `state`.
 */
import { invariant, unreachable } from '@sluice/base';
import type { LogIndex, Term } from '@sluice/base';
import { onSnapshotSaved } from './compaction.ts';
import { assertRaftConfig } from './config.ts';
import type { RaftEffects, Role } from './effects.ts';
import { countOwnVote, onPeerRefused, onVoteReply, onVoteRequest, onVoting, preCampaign } from './election.ts';
import type { RaftEvent } from './events.ts';
import { onAppend, onHeartbeat, rejectAppend, replyToHeartbeat } from './following.ts';
import type { Entry, MemberId, Membership, RaftMessage } from './messages.ts';
import { leaveIfRemoved, onChangeMembership } from './membership-change.ts';
import { askToObserve, forgetSilentObservers, onLeaderMoved, onObserve } from './observing.ts';
import { onPropose } from './proposing.ts';
import { confirmReads, onRead } from './reading.ts';
import {
  commitAndTell,
  holdsQuorum,
  onAppendAccepted,
  onAppendRejected,
  onHeartbeatReply,
  quorumContactMs,
  sendHeartbeats,
} from './replication.ts';
import { adoptHigherTerm, becomeFollower, drawElectionDeadline } from './role.ts';
import { onSnapshotChunk, refuseSnapshotChunk } from './snapshot-receiving.ts';
import { onSnapshotProgress } from './snapshot-sending.ts';
import { RaftState } from './state.ts';
import type { RaftOptions } from './state.ts';
import {
  continueTransfer,
  onResign,
  onTimeOutNow,
  onTransfereeRefused,
  onTransfer,
  repeatTransfer,
} from './transfer.ts';

/** How many maximal election timeouts a voter is without a leader before it asks to observe. */
const leaderlessTimeouts = 2;

/** Where replication to one peer stands, as seen by the leader. */
export interface PeerView {
  readonly peer: MemberId;
  readonly isVoter: boolean;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly matchIndex: LogIndex;
  readonly nextIndex: LogIndex;
  readonly lastContactMs: number;
  /** The latest round of heartbeats that it answered. */
  readonly roundAnswered: number;
}

export class Raft {
  readonly #state: RaftState;

  constructor(options: RaftOptions) {
    assertRaftConfig(options.config);
    this.#state = new RaftState(options);
    // A sole voter has nobody to wait for.
    const isAlone = this.isVoter && this.voters.length === 1;
    if (!(isAlone && this.votingAllowed)) drawElectionDeadline(this.#state);
  }

  step(event: RaftEvent): RaftEffects {
    const state = this.#state;
    if (event.nowMs > state.nowMs) state.nowMs = event.nowMs;
    switch (event.kind) {
      case 'tick':
        onTick(state);
        break;
      case 'message':
        onMessage(state, event.from, event.message);
        break;
      case 'propose':
        onPropose(state, event.payloads);
        break;
      case 'read':
        onRead(state, event.id);
        break;
      case 'change-membership':
        onChangeMembership(state, event.change);
        break;
      case 'transfer':
        onTransfer(state, event.to);
        break;
      case 'resign':
        onResign(state, event.to);
        break;
      case 'voters-hint':
        state.votersHint = event.members;
        break;
      case 'persisted':
        state.persisted(event.number);
        countOwnVote(state);
        commitAndTell(state);
        break;
      case 'snapshot-saved':
        onSnapshotSaved(state, event.snapshot);
        break;
      case 'peer-refused':
        onPeerRefused(state, event.peer);
        onTransfereeRefused(state, event.peer);
        break;
      case 'voting':
        onVoting(state, event.allowed);
        break;
      default:
        unreachable(event);
    }
    if (state.role === 'leader') afterLeading(state);
    return state.finish(this.nextTickAtMs);
  }

  get self(): MemberId {
    return this.#state.self;
  }

  get role(): Role {
    return this.#state.role;
  }

  get term(): Term {
    return this.#state.term;
  }

  get leader(): MemberId | undefined {
    return this.#state.leader;
  }

  get votedFor(): MemberId | undefined {
    return this.#state.votedFor;
  }

  get membership(): Membership {
    return this.#state.membership;
  }

  /** The latest snapshot here: the start of the log, but for the entries kept below it. */
  get snapshot(): { readonly index: LogIndex; readonly term: Term } | undefined {
    const { snapshot } = this.#state;
    return snapshot === undefined ? undefined : { index: snapshot.index, term: snapshot.term };
  }

  /** What has arrived of the snapshot that the leader sends. */
  get incomingSnapshot(): { readonly index: LogIndex; readonly receivedBytes: number } | undefined {
    const { incoming } = this.#state;
    return incoming === undefined ? undefined : { index: incoming.index, receivedBytes: incoming.receivedBytes };
  }

  /** The first entry held, or, without any, the one that would be. */
  get firstIndex(): LogIndex {
    return this.#state.log.firstIndex;
  }

  /** The membership in effect can no longer be reverted. */
  get membershipCommitted(): boolean {
    return this.#state.isMembershipCommitted;
  }

  /** As of an index that is not below the snapshot: what a snapshot of the state machine there has to carry. */
  membershipAt(index: LogIndex): Membership {
    return this.#state.memberships.at(index);
  }

  get voters(): readonly MemberId[] {
    return this.#state.voters;
  }

  get isVoter(): boolean {
    return this.#state.isVoter;
  }

  get isLeader(): boolean {
    return this.#state.role === 'leader';
  }

  get votingAllowed(): boolean {
    return this.#state.votingAllowed;
  }

  /** Highest index known to be committed; may be ahead of what is durable here. */
  get commitIndex(): LogIndex {
    return this.#state.commitIndex;
  }

  /** Highest index handed out in `RaftEffects.committed`. */
  get deliveredIndex(): LogIndex {
    return this.#state.deliveredIndex;
  }

  get lastIndex(): LogIndex {
    return this.#state.log.lastIndex;
  }

  /** Entries of the log as it is now, up to here, are on this member's disk. */
  get durableIndex(): LogIndex {
    return this.#state.log.durableIndex;
  }

  /** Leader only, else 0: what counts against `uncommittedBytesMax`. */
  get uncommittedBytes(): number {
    return this.#state.uncommittedBytes;
  }

  /** Leader only, else empty. */
  get peers(): readonly PeerView[] {
    return [...this.#state.peers.values()].map((progress) => {
      const { peer, isVoter, state, matchIndex, nextIndex, lastContactMs, roundAnswered } = progress;
      return { peer, isVoter, state, matchIndex, nextIndex, lastContactMs, roundAnswered };
    });
  }

  /** Leader: of the heartbeats sent last. */
  get round(): number {
    return this.#state.round;
  }

  /** Leader only, else undefined: a quorum, this member included, answered no longer ago than this time. */
  get quorumContactMs(): number | undefined {
    return this.isLeader ? quorumContactMs(this.#state) : undefined;
  }

  /** When to step the first `tick`. */
  get nextTickAtMs(): number {
    const state = this.#state;
    if (state.role === 'leader') return state.nextHeartbeatMs;
    if (state.isVoter || state.leader !== undefined) return state.electionDeadlineMs;
    return state.isObserver ? state.nextObserveMs : Math.min(state.nextObserveMs, state.electionDeadlineMs);
  }

  /** Undefined where the log is compacted away, or ends. */
  termAt(index: LogIndex): Term | undefined {
    return this.#state.log.termAt(index);
  }

  entryAt(index: LogIndex): Entry | undefined {
    return this.#state.log.entryAt(index);
  }
}

/** What any event may have made due at a leader. */
function afterLeading(state: RaftState): void {
  continueTransfer(state);
  confirmReads(state);
  leaveIfRemoved(state);
}

function onTick(state: RaftState): void {
  if (state.role === 'leader') {
    if (state.nowMs < state.nextHeartbeatMs || !holdsQuorum(state)) return;
    repeatTransfer(state);
    forgetSilentObservers(state);
    sendHeartbeats(state);
    return;
  }
  if (state.nowMs >= state.electionDeadlineMs) {
    onElectionDeadline(state);
    return;
  }
  if (!state.isVoter && state.leader === undefined && state.nowMs >= state.nextObserveMs) askToObserve(state);
}

function onElectionDeadline(state: RaftState): void {
  if (state.mayCampaign) preCampaign(state);
  else {
    becomeFollower(state);
    drawElectionDeadline(state);
  }
  // Others may have a leader that this one would never hear of, because it was removed while it was away.
  const leaderlessMs = state.nowMs - state.leaderContactMs;
  const asks = !state.isVoter || leaderlessMs >= leaderlessTimeouts * state.config.electionTimeoutMsMax;
  if (asks && state.leader === undefined) askToObserve(state);
}

function onMessage(state: RaftState, from: MemberId, message: RaftMessage): void {
  invariant(from !== state.self, 'a message from this member to itself', { from });
  // Vote requests have their own rule (E2); a granted pre-vote names a term that nobody has yet.
  const isHypothetical =
    message.kind === 'vote-request' || (message.kind === 'vote-reply' && message.pre && message.granted);
  if (!isHypothetical) {
    if (message.term > state.term) adoptHigherTerm(state, message.term, from);
    if (message.term < state.term && message.kind !== 'observe') {
      onOldTerm(state, from, message);
      return;
    }
  }
  dispatch(state, from, message);
}

/** A leader that was replaced learns so from the answer; nothing else of an older term is worth one. */
function onOldTerm(state: RaftState, from: MemberId, message: RaftMessage): void {
  state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'old-term' });
  if (message.kind === 'append') rejectAppend(state, from, message);
  else if (message.kind === 'heartbeat') replyToHeartbeat(state, from, message);
  else if (message.kind === 'snapshot-chunk') refuseSnapshotChunk(state, from, message);
}

function dispatch(state: RaftState, from: MemberId, message: RaftMessage): void {
  switch (message.kind) {
    case 'vote-request':
      return onVoteRequest(state, from, message);
    case 'vote-reply':
      return onVoteReply(state, from, message);
    case 'append':
      return onAppend(state, from, message);
    case 'append-accepted':
      return onAppendAccepted(state, from, message);
    case 'append-rejected':
      return onAppendRejected(state, from, message);
    case 'heartbeat':
      return onHeartbeat(state, from, message);
    case 'heartbeat-reply':
      return onHeartbeatReply(state, from, message);
    case 'time-out-now':
      return onTimeOutNow(state, from, message);
    case 'snapshot-chunk':
      return onSnapshotChunk(state, from, message);
    case 'snapshot-progress':
      return onSnapshotProgress(state, from, message);
    case 'observe':
      return onObserve(state, from, message);
    case 'leader-moved':
      return onLeaderMoved(state, from);
    default:
      return unreachable(message);
  }
}
