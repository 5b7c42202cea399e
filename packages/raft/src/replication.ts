/** The leader's side of replication (paper §5.3): paired with `following`. Progress of each peer is in `progress`. */
import { logIndex, nextIndex } from '@sluice/base';
import { currentProgress } from './answers.ts';
import { maybeAdvanceCommit } from './commit.ts';
import { entryBytes } from './log-view.ts';
import type { AppendAccepted, AppendRejected, Entry, EntryKind, HeartbeatReply, MemberId } from './messages.ts';
import type { Progress } from './progress.ts';
import { quorumValue } from './quorum.ts';
import { stepDown } from './role.ts';
import { beginSnapshot, resumeSnapshot } from './snapshot-sending.ts';
import type { RaftState } from './state.ts';

/** Appends to the leader's own log; sends nothing. */
export function appendOwn(state: RaftState, kind: EntryKind, payload: Uint8Array): Entry {
  const entry: Entry = { index: nextIndex(state.log.lastIndex), term: state.term, kind, payload };
  state.appendEntry(entry);
  state.uncommittedBytes += entryBytes(entry);
  return entry;
}

export function broadcastEntries(state: RaftState): void {
  for (const progress of state.peers.values()) sendEntries(state, progress);
}

/** After anything that may move the commit index: followers learn of it at once, with the entries that wait, if any. */
export function commitAndTell(state: RaftState): void {
  if (!maybeAdvanceCommit(state)) return;
  for (const progress of state.peers.values()) if (progress.state === 'replicate') sendNews(state, progress);
}

/** Whatever the peer lacks, as far as its caps allow; false when nothing could or needed to be sent. */
export function sendEntries(state: RaftState, progress: Progress): boolean {
  let sent = false;
  while (progress.nextIndex <= state.log.lastIndex && progress.canSend(state.config)) {
    sendAppend(state, progress, state.config.appendBytesMax);
    sent = true;
  }
  return sent;
}

function sendNews(state: RaftState, progress: Progress): void {
  if (sendEntries(state, progress) || progress.commitSent >= state.commitIndex) return;
  sendAppend(state, progress, 0);
}

/** One append from `nextIndex`, or a snapshot if the log begins after it; `bytesMax` 0 sends none of the entries. */
function sendAppend(state: RaftState, progress: Progress, bytesMax: number): void {
  const prevIndex = logIndex(progress.nextIndex - 1);
  const prevTerm = state.log.termAt(prevIndex);
  if (prevTerm === undefined) {
    beginSnapshot(state, progress);
    return;
  }
  const { entries, bytes } =
    bytesMax === 0 ? { entries: [], bytes: 0 } : state.log.prefix(progress.nextIndex, bytesMax);
  state.out.sendNow(progress.peer, {
    kind: 'append',
    term: state.term,
    session: progress.session,
    prevIndex,
    prevTerm,
    entries,
    commitIndex: state.commitIndex,
  });
  progress.commitSent = state.commitIndex;
  progress.sent(logIndex(prevIndex + entries.length), bytes);
}

export function sendHeartbeats(state: RaftState): void {
  state.nextHeartbeatMs = state.nowMs + state.config.heartbeatMs;
  state.caughtUpIndex = state.commitIndex;
  sendRound(state, [...state.peers.values()]);
}

/** A round out of turn, for reads: observers have no say in it. */
export function sendReadRound(state: RaftState): void {
  sendRound(
    state,
    [...state.peers.values()].filter((progress) => progress.isVoter),
  );
}

function sendRound(state: RaftState, peers: readonly Progress[]): void {
  state.round += 1;
  const { term, commitIndex, round } = state;
  for (const { peer, session } of peers) {
    state.out.sendNow(peer, { kind: 'heartbeat', term, session, commitIndex, round });
  }
}

