/**
 * The follower's side of a snapshot: paired with `snapshot-sending`.
 *
 * - N1: nothing is handed out before the checksums of every chunk and of the whole fit.
 * - N2: a snapshot that covers only what is committed or in the log here is answered as a match; nothing ever rolls back.
 * - N3: what has arrived belongs to one snapshot, named by index, term, size and checksum. Another leader that sends the
 *   same one goes on where the last one was.
 */
import { learnCommitted } from './commit.ts';
import { follow } from './following.ts';
import { joined } from './incoming-snapshot.ts';
import type { IncomingSnapshot } from './incoming-snapshot.ts';
import type { MemberId, ReplicationSession, SnapshotChunk } from './messages.ts';
import type { RaftState } from './state.ts';

export function onSnapshotChunk(state: RaftState, from: MemberId, message: SnapshotChunk): void {
  if (!isWellFormed(message)) {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'malformed' });
    return;
  }
  follow(state, from);
  const isInLog = state.log.termAt(message.index) === message.lastTerm;
  if (isInLog || message.index <= state.commitIndex) {
    learnCommitted(state, message.index);
    acceptAsMatch(state, from, message.session);
    return;
  }
  const incoming = incomingFor(state, from, message);
  if (incoming !== undefined) takeChunk(state, incoming, message);
}

/** To a leader of an older term: the answer carries the newer term and makes it step down. */
export function refuseSnapshotChunk(state: RaftState, from: MemberId, message: SnapshotChunk): void {
  sendProgress(state, from, message, 0);
}

/**
 * Every leader of this term holds what is committed, so the logs agree up to there (leader completeness). Held until all
 * writes under way are durable, and with them every entry, or the snapshot, that the commit index speaks of (P2).
 */
export function acceptAsMatch(state: RaftState, to: MemberId, session: ReplicationSession): void {
  const matchIndex = state.commitIndex;
  if (matchIndex > state.matchedIndex) state.matchedIndex = matchIndex;
  if (state.incoming !== undefined && state.incoming.index <= matchIndex) state.incoming = undefined;
  state.out.sendAfterPersist(to, { kind: 'append-accepted', term: state.term, session, matchIndex });
}

/** What has arrived of this snapshot so far; undefined for a late chunk of one that the leader has given up. */
function incomingFor(state: RaftState, leader: MemberId, message: SnapshotChunk): IncomingSnapshot | undefined {
  const { index, lastTerm, membership, bytesTotal, checksum, session } = message;
  const known = state.incoming;
  if (known !== undefined) {
    if (known.session.term === session.term && index < known.index) {
      state.out.trace({ kind: 'ignored', from: leader, message: message.kind, reason: 'stale-chunk' });
      return undefined;
    }
    const isSame = known.index === index && known.lastTerm === lastTerm;
    if (isSame && known.bytesTotal === bytesTotal && known.checksum === checksum) {
      known.leader = leader;
      known.session = session;
      return known;
    }
  }
  state.out.trace({ kind: 'snapshot-receiving', from: leader, index, bytesTotal });
  const nothing = { chunks: [], receivedBytes: 0, isSaving: false };
  state.incoming = { index, lastTerm, membership, bytesTotal, checksum, leader, session, ...nothing };
  return state.incoming;
}

function takeChunk(state: RaftState, incoming: IncomingSnapshot, message: SnapshotChunk): void {
  const { offset, chunk, chunkChecksum } = message;
  const { leader, index } = incoming;
  // Also of one that is not needed: what a damaged message asks for is not known. The leader sends it again.
  if (state.checksum(chunk) !== chunkChecksum) {
    state.out.trace({ kind: 'snapshot-damaged', from: leader, index, part: 'chunk', offset });
    return;
  }
  if (!incoming.isSaving && offset === incoming.receivedBytes) {
    incoming.chunks.push(chunk);
    incoming.receivedBytes += chunk.length;
    if (incoming.receivedBytes === incoming.bytesTotal) handOut(state, incoming);
  }
  sendProgress(state, leader, incoming, incoming.receivedBytes);
}

/** All chunks are there: to the shell with it, or, if the whole is not what was announced, from the start again (N1). */
function handOut(state: RaftState, incoming: IncomingSnapshot): void {
  const { leader, index, lastTerm, membership, chunks } = incoming;
  const bytes = joined(chunks, incoming.bytesTotal);
  incoming.chunks = [];
  if (state.checksum(bytes) !== incoming.checksum) {
    state.out.trace({ kind: 'snapshot-damaged', from: leader, index, part: 'whole', offset: 0 });
    incoming.receivedBytes = 0;
    return;
  }
  incoming.isSaving = true;
  state.out.saveSnapshot = { index, term: lastTerm, membership, bytes };
}

function sendProgress(
  state: RaftState,
  to: MemberId,
  { session, index }: Pick<SnapshotChunk, 'session' | 'index'>,
  receivedBytes: number,
): void {
  state.sendWhenTermDurable(to, { kind: 'snapshot-progress', term: state.term, session, index, receivedBytes });
}

function isWellFormed({
  term,
  session,
  index,
  lastTerm,
  membership,
  offset,
  chunk,
  bytesTotal,
}: SnapshotChunk): boolean {
  const isWhole = offset + chunk.length <= bytesTotal && (chunk.length > 0 || offset === bytesTotal);
  return isWhole && session.term === term && index > 0 && lastTerm <= term && membership.index <= index;
}
