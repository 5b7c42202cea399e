/**
 * The leader's side of a snapshot: paired with `snapshot-receiving`. A peer that lacks what is compacted away gets the
 * latest snapshot in chunks, one under way at a time; how far it is, the peer says. So a chunk may be lost, repeated or
 * late, and either side may restart: the next answer tells where to go on.
 */
import { currentProgress } from './answers.ts';
import type { MemberId, SnapshotProgress } from './messages.ts';
import type { Progress, SnapshotTransfer } from './progress.ts';
import type { RaftState } from './state.ts';

/** The log no longer holds what would tell whether the peer matches. */
export function beginSnapshot(state: RaftState, progress: Progress): void {
  const { snapshot, checksum } = state.snapshotToSend();
  progress.becomeSnapshot({ snapshot, checksum });
  const { index, bytes } = snapshot;
  state.out.trace({ kind: 'snapshot-sending', peer: progress.peer, index, bytesTotal: bytes.length });
  if (progress.transfer !== undefined) sendChunk(state, progress, progress.transfer);
}

/**
 * The peer lives, and perhaps the chunk was lost, or the answer that it is installed. Only a reply to a heartbeat that
 * left after the chunk says so: sending again on any other would crowd a slow connection with chunks.
 */
export function resumeSnapshot(state: RaftState, progress: Progress, round: number): void {
  const { transfer } = progress;
  if (transfer === undefined) return;
  if (isOutrun(state, transfer)) return beginSnapshot(state, progress);
  if (round > transfer.sentRound) sendChunk(state, progress, transfer);
}

export function onSnapshotProgress(state: RaftState, from: MemberId, message: SnapshotProgress): void {
  const progress = currentProgress(state, from, message);
  if (progress === undefined) return;
  const { transfer } = progress;
  if (transfer === undefined || transfer.snapshot.index !== message.index) {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'stale-progress' });
    return;
  }
  if (message.receivedBytes > transfer.snapshot.bytes.length) {
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason: 'malformed' });
    return;
  }
  if (isOutrun(state, transfer)) return beginSnapshot(state, progress);
  // No news: repeated. Sending again at once would keep two chunks under way for ever.
  if (message.receivedBytes === transfer.receivedBytes) return;
  transfer.receivedBytes = message.receivedBytes;
  // All of it is there: the peer makes it durable, and answers when it is the start of its log.
  if (transfer.receivedBytes < transfer.snapshot.bytes.length) sendChunk(state, progress, transfer);
}

/** Compaction has gone past the snapshot under way: installing it would not help, a newer one is needed. */
const isOutrun = (state: RaftState, { snapshot }: SnapshotTransfer): boolean =>
  state.log.termAt(snapshot.index) === undefined;

/** From where the peer is; empty when it has everything, to ask whether it is installed. */
function sendChunk(state: RaftState, progress: Progress, transfer: SnapshotTransfer): void {
  const { index, term: lastTerm, membership, bytes } = transfer.snapshot;
  const offset = transfer.receivedBytes;
  const chunk = bytes.subarray(offset, offset + state.config.snapshotChunkBytesMax);
  transfer.sentRound = state.round;
  state.out.sendNow(progress.peer, {
    kind: 'snapshot-chunk',
    term: state.term,
    session: progress.session,
    index,
    lastTerm,
    membership,
    bytesTotal: bytes.length,
    checksum: transfer.checksum,
    offset,
    chunk,
    chunkChecksum: state.checksum(chunk),
  });
}