export function onAppendAccepted(state: RaftState, from: MemberId, message: AppendAccepted): void {
  const progress = currentProgress(state, from, message);
  if (progress === undefined) return;
  if (message.matchIndex > state.log.lastIndex) {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'malformed' });
    return;
  }
  progress.accepted(message.matchIndex);
  // A snapshot on its way is needed no more once the log goes on from what the peer has.
  const goesOn = progress.state === 'snapshot' && state.log.termAt(progress.matchIndex) !== undefined;
  if (progress.state === 'probe' || goesOn) {
    progress.becomeReplicate();
    state.out.trace({ kind: 'replicating', peer: from, matchIndex: progress.matchIndex });
  }
  commitAndTell(state);
  if (progress.state === 'replicate') sendNews(state, progress);
}

export function onAppendRejected(state: RaftState, from: MemberId, message: AppendRejected): void {
  const progress = currentProgress(state, from, message);
  if (progress === undefined) return;
  if (isStale(progress, message)) {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'stale-rejection' });
    return;
  }
  const agreed = state.log.agreementBelow(message.hintIndex, message.hintTerm);
  // The refused index itself is known not to match, whatever the hint says.
  const next = logIndex(Math.max(1, Math.min(agreed + 1, message.prevIndex)));
  if (message.lastIndex < progress.matchIndex) {
    const { matchIndex } = progress;
    state.out.trace({ kind: 'follower-lost-entries', peer: from, matchIndex, lastIndex: message.lastIndex });
    progress.restart(next, state.newSession());
  } else {
    progress.becomeProbe(next);
    state.out.trace({ kind: 'probing', peer: from, nextIndex: progress.nextIndex });
  }
  probe(state, progress);
}

/**
 * A rejection is news only if it answers the probe under way, or an append beyond what is known to match; or if it says
 * that what is known to match is there no longer. Never while a snapshot is on its way.
 */
function isStale(progress: Progress, { prevIndex, lastIndex }: AppendRejected): boolean {
  if (progress.state === 'snapshot') return true;
  if (progress.state === 'probe') return prevIndex !== progress.nextIndex - 1;
  return prevIndex < progress.matchIndex || (prevIndex === progress.matchIndex && lastIndex >= prevIndex);
}

/**
 * The peer lives. If it lacks entries, one more append shows whether those under way were lost; if it restarted, whether
 * it still has what it acknowledged, and up to where it may believe the commit index.
 */
export function onHeartbeatReply(state: RaftState, from: MemberId, message: HeartbeatReply): void {
  const progress = currentProgress(state, from, message);
  if (progress === undefined) return;
  if (message.round > progress.roundAnswered) progress.roundAnswered = message.round;
  if (progress.state === 'snapshot') {
    resumeSnapshot(state, progress, message.round);
    return;
  }
  if (progress.state === 'probe') {
    progress.resumeProbe();
    probe(state, progress);
    return;
  }
  const isBehind = progress.matchIndex < state.log.lastIndex || message.matchedIndex < progress.matchIndex;
  if (isBehind && !sendEntries(state, progress)) sendAppend(state, progress, 0);
}

/** One append, with or without entries: the answer tells where the logs agree. */
export function probe(state: RaftState, progress: Progress): void {
  if (progress.canSend(state.config)) sendAppend(state, progress, state.config.appendBytesMax);
}

/** When a quorum, this leader included, was last in contact: the quorum-th newest of the voters' contacts. */
export function quorumContactMs(state: RaftState): number {
  const contacts = state.voters.map((voter) =>
    voter === state.self ? state.nowMs : (state.peers.get(voter)?.lastContactMs ?? 0),
  );
  return quorumValue(contacts) ?? state.nowMs;
}

/** Check-quorum (thesis §6.2): a leader that no quorum answers must not go on looking like one. False: stepped down. */
export function holdsQuorum(state: RaftState): boolean {
  if (state.nowMs - quorumContactMs(state) < state.config.electionTimeoutMsMax) return true;
  stepDown(state, 'quorum-lost');
  return false;
}
