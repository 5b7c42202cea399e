/**
 * Campaigns and votes (paper §5.2, §5.4.1; thesis §9.6 for the pre-vote).
 *
 * - E1: a vote, the candidate's own included, counts only when it is durable at the voter (P2, P6).
 * - E2: a member whose leader is alive neither grants a pre-vote nor adopts a campaigner's term, so that one that was
 *   cut off cannot disturb the group when it returns.
 * - E3: a member whose votes may be lost never votes and never campaigns (P9). An observer does not campaign either.
 * - E4: whoever is asked answers, also an observer, and also when the candidate is no voter that it knows: one of the two
 *   may not have the entry yet by which that changed, and without the answer nobody might ever be elected (thesis §4.2.2).
 *   Which votes count is for the candidate to say, by the membership in effect in its own log.
 */
import { invariant, nextIndex, nextTerm } from '@sluice/base';
import type { MemberId, VoteReply, VoteRequest } from './messages.ts';
import { entryBytes } from './log-view.ts';
import { Progress } from './progress.ts';
import { isQuorum, isUpToDate } from './quorum.ts';
import { appendOwn, probe } from './replication.ts';
import {
  adoptHigherTerm,
  becomeFollower,
  drawElectionDeadline,
  drawRankedDeadline,
  isLeaderAlive,
  stepDown,
} from './role.ts';
import type { RaftState } from './state.ts';
import type { VoteRefusal } from './trace.ts';

const noPayload = new Uint8Array(0);

/** The election deadline has passed. */
export function preCampaign(state: RaftState): void {
  becomeFollower(state);
  state.role = 'pre-candidate';
  if (state.leaderlessRounds !== undefined) state.leaderlessRounds += 1;
  drawElectionDeadline(state);
  state.out.trace({ kind: 'pre-campaign', term: state.term });
  state.grants = new Set([state.self]);
  if (hasQuorum(state)) campaign(state);
  else requestVotes(state, { pre: true, transfer: false });
}

/** `isTransfer`: the leader asked for it. */
export function campaign(state: RaftState, isTransfer = false): void {
  state.role = 'candidate';
  state.leader = undefined;
  state.adoptTerm(nextTerm(state.term), state.self);
  state.out.trace({ kind: 'campaign', term: state.term });
  drawElectionDeadline(state);
  state.grants = new Set();
  state.ownVotePersist = state.nextPersist;
  requestVotes(state, { pre: false, transfer: isTransfer });
}

/** Held until all earlier persists are durable: a member whose disk hangs does not campaign. */
function requestVotes(state: RaftState, asked: Pick<VoteRequest, 'pre' | 'transfer'>): void {
  const { lastIndex, lastTerm } = state.log;
  const term = asked.pre ? nextTerm(state.term) : state.term;
  for (const voter of state.voters) {
    if (voter === state.self) continue;
    state.out.sendAfterPersist(voter, { kind: 'vote-request', ...asked, term, lastIndex, lastTerm });
  }
}

/** Something became durable: perhaps the candidate's own vote (E1). */
export function countOwnVote(state: RaftState): void {
  if (state.role !== 'candidate' || !state.isDurable(state.ownVotePersist)) return;
  state.grants.add(state.self);
  if (hasQuorum(state)) becomeLeader(state);
}

export function onVoteRequest(state: RaftState, from: MemberId, message: VoteRequest): void {
  if (!message.pre && message.term > state.term) {
    if (isLeaderAlive(state) && !message.transfer) {
      state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'leader-alive' });
      return;
    }
    adoptHigherTerm(state, message.term, from);
  }
  const { pre } = message;
  const reason = voteRefusal(state, from, message);
  if (reason !== undefined) {
    state.out.trace({ kind: 'vote-refused', term: state.term, to: from, pre, reason });
    state.sendWhenTermDurable(from, { kind: 'vote-reply', pre, term: state.term, granted: false });
    return;
  }
  state.out.trace({ kind: 'vote-granted', term: message.term, to: from, pre });
  if (!pre) state.recordVote(from);
  // Who is about to be elected gets its time, also when the old leader's machine was seen to refuse. A pre-vote puts the
  // own campaign off once, not each time: whoever repeats it may be one that cannot win.
  if (state.leaderlessRounds === 0) {
    state.leaderlessRounds = 1;
    drawElectionDeadline(state);
  } else if (!pre) {
    drawElectionDeadline(state);
  } else if (givesWay(state, from)) {
    becomeFollower(state);
  }
  state.out.sendAfterPersist(from, { kind: 'vote-reply', pre, term: message.term, granted: true });
}

