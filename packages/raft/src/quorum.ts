/** The arithmetic of elections and commits, over any number of voters; without voters nothing is ever reached. */
import type { LogIndex, Term } from '@sluice/base';
import type { MemberId } from './messages.ts';

/** A majority: two quorums of the same voters, or of voters that differ by one, share a member. */
export const quorumSize = (voters: number): number => Math.floor(voters / 2) + 1;

/** The highest value that a quorum has reached; `values` has one for each voter. Undefined without voters. */
export function quorumValue(values: readonly number[]): number | undefined {
  return values.toSorted((left, right) => right - left)[quorumSize(values.length) - 1];
}

/** Whether enough of the voters are among `members`; those who are no voters count for nothing. */
export function isQuorum(voters: readonly MemberId[], members: ReadonlySet<MemberId>): boolean {
  return voters.filter((voter) => members.has(voter)).length >= quorumSize(voters.length);
}

export interface LogEnd {
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
}

/** Paper §5.4.1: the later last term wins, then the longer log. */
export function isUpToDate(candidate: LogEnd, voter: LogEnd): boolean {
  if (candidate.lastTerm !== voter.lastTerm) return candidate.lastTerm > voter.lastTerm;
  return candidate.lastIndex >= voter.lastIndex;
}
