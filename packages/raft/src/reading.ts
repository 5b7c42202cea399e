/**
 * ReadIndex (thesis §6.4): what the leader must have applied before it may answer a read from its own memory, so that
 * the answer is not older than what anybody had committed when the read began. No clock is trusted.
 *
 * - I1: a read is confirmed only by answers to a heartbeat round that began after it: an earlier answer says nothing
 *   about whether another leads by now.
 * - I2: its index is at least that of the first entry of the leader's own term, and committed: before that the leader
 *   does not know how far its predecessors had committed.
 *
 * At most one round is under way for reads; those that come meanwhile share the next. A lost one is repaired by the next
 * regular heartbeat. The shell bounds how many reads wait.
 */
import { quorumValue } from './quorum.ts';
import { sendReadRound } from './replication.ts';
import type { PendingRead, RaftState } from './state.ts';

export function onRead(state: RaftState, id: number): void {
  if (state.role !== 'leader') {
    state.out.reads.push({ id, outcome: 'not-leader' });
    return;
  }
  const index = state.commitIndex > state.ownTermIndex ? state.commitIndex : state.ownTermIndex;
  const isAlone = state.reads.length === 0;
  state.reads.push({ id, index, round: state.round + 1 });
  if (isAlone) sendReadRound(state);
}

/** After every step of a leader: answers, the index of the term's first entry and the voters may have changed. */
export function confirmReads(state: RaftState): void {
  if (state.reads.length === 0) return;
  const round = confirmedRound(state);
  const waiting: PendingRead[] = [];
  for (const read of state.reads) {
    if (read.round > round || read.index > state.commitIndex) waiting.push(read);
    else state.out.reads.push({ id: read.id, outcome: 'confirmed', index: read.index });
  }
  state.reads = waiting;
  // Those that came while the round just confirmed was under way.
  if (round === state.round && waiting.some((read) => read.round > round)) sendReadRound(state);
}

/** The latest round that a quorum has answered. */
function confirmedRound(state: RaftState): number {
  const answered = state.voters.map((voter) =>
    voter === state.self ? state.round : (state.peers.get(voter)?.roundAnswered ?? 0),
  );
  return quorumValue(answered) ?? 0;
}