/**
 * Two that stand at once would grant each other a pre-vote and split the votes. In the first round the second in rank
 * stops; in later ones chance keeps them apart, since the first may be one that can never win.
 */
function givesWay(state: RaftState, to: MemberId): boolean {
  return state.role === 'pre-candidate' && state.leaderlessRounds === 1 && state.voters.includes(to) && to < state.self;
}

function voteRefusal(state: RaftState, from: MemberId, message: VoteRequest): VoteRefusal | undefined {
  if (!state.votingAllowed) return 'voting-not-allowed';
  if (message.pre ? message.term <= state.term : message.term < state.term) return 'old-term';
  if (message.pre ? isLeaderAlive(state) : state.leader !== undefined) return 'leader-alive';
  if (!message.pre && state.votedFor !== undefined && state.votedFor !== from) return 'voted-for-another';
  return isUpToDate(message, state.log) ? undefined : 'log-behind';
}

export function onVoteReply(state: RaftState, from: MemberId, message: VoteReply): void {
  const isAwaited = message.pre
    ? state.role === 'pre-candidate' && (!message.granted || message.term === nextTerm(state.term))
    : state.role === 'candidate' && message.term === state.term;
  if (!isAwaited || !state.voters.includes(from)) {
    const reason = isAwaited ? 'not-a-member' : 'not-campaigning';
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason });
    return;
  }
  if (!message.granted) return;
  state.grants.add(from);
  if (!hasQuorum(state)) return;
  if (message.pre) campaign(state);
  else becomeLeader(state);
}

const hasQuorum = (state: RaftState): boolean => isQuorum(state.voters, state.grants);

function becomeLeader(state: RaftState): void {
  invariant(state.role === 'candidate' && state.votedFor === state.self, 'S1: leader without a campaign', {
    term: state.term,
  });
  state.role = 'leader';
  state.leader = state.self;
  state.leaderlessRounds = undefined;
  state.grants.clear();
  state.incoming = undefined;
  state.observersLeft = [];
  const { lastIndex } = state.log;
  const inherited = state.log.range(nextIndex(state.commitIndex), lastIndex);
  state.uncommittedBytes = inherited.reduce((sum, entry) => sum + entryBytes(entry), 0);
  const session = { term: state.term, configIndex: state.membership.index, attempt: 0 };
  for (const peer of state.voters) {
    if (peer === state.self) continue;
    const { nowMs } = state;
    state.peers.set(peer, new Progress({ peer, isVoter: true, session, nextIndex: nextIndex(lastIndex), nowMs }));
  }
  // Nothing of an older term commits before an entry of this one does (paper §8), so there is one at once.
  const noOp = appendOwn(state, 'no-op', noPayload);
  state.ownTermIndex = noOp.index;
  state.round = 0;
  state.caughtUpIndex = noOp.index;
  state.out.trace({ kind: 'leading', term: state.term, noOpIndex: noOp.index });
  // These appends are also the first sign of life.
  state.nextHeartbeatMs = state.nowMs + state.config.heartbeatMs;
  for (const progress of state.peers.values()) probe(state, progress);
}

/** The process of `peer` is gone: if it led, no timeout needs to be waited for (design §4). */
export function onPeerRefused(state: RaftState, peer: MemberId): void {
  state.peers.get(peer)?.pause();
  // One that was voted for and not heard since may have won, and died before it could say so.
  const mayLead = state.leader ?? (state.role === 'follower' ? state.votedFor : undefined);
  if (peer === state.self || peer !== mayLead) return;
  state.out.trace({ kind: 'leader-refused', term: state.term, leader: peer });
  state.leader = undefined;
  state.nextObserveMs = state.nowMs;
  state.leaderlessRounds = 0;
  drawRankedDeadline(state, peer);
}

export function onVoting(state: RaftState, allowed: boolean): void {
  if (state.votingAllowed === allowed) return;
  state.votingAllowed = allowed;
  state.out.trace({ kind: 'voting', allowed });
  if (allowed) {
    drawElectionDeadline(state);
    return;
  }
  if (state.role === 'leader') stepDown(state, 'voting-withdrawn');
  else if (state.role !== 'follower') becomeFollower(state);
}
