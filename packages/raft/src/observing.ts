/**
 * Members outside the quorum: they follow the log, are counted nowhere, and find the leader by themselves, because no
 * leader need know them beforehand.
 */
import { nextIndex } from '@sluice/base';
import type { MemberId, Observe } from './messages.ts';
import { Progress } from './progress.ts';
import { probe } from './replication.ts';
import type { RaftState } from './state.ts';

/** How many maximal election timeouts an observer may be silent before the leader forgets it. */
const silentTimeouts = 5;

/**
 * An observer, or a voter that finds no leader, which may have been removed while it was away: asks every voter that it
 * knows or was told of, since only the leader among them will answer.
 */
export function askToObserve(state: RaftState): void {
  state.nextObserveMs = state.nowMs + state.config.heartbeatMs;
  const { lastIndex, lastTerm } = state.log;
  for (const voter of new Set([...state.voters, ...state.votersHint])) {
    if (voter === state.self) continue;
    state.sendWhenTermDurable(voter, { kind: 'observe', term: state.term, lastIndex, lastTerm });
  }
}

/** The one that led until now follows another: whom it replicated to asks at once, instead of waiting for a silence. */
export function sendOffObservers(state: RaftState): void {
  const left = state.observersLeft;
  state.observersLeft = [];
  for (const observer of left) {
    if (observer !== state.leader) state.sendWhenTermDurable(observer, { kind: 'leader-moved', term: state.term });
  }
}

export function onLeaderMoved(state: RaftState, from: MemberId): void {
  if (state.isVoter || state.leader !== undefined) {
    state.out.trace({ kind: 'ignored', from, message: 'leader-moved', reason: 'not-observing' });
    return;
  }
  askToObserve(state);
}

/** Leader: begins, or begins anew, to replicate to the one who asks. */
export function onObserve(state: RaftState, from: MemberId, message: Observe): void {
  if (state.role !== 'leader') {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'not-leading' });
    return;
  }
  const next = nextIndex(state.log.agreementBelow(message.lastIndex, message.lastTerm));
  const known = state.peers.get(from);
  if (known !== undefined) {
    // It is replicated to anyway. And it does not hear this leader: no contact in the sense of check-quorum.
    if (known.isVoter) return;
    known.lastContactMs = state.nowMs;
    known.restart(next, state.newSession());
    probe(state, known);
    return;
  }
  if ([...state.peers.values()].filter(({ isVoter }) => !isVoter).length >= state.config.observersMax) {
    state.out.trace({ kind: 'observer-refused', peer: from, observersMax: state.config.observersMax });
    return;
  }
  const session = state.newSession();
  const progress = new Progress({ peer: from, isVoter: false, session, nextIndex: next, nowMs: state.nowMs });
  state.peers.set(from, progress);
  state.out.trace({ kind: 'observer-joined', peer: from });
  probe(state, progress);
}

/** Leader: memory is not kept for those who left without a word. */
export function forgetSilentObservers(state: RaftState): void {
  const silentMsMax = silentTimeouts * state.config.electionTimeoutMsMax;
  for (const [peer, progress] of state.peers) {
    if (progress.isVoter || state.nowMs - progress.lastContactMs < silentMsMax) continue;
    state.peers.delete(peer);
    state.out.trace({ kind: 'observer-left', peer });
  }
}
