/**
 * How often what a run is for really happened: counted from what the nodes say of themselves. A set of runs in which one
 * of these never did proves nothing about it.
 */
import type { LogFields } from '@sluice/base';
import { faultKinds } from './faults/swarm.ts';
import type { LogLine } from './sim-cluster.ts';

const raftEvents = {
  leading: 'elections',
  campaign: 'campaigns',
  'stepped-down': 'stepDowns',
  truncated: 'truncations',
  'append-refused': 'appendsRefused',
  'vote-refused': 'votesRefused',
  'transfer-begun': 'transfersBegun',
  'transfer-given-up': 'transfersGivenUp',
  'follower-lost-entries': 'followersLostEntries',
  'leader-refused': 'leadersRefused',
  voting: 'votesWithdrawn',
  compacted: 'compactions',
  'snapshot-installed': 'snapshotsInstalled',
} as const;

const phrases: Readonly<Record<string, string>> = {
  'torn group cut from the journal': 'tornGroups',
  'last stop was not in order': 'uncleanStarts',
  'this directory may have lost votes and does not vote': 'nonVotingStarts',
  'data directory is an older copy of itself and votes no more': 'olderCopiesFound',
  'another node refuses this one': 'copiesRefused',
  'nodes fenced': 'fenced',
  'log cut to match its leader': 'logTruncations',
};

/** Of a set of runs that is large enough to expect each of them. */
export const requiredCoverage: readonly string[] = [
  'birthsUnderFaults',
  'elections',
  'votesSeen',
  'stepDowns',
  'transfersDone',
  'truncations',
  'compactions',
  'snapshotsInstalled',
  'fenced',
  'logTruncations',
  'restarts',
  'unsyncedLosses',
  'tornGroups',
  'halts',
  'olderCopiesFound',
  'copiesRefused',
  'voterChanges',
  'requestsInDoubt',
  'recordsAcked',
  'recordsAckedFromMemory',
  'trims',
  'partitionCommits',
  'partitionLeaderships',
];
export const seedsForCoverage = 100;

export type Coverage = Readonly<Record<string, number>>;

export class CoverageCounter {
  readonly #counts = new Map<string, number>();
  /** Who is to lead in which term, as the last leader that hands over wants it. */
  #transfer = '';

  add(name: string, count = 1): void {
    if (count > 0) this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  onLine({ phrase, fields, node }: LogLine): void {
    if (phrase === 'raft event') {
      if (fields['kind'] === 'transfer-begun') this.#transfer = transferOf(fields);
      if (fields['kind'] === 'leading' && this.#transfer === `${node} ${fields['term']}`) this.add('transfersDone');
      const name = raftEvents[fields['kind'] as keyof typeof raftEvents];
      if (name !== undefined) this.add(name);
      return;
    }
    const name = phrases[phrase];
    if (name !== undefined) this.add(name);
  }

  get counts(): Coverage {
    return Object.fromEntries([...this.#counts].toSorted(([one], [other]) => (one < other ? -1 : 1)));
  }
}

const transferOf = ({ to, term }: LogFields): string => `node${Number.parseInt(String(to), 10)} ${Number(term) + 1}`;

/** What a set of runs should have seen and did not: rare events, and kinds of faults; too small a set lacks nothing. */
export function missingIn(set: {
  readonly seeds: number;
  readonly coverage: Coverage;
  /** Faults by kind. */
  readonly happened: Coverage;
}): readonly string[] {
  if (set.seeds < seedsForCoverage) return [];
  const never = (names: readonly string[], counts: Coverage): readonly string[] =>
    names.filter((name) => (counts[name] ?? 0) === 0);
  return [...never(requiredCoverage, set.coverage), ...never(faultKinds, set.happened).map((kind) => `fault ${kind}`)];
}

export function addCoverage(one: Coverage, other: Coverage): Coverage {
  const sum: Record<string, number> = { ...one };
  for (const [name, count] of Object.entries(other)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}
