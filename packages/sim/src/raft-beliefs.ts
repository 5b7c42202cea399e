/**
 * What a member of the controller's Raft group takes for true, held against what is so: its voters, the logs of others,
 * how far others answered. A belief that is wrong does harm only when much else comes together, so it is looked at itself.
 * Part of `raft-invariants`, which calls it; owns the logs of campaigners, and since when a leader has been alone.
 *
 * - V12 a vote goes to nobody whose log is behind the voter's (paper §5.4.1)
 * - V13 the voters in effect are those of the last such entry of the member's own log (thesis §4.1)
 * - V14 what a leader counts of a voter of its term, that voter has; none has answered a round that was not sent
 * - V15 a leader that no quorum has answered for the longest election timeout leads no more (check-quorum, thesis §6.2)
 */
import { logIndex } from '@sluice/base';
import type { MemberId, Raft } from '@sluice/raft';
import { mustHold } from './violation.ts';

interface LogEnd {
  readonly lastTerm: number;
  readonly lastIndex: number;
}

interface Alone {
  readonly raft: Raft;
  readonly term: number;
  readonly sinceMs: number;
}

interface Campaign {
  readonly raft: Raft;
  readonly log: LogEnd;
}

export class RaftBeliefs {
  readonly #campaigns = new Map<string, Campaign>();
  readonly #alone = new Map<number, Alone>();

  /** A member that may have moved. */
  observe(raft: Raft): void {
    // Nothing is appended between the campaign and the votes for it.
    if (raft.role === 'candidate') {
      const key = `${raft.self} ${raft.term}`;
      // One that died before its term was durable asked nobody, and its next life may campaign in that term.
      if (this.#campaigns.get(key)?.raft !== raft) this.#campaigns.set(key, { raft, log: endOf(raft) });
    }
    const { index } = raft.membership;
    const kind = index > raft.lastIndex ? 'nothing' : (raft.entryAt(index)?.kind ?? 'membership');
    mustHold(kind === 'membership', 'voters-of-own-log', 'a member goes by voters that its log does not name', {
      member: raft.self,
      index,
      kind,
      lastIndex: raft.lastIndex,
    });
  }

  /** V12. A granted vote left `voter`. */
  onVote(voter: Raft, candidate: MemberId, term: number): void {
    const asked = this.#campaigns.get(`${candidate} ${term}`)?.log;
    if (asked === undefined || voter.term !== term || voter.leader !== undefined) return;
    const own = endOf(voter);
    // A vote leaves when it is durable. By then the voter may have what the winner sent it, which is of this term.
    if (own.lastTerm === term) return;
    const isBehind =
      asked.lastTerm < own.lastTerm || (asked.lastTerm === own.lastTerm && asked.lastIndex < own.lastIndex);
    mustHold(!isBehind, 'vote-for-complete', 'a member votes for one whose log is behind its own', {
      voter: voter.self,
      candidate,
      term,
      own,
      asked,
    });
  }

  /** V14. `all`: the live members whose disks nobody damaged. */
  onLeader(leader: Raft, all: readonly Raft[]): void {
    const { self, term, round } = leader;
    for (const { peer, isVoter, matchIndex, roundAnswered } of leader.peers) {
      mustHold(roundAnswered <= round, 'true-of-peers', 'a member has answered what was not asked', {
        leader: self,
        term,
        peer,
        round,
        roundAnswered,
      });
      const ofTerm = matchIndex === 0 ? undefined : leader.termAt(matchIndex);
      const member = isVoter ? all.find((each) => each.self === peer) : undefined;
      if (member === undefined || ofTerm === undefined || member.term !== term || matchIndex < member.firstIndex)
        continue;
      const has = member.termAt(logIndex(matchIndex));
      mustHold(has === ofTerm, 'true-of-peers', 'a leader counts an entry that a voter does not have', {
        leader: self,
        term,
        peer,
        matchIndex,
        ofTerm,
        has,
        lastIndex: member.lastIndex,
      });
    }
  }

  /** V15, now and then, of a process that runs. `nowMs`: of its own clock. Twice, because what is due may be next. */
  lookAt(
    node: number,
    raft: Raft,
    { nowMs, aloneMsMax }: { readonly nowMs: number; readonly aloneMsMax: number },
  ): void {
    const contactMs = raft.quorumContactMs;
    // One that stops in order steps no more, and tells nobody that it leads, while its disk may hang for long.
    const isAtRest = nowMs - raft.nextTickAtMs > aloneMsMax / 8;
    if (contactMs === undefined || isAtRest || nowMs - contactMs <= aloneMsMax) {
      this.#alone.delete(node);
      return;
    }
    const known = this.#alone.get(node);
    if (known?.raft !== raft || known.term !== raft.term) {
      this.#alone.set(node, { raft, term: raft.term, sinceMs: nowMs });
      return;
    }
    mustHold(nowMs - known.sinceMs <= aloneMsMax / 4, 'check-quorum', 'a leader that no quorum answers leads on', {
      leader: raft.self,
      term: raft.term,
      forMs: nowMs - contactMs,
      aloneMsMax,
    });
  }

  /** It does nothing now, so nothing is expected of it. */
  forget(node: number): void {
    this.#alone.delete(node);
  }
}

const endOf = (raft: Raft): LogEnd => ({
  lastIndex: raft.lastIndex,
  lastTerm: raft.termAt(raft.lastIndex) ?? raft.snapshot?.term ?? 0,
});
