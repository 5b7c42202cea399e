/** Commands enter the log here, within the bound on what is uncommitted. */
import { invariant } from '@sluice/base';
import { appendOwn, broadcastEntries } from './replication.ts';
import type { RaftState } from './state.ts';

export function onPropose(state: RaftState, payloads: readonly Uint8Array[]): void {
  const [first, ...rest] = payloads;
  invariant(first !== undefined, 'a proposal without payloads');
  if (state.role !== 'leader') {
    state.out.proposal = { outcome: 'not-leader', leader: state.leader };
    return;
  }
  if (state.transfer !== undefined) {
    state.out.proposal = { outcome: 'transferring' };
    return;
  }
  const { uncommittedBytes } = state;
  const proposedBytes = payloads.reduce((sum, payload) => sum + payload.length, 0);
  const isTailEmpty = state.commitIndex === state.log.lastIndex;
  if (!isTailEmpty && uncommittedBytes + proposedBytes > state.config.uncommittedBytesMax) {
    state.out.proposal = { outcome: 'tail-full', uncommittedBytes };
    state.out.trace({ kind: 'proposal-refused', uncommittedBytes });
    return;
  }
  const firstIndex = appendOwn(state, 'command', first).index;
  for (const payload of rest) appendOwn(state, 'command', payload);
  state.out.proposal = { outcome: 'accepted', firstIndex, lastIndex: state.log.lastIndex, term: state.term };
  broadcastEntries(state);
}
