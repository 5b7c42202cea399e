/**
 * Leader transfer (thesis §3.10): the leader brings a voter up to its own last entry, accepts nothing meanwhile, and
 * tells it to campaign at once. It only hurries an election: who leads is decided by votes as ever.
 *
 * - T1: nothing is proposed while a transfer is under way, so that the transferee stays up to date.
 * - T2: given up after `electionTimeoutMsMin`; if the transferee campaigns later still, it wins only with a whole log.
 * - T3: the transferee is told only when all that was proposed is committed, and durable here: whoever waits for it has
 *   an answer, and is not left in doubt by the end of this leadership.
 * - T4: a leader whose disk hangs resigns: durable here would never come. The heir is told at once, and this one leads no
 *   more, be it heard or not. Who has the whole log wins, as in every election.
 */
import type { TransferOutcome } from './effects.ts';
import { campaign } from './election.ts';
import type { MemberId, TimeOutNow } from './messages.ts';
import { probe } from './replication.ts';
import { stepDown } from './role.ts';
import type { RaftState } from './state.ts';

export function onTransfer(state: RaftState, to: MemberId): void {
  state.out.transfer = beginTransfer(state, to);
}

function beginTransfer(state: RaftState, to: MemberId): TransferOutcome {
  if (state.role !== 'leader') return { outcome: 'refused', reason: 'not-leader' };
  if (to === state.self) return { outcome: 'refused', reason: 'already-leader' };
  const progress = state.peers.get(to);
  if (progress === undefined || !progress.isVoter) return { outcome: 'refused', reason: 'not-a-voter' };
  if (state.transfer !== undefined) return { outcome: 'refused', reason: 'transfer-under-way' };
  state.transfer = { to, deadlineMs: state.nowMs + state.config.electionTimeoutMsMin, isTold: false };
  state.out.trace({ kind: 'transfer-begun', term: state.term, to });
  if (progress.state === 'probe') probe(state, progress);
  return { outcome: 'begun' };
}

/** T4 */
export function onResign(state: RaftState, to: MemberId): void {
  if (state.role !== 'leader' || state.peers.get(to)?.isVoter !== true) return;
  state.out.sendNow(to, { kind: 'time-out-now', term: state.term });
  stepDown(state, 'resigned');
}

/** After every step of a leader: the transferee may have reached the end of the log. */
export function continueTransfer(state: RaftState): void {
  const { transfer } = state;
  if (transfer === undefined || transfer.isTold) return;
  const { lastIndex, durableIndex } = state.log;
  // T3
  if (Math.min(state.commitIndex, durableIndex) !== lastIndex) return;
  if (state.peers.get(transfer.to)?.matchIndex !== lastIndex) return;
  transfer.isTold = true;
  state.out.sendNow(transfer.to, { kind: 'time-out-now', term: state.term });
}

/** Leader, on a tick: tells it again, since the first word may be lost, or is usable again. */
export function repeatTransfer(state: RaftState): void {
  const { transfer } = state;
  if (transfer === undefined) return;
  transfer.isTold = false;
  if (state.nowMs >= transfer.deadlineMs) giveUp(state, transfer.to);
}

/** Its process is gone: no deadline needs to be waited for. */
export function onTransfereeRefused(state: RaftState, peer: MemberId): void {
  if (state.transfer?.to === peer) giveUp(state, peer);
}

function giveUp(state: RaftState, to: MemberId): void {
  state.out.trace({ kind: 'transfer-given-up', term: state.term, to });
  state.transfer = undefined;
}

/** Transferee: no pre-vote, since the leader itself asks for it. */
export function onTimeOutNow(state: RaftState, from: MemberId, message: TimeOutNow): void {
  if (state.role !== 'follower' || state.leader !== from || !state.mayCampaign) {
    const reason = state.leader === from ? 'may-not-campaign' : 'not-following';
    state.out.trace({ kind: 'ignored', from, message: message.kind, reason });
    return;
  }
  campaign(state, true);
}
