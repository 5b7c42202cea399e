/**
 * The leader's side of a change of voters, one at a time (thesis §4.1 to §4.4, reliability rules of a safe minimum).
 *
 * - C1: no change before an entry of the leader's own term is committed: what a predecessor had changed, and this leader
 *   does not know of, can then never be committed (Ongaro, raft-dev 2015). It includes what others keep as a number of
 *   its own, the last index at the election below which a change may be hidden: that lies before this entry.
 * - C2: no change before the one before it is committed.
 * - C3: only an observer that is caught up becomes a voter, so that the group does not wait for it.
 * - C4: the last voter stays.
 * - C5: a leader that is no voter any more goes on until that is committed, without counting itself, then steps down.
 */
import { nextIndex } from '@sluice/base';
import type { MembershipChange, MembershipChangeOutcome } from './effects.ts';
import { encodeMembership } from './membership.ts';
import type { MemberId, Voter } from './messages.ts';
import { Progress } from './progress.ts';
import { appendOwn, broadcastEntries, commitAndTell, probe } from './replication.ts';
import { stepDown } from './role.ts';
import type { RaftState } from './state.ts';

export function onChangeMembership(state: RaftState, change: MembershipChange): void {
  state.out.membershipChange = changeMembership(state, change);
  if (state.out.membershipChange.outcome === 'refused') {
    state.out.trace({ kind: 'membership-refused', reason: state.out.membershipChange.reason });
  }
}

function changeMembership(state: RaftState, change: MembershipChange): MembershipChangeOutcome {
  const { leader } = state;
  if (state.role !== 'leader') {
    return { outcome: 'refused', reason: 'not-leader', ...(leader === undefined ? {} : { leader }) };
  }
  const { voters } = state.membership;
  const refusal = refusalNow(state) ?? ('add' in change ? addRefusal(state, change.add) : removeRefusal(state, change));
  if (refusal !== undefined) return refusal;
  const next = 'add' in change ? [...voters, change.add] : voters.filter(({ id }) => id !== change.remove);
  const entry = appendOwn(state, 'membership', encodeMembership(next));
  regroup(state);
  broadcastEntries(state);
  // Fewer voters are a smaller quorum: what it already holds is committed.
  commitAndTell(state);
  return { outcome: 'accepted', index: entry.index, term: entry.term };
}

type Refusal = Extract<MembershipChangeOutcome, { outcome: 'refused' }>;

function refusalNow(state: RaftState): Refusal | undefined {
  if (state.transfer !== undefined) return { outcome: 'refused', reason: 'transfer-under-way' };
  if (state.commitIndex < state.ownTermIndex) return { outcome: 'refused', reason: 'own-term-uncommitted' };
  return state.isMembershipCommitted ? undefined : { outcome: 'refused', reason: 'change-under-way' };
}

function addRefusal(state: RaftState, { id }: Voter): Refusal | undefined {
  if (state.voters.includes(id)) return { outcome: 'refused', reason: 'already-a-voter' };
  const progress = state.peers.get(id);
  if (progress?.state === 'replicate' && progress.matchIndex >= state.caughtUpIndex) return undefined;
  const { matchIndex } = progress ?? { matchIndex: undefined };
  const { lastIndex } = state.log;
  return {
    outcome: 'refused',
    reason: 'not-caught-up',
    lastIndex,
    ...(matchIndex === undefined ? {} : { matchIndex }),
  };
}

function removeRefusal(state: RaftState, { remove }: { readonly remove: MemberId }): Refusal | undefined {
  if (!state.voters.includes(remove)) return { outcome: 'refused', reason: 'not-a-voter' };
  return state.voters.length === 1 ? { outcome: 'refused', reason: 'last-voter' } : undefined;
}

/**
 * Who was added counts from now on, who was removed is an observer and learns it as one. Both begin a new session, so
 * that what they answered in their other part says nothing any more (raft-rs#571).
 */
function regroup(state: RaftState): void {
  const voters = new Set(state.voters);
  for (const [peer, known] of state.peers) {
    const isVoter = voters.has(peer);
    if (isVoter === known.isVoter) continue;
    const progress = new Progress({
      peer,
      isVoter,
      session: state.newSession(),
      nextIndex: nextIndex(known.matchIndex),
      nowMs: known.lastContactMs,
    });
    state.peers.set(peer, progress);
    probe(state, progress);
  }
}

/** After every step of a leader (C5). Who knows most is told to campaign, so that nobody waits for a timeout. */
export function leaveIfRemoved(state: RaftState): void {
  if (state.isVoter || !state.isMembershipCommitted) return;
  const heirs = [...state.peers.values()].filter(({ isVoter }) => isVoter);
  const heir = heirs.toSorted((left, right) => right.matchIndex - left.matchIndex)[0];
  if (heir !== undefined) state.out.sendNow(heir.peer, { kind: 'time-out-now', term: state.term });
  stepDown(state, 'removed');
}
