/** Becoming a follower, and when a member may doubt its leader; shared by `election`, `following` and `replication`. */
import type { Term } from '@sluice/base';
import type { MemberId } from './messages.ts';
import type { RaftState } from './state.ts';
import type { StepDownReason } from './trace.ts';

/** A candidate is some round trips and a sync ahead of the next in rank: with the default delay 30 ms. */
const rankedSteps = 5;

/** Thesis §4.2.3: while this holds, votes are refused and terms of campaigners are not adopted. */
export function isLeaderAlive(state: RaftState): boolean {
  if (state.role === 'leader') return true;
  return state.leader !== undefined && state.nowMs - state.leaderContactMs < state.config.electionTimeoutMsMin;
}

/**
 * A new random time to the next campaign (paper §5.2); much shorter while no leader is known that might live. An observer
 * campaigns in no case: it doubts its leader, and asks the voters, as soon as they might have another one.
 */
export function drawElectionDeadline(state: RaftState): void {
  const delayMs = state.isObserver ? state.config.electionTimeoutMsMin : electionDelayMs(state);
  state.electionDeadlineMs = state.nowMs + delayMs;
}

/**
 * After a refusal, and after the own start, the rounds back off from `leaderlessElectionDelayMsMax`, doubling, until
 * they are as rare as ordinary ones: a round that failed because others had not noticed yet, or not started, is repeated
 * soon, yet a slow network is not stormed. A member that comes back to a living leader harms nobody by it: its pre-vote
 * is refused (E2).
 */
function electionDelayMs(state: RaftState): number {
  const { electionTimeoutMsMin, electionTimeoutMsMax, leaderlessElectionDelayMsMax } = state.config;
  if (state.leaderlessRounds !== undefined) {
    if (state.leaderlessRounds === 0) return state.random.below(leaderlessElectionDelayMsMax + 1);
    const delayMs = leaderlessElectionDelayMsMax * 2 ** (state.leaderlessRounds - 1);
    if (delayMs * 2 <= electionTimeoutMsMin) return delayMs + state.random.below(delayMs + 1);
  }
  return electionTimeoutMsMin + state.random.below(electionTimeoutMsMax - electionTimeoutMsMin + 1);
}

/**
 * The leader's process is gone: one after the other, by rank among the voters left, instead of by chance. Chance keeps
 * members apart that know nothing of each other; these share the membership, the first of them need not wait, and the
 * next stands when nothing came of it. Ranks that differ, because memberships do, only make two stand at once; the
 * rounds after this one are random (paper §5.2).
 */
export function drawRankedDeadline(state: RaftState, gone: MemberId): void {
  if (state.isObserver) return drawElectionDeadline(state);
  const { leaderlessElectionDelayMsMax } = state.config;
  const rank = state.voters.filter((voter) => voter !== gone && voter < state.self).length;
  const delayMs = Math.floor((rank * leaderlessElectionDelayMsMax) / rankedSteps);
  state.electionDeadlineMs = state.nowMs + Math.min(delayMs, leaderlessElectionDelayMsMax);
}

/** A higher term was seen. The election deadline stays, so that a stale campaigner cannot keep others from theirs. */
export function adoptHigherTerm(state: RaftState, term: Term, from: MemberId): void {
  state.adoptTerm(term, undefined);
  state.out.trace({ kind: 'term-adopted', term, from });
  if (state.role === 'leader') stepDown(state, 'higher-term');
  else becomeFollower(state);
}

/** A leader gives up. What it accepted and not yet committed may still be committed by the next one. */
export function stepDown(state: RaftState, reason: StepDownReason): void {
  state.out.trace({ kind: 'stepped-down', term: state.term, reason });
  becomeFollower(state);
}

export function becomeFollower(state: RaftState): void {
  state.leader = undefined;
  state.nextObserveMs = state.nowMs;
  if (state.role === 'follower') return;
  if (state.role === 'leader') {
    state.leaderContactMs = state.nowMs;
    state.observersLeft = [...state.peers.values()].filter(({ isVoter }) => !isVoter).map(({ peer }) => peer);
  }
  state.role = 'follower';
  state.grants.clear();
  state.peers.clear();
  state.uncommittedBytes = 0;
  for (const { id } of state.reads) state.out.reads.push({ id, outcome: 'not-leader' });
  state.reads = [];
  state.transfer = undefined;
  drawElectionDeadline(state);
}
