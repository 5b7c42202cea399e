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

/** Observer: asks every voter, since only the leader among them will answer. */
export function askToObserve(state: RaftState): void {
  state.nextObserveMs = state.nowMs + state.config.heartbeatMs;
  const { lastIndex, lastTerm } = state.log;
  for (const voter of state.voters) {
    state.sendWhenTermDurable(voter, { kind: 'observe', term: state.term, lastIndex, lastTerm });
  }
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
    known.lastContactMs = state.nowMs;
    known.restart(next);
    probe(state, known);
    return;
  }
  if (state.peers.size - (state.voters.length - 1) >= state.config.observersMax) {
    state.out.trace({ kind: 'observer-refused', peer: from, observersMax: state.config.observersMax });
    return;
  }
  const { term, nowMs } = state;
  const progress = new Progress({ peer: from, isVoter: false, term, nextIndex: next, nowMs });
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
