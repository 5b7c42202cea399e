/** When an entry is committed (paper §5.3, §5.4.2). Called after anything that can move a match or a durable index. */
import { logIndex, nextIndex } from '@sluice/base';
import type { LogIndex } from '@sluice/base';
import { entryBytes } from './log-view.ts';
import { quorumValue } from './quorum.ts';
import type { RaftState } from './state.ts';

/**
 * The leader's commit index moves to what a quorum holds durably, itself counted by what is durable here (P6), but only
 * to an entry of its own term: an older one may still be overwritten by a leader of a term between (Figure 8).
 * True when it moved.
 */
export function maybeAdvanceCommit(state: RaftState): boolean {
  if (state.role !== 'leader') return false;
  const index = quorumMatchIndex(state);
  if (index <= state.commitIndex || state.log.termAt(index) !== state.term) return false;
  for (const entry of state.log.range(nextIndex(state.commitIndex), index)) state.uncommittedBytes -= entryBytes(entry);
  state.commitIndex = index;
  return true;
}

/** The highest index that a quorum of voters holds durably. */
function quorumMatchIndex(state: RaftState): LogIndex {
  const durable = state.voters.map((voter) =>
    voter === state.self ? state.log.durableIndex : (state.peers.get(voter)?.matchIndex ?? 0),
  );
  return logIndex(quorumValue(durable) ?? 0);
}

/** A follower learns the leader's commit index, as far as its own log is known to equal the leader's. */
export function learnCommit(state: RaftState, leaderCommit: LogIndex): void {
  learnCommitted(state, leaderCommit < state.matchedIndex ? leaderCommit : state.matchedIndex);
}

/**
 * Follower: what a snapshot covers, for example, is committed, whoever leads. The log must hold it, or the commit index
 * cover it already.
 */
export function learnCommitted(state: RaftState, index: LogIndex): void {
  if (index > state.commitIndex) state.commitIndex = index;
  const { incoming } = state;
  // What is being made durable is still to be answered.
  if (incoming !== undefined && !incoming.isSaving && incoming.index <= state.commitIndex) state.incoming = undefined;
}
