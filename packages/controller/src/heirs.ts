/** Who may be asked to lead the controller: voters that answered of late and that stay, who has most of the log first. */
import type { MemberId, PeerView, Raft } from '@sluice/raft';

export interface HeirOptions {
  readonly raft: Raft;
  /** Who answered no earlier is there. */
  readonly sinceMs: number;
  /** Its process is gone or about to stop, its disk hangs, or its votes are revoked. */
  readonly isUnfit: (member: MemberId) => boolean;
}

export function heirs({ raft, sinceMs, isUnfit }: HeirOptions): readonly MemberId[] {
  const isThere = ({ peer, isVoter, lastContactMs }: PeerView): boolean =>
    isVoter && lastContactMs >= sinceMs && !isUnfit(peer);
  const there = raft.peers.filter(isThere).toSorted((one, other) => other.matchIndex - one.matchIndex);
  return there.map(({ peer }) => peer);
}
