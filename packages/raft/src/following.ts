/** The follower's side of replication (paper §5.3): paired with `replication`. */
import { invariant, logIndex } from '@sluice/base';
import { learnCommit } from './commit.ts';
import type { Append, Heartbeat, MemberId } from './messages.ts';
import { sendOffObservers } from './observing.ts';
import { becomeFollower, drawElectionDeadline } from './role.ts';
import type { RaftState } from './state.ts';

export function onAppend(state: RaftState, from: MemberId, received: Append): void {
  if (!isWellFormed(received)) {
    state.out.trace({ kind: 'ignored', from, message: received.kind, reason: 'malformed' });
    return;
  }
  follow(state, from);
  const message = beyondSnapshot(state, received);
  if (state.log.termAt(message.prevIndex) !== message.prevTerm) {
    rejectAppend(state, from, message);
    return;
  }
  takeEntries(state, message);
  const matchIndex = logIndex(message.prevIndex + message.entries.length);
  if (matchIndex > state.matchedIndex) state.matchedIndex = matchIndex;
  learnCommit(state, message.commitIndex);
  state.out.sendAfterPersist(from, { kind: 'append-accepted', term: state.term, session: message.session, matchIndex });
}

/**
 * An entry that is compacted here is no conflict: all up to the snapshot is committed, so the leader's log holds the
 * same. What the message brings beyond counts from there.
 */
function beyondSnapshot({ log }: RaftState, message: Append): Append {
  const { prevIndex } = message;
  if (prevIndex >= log.snapshotIndex || log.termAt(prevIndex) !== undefined) return message;
  const entries = message.entries.slice(log.snapshotIndex - prevIndex);
  return { ...message, prevIndex: log.snapshotIndex, prevTerm: log.snapshotTerm, entries };
}

export function onHeartbeat(state: RaftState, from: MemberId, message: Heartbeat): void {
  follow(state, from);
  learnCommit(state, message.commitIndex);
  replyToHeartbeat(state, from, message);
}

/** To a leader of an older term too: the answer carries the newer term and makes it step down. */
export function replyToHeartbeat(state: RaftState, from: MemberId, message: Heartbeat): void {
  const { term, matchedIndex } = state;
  const { session, round } = message;
  state.sendWhenTermDurable(from, { kind: 'heartbeat-reply', term, session, matchedIndex, round });
}

/** To a leader of an older term too, as above. */
export function rejectAppend(state: RaftState, from: MemberId, message: Append): void {
  const { lastIndex } = state.log;
  const hintIndex = state.log.agreementBelow(message.prevIndex, message.prevTerm);
  state.out.trace({ kind: 'append-refused', prevIndex: message.prevIndex, lastIndex });
  state.out.sendAfterPersist(from, {
    kind: 'append-rejected',
    term: state.term,
    session: message.session,
    prevIndex: message.prevIndex,
    hintIndex,
    hintTerm: state.log.termAt(hintIndex) ?? state.log.lastTerm,
    lastIndex,
  });
}

/** This message proves that `leader` leads the term. */
export function follow(state: RaftState, leader: MemberId): void {
  invariant(state.role !== 'leader', 'two leaders in one term', { term: state.term, other: leader });
  invariant(state.leader === undefined || state.leader === leader, 'two leaders in one term', {
    term: state.term,
    known: state.leader,
    other: leader,
  });
  state.leaderContactMs = state.nowMs;
  if (state.leader === leader) {
    drawElectionDeadline(state);
    return;
  }
  becomeFollower(state);
  state.leader = leader;
  state.leaderlessRounds = undefined;
  drawElectionDeadline(state);
  state.out.trace({ kind: 'following', term: state.term, leader });
  sendOffObservers(state);
}

/**
 * Appends what is missing. Only an entry that **differs** cuts the log: a late or repeated message that ends before the
 * end of the log says nothing about what follows, and cutting there could lose committed entries.
 */
function takeEntries(state: RaftState, message: Append): void {
  const { log } = state;
  const firstNew = message.entries.findIndex((entry) => log.termAt(entry.index) !== entry.term);
  if (firstNew < 0) return;
  const missing = message.entries.slice(firstNew);
  const from = missing[0]?.index;
  if (from !== undefined && from <= log.lastIndex) {
    state.out.trace({ kind: 'truncated', fromIndex: from, lastIndex: log.lastIndex });
    state.truncateFrom(from);
  }
  for (const entry of missing) state.appendEntry(entry);
}

function isWellFormed(message: Append): boolean {
  let index: number = message.prevIndex;
  let term: number = message.prevTerm;
  for (const entry of message.entries) {
    if (entry.index !== index + 1 || entry.term < term || entry.term > message.term) return false;
    index = entry.index;
    term = entry.term;
  }
  return message.session.term === message.term && term <= message.term;
}
