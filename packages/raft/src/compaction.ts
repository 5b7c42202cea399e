/** What becomes of the log when a snapshot is durable: this member's own, or one that its leader sent. */
import { invariant, logIndex } from '@sluice/base';
import { learnCommitted } from './commit.ts';
import type { Snapshot } from './messages.ts';
import { becomeFollower } from './role.ts';
import { acceptAsMatch } from './snapshot-receiving.ts';
import type { RaftState } from './state.ts';

export function onSnapshotSaved(state: RaftState, snapshot: Snapshot): void {
  const { index, term } = snapshot;
  if (index <= state.log.snapshotIndex) {
    state.out.trace({ kind: 'snapshot-ignored', index, reason: 'older' });
  } else if (state.log.termAt(index) === term) {
    if (index <= state.deliveredIndex) {
      compact(state, snapshot);
    } else {
      // While it was made durable the entries arrived as well: they are delivered one by one, and none is lacking.
      state.out.trace({ kind: 'snapshot-ignored', index, reason: 'not-delivered' });
      // One that leads by now commits by counting, as ever.
      if (state.role !== 'leader') learnCommitted(state, index);
    }
  } else {
    install(state, snapshot);
  }
  const { incoming } = state;
  if (incoming === undefined || incoming.index > state.commitIndex) return;
  state.incoming = undefined;
  // Another leader asks by itself.
  if (incoming.session.term !== state.term || incoming.leader !== state.leader) return;
  acceptAsMatch(state, incoming.leader, incoming.session);
}

/** Entries up to the snapshot may go, but for some that a follower a little behind would lack. */
function compact(state: RaftState, snapshot: Snapshot): void {
  const { index } = snapshot;
  const trailingFrom = index - state.config.compactionTrailingEntries + 1;
  const keepFrom = logIndex(Math.max(state.log.firstIndex, trailingFrom));
  state.startLogAt(snapshot, keepFrom);
  state.out.trace({ kind: 'compacted', snapshotIndex: index, firstIndex: keepFrom });
}

/** The log ends before the snapshot or differs from it, so nothing in it can be kept. */
function install(state: RaftState, snapshot: Snapshot): void {
  const { index, term } = snapshot;
  invariant(index > state.commitIndex, 'S2: a snapshot that contradicts what is committed', {
    index,
    commitIndex: state.commitIndex,
  });
  // Elected, it would hold all that is committed, and so what the snapshot covers.
  invariant(state.role !== 'leader', 'a leader loads a snapshot', { index, term: state.term });
  // A campaign was made with the log that goes now.
  if (state.role !== 'follower') becomeFollower(state);
  state.out.trace({ kind: 'snapshot-installed', index, term, replacedLastIndex: state.log.lastIndex });
  state.replaceLog(snapshot);
}
