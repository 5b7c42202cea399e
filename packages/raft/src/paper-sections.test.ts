/**
 * Which transcript of `testdata` shows which rule: sections of the paper (Ongaro and Ousterhout, 2014), of the thesis
 * (Ongaro, 2014), and bugs that others had. Every transcript is named at least once.
 */
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';

const sections: Readonly<Record<string, readonly string[]>> = {
  // The paper.
  'Figure 2, all servers: apply what is committed, in order': ['replication', 'one-voter'],
  'Figure 2, all servers: a higher term in a request or a reply makes a follower': ['replaced-leader', 'term-held'],
  'Figure 2, RequestVote: refuse an older term, vote once, only for a log up to date': ['split-vote', 'figure-6'],
  'Figure 2, AppendEntries: refuse an older term': ['replaced-leader', 'stale-reply'],
  'Figure 2, AppendEntries: refuse without the entry before': ['duplicate-and-reordered-appends', 'backtracking'],
  'Figure 2, AppendEntries: only an entry that differs cuts the log': ['duplicate-and-reordered-appends'],
  'Figure 2, AppendEntries: commit index no further than the last new entry': ['restarted-follower'],
  'Figure 2, followers: campaign when the election timeout passes': ['election', 'pre-vote'],
  'Figure 2, candidates: a new timeout, a new round': ['split-vote'],
  'Figure 2, leaders: match by acknowledgement, next lowered by refusal': ['replication', 'backtracking', 'caps'],
  '§5.1 terms': ['replaced-leader', 'term-held'],
  '§5.2 leader election': ['election', 'split-vote', 'one-voter'],
  '§5.3 log replication': ['replication', 'duplicate-and-reordered-appends', 'restarted-follower'],
  '§5.3, figure 6: a log of entries and terms': ['figure-6'],
  '§5.3, figure 7: followers with missing and with other entries': ['figure-7', 'backtracking'],
  '§5.4.1 election restriction': ['figure-6', 'figure-8-own-term'],
  '§5.4.2, figure 8: entries of older terms are not committed by counting': ['figure-8', 'figure-8-own-term'],
  '§5.5 crashes of followers and candidates': ['restarted-follower', 'persistence-order'],
  '§6 stickiness: a removed or cut off member disturbs nobody': ['stickiness', 'membership-remove'],
  '§7 snapshots and compaction': ['snapshot-install', 'snapshot-restart', 'slow-follower-after-compaction'],
  '§7, figure 13: chunks, one after the other, until the snapshot is whole': [
    'snapshot-install',
    'snapshot-chunks-lost',
    'snapshot-damaged',
    'snapshot-follower-restarts',
    'snapshot-leader-changes',
    'snapshot-newer-mid-way',
    'snapshot-given-up',
  ],
  '§7, figure 13: a log that has the last entry of the snapshot stays, any other goes': [
    'snapshot-matching-log',
    'snapshot-conflicting-log',
    'snapshot-below-commit',
    'snapshot-saved-by-leader',
  ],
  '§8 a no-op at the beginning of a term': ['election', 'figure-8-own-term'],
  // The thesis.
  'Thesis §3.10 leader transfer': ['transfer', 'transfer-given-up', 'transfer-refused', 'resign'],
  'Thesis §4.1 one voter at a time, in effect on append': [
    'membership-add',
    'membership-remove',
    'membership-reverted',
  ],
  'Thesis §4.2.1 new voters are caught up first': ['membership-add'],
  'Thesis §4.2.2 removing the leader': [
    'membership-remove-leader',
    'membership-removed-candidate',
    'membership-new-voter-votes',
  ],
  'Thesis §4.2.3 servers that were removed': [
    'membership-removed-while-away',
    'membership-removed-restart',
    'membership-hint',
    'stickiness',
  ],
  'Thesis §6.2 check-quorum': ['check-quorum', 'check-quorum-one-answers', 'check-quorum-asking'],
  'Thesis §6.4 ReadIndex': ['read-index', 'read-index-own-term', 'read-index-replaced'],
  'Thesis §9.6 pre-vote': ['pre-vote', 'election'],
  'Thesis §10.2.1 the leader writes in parallel': ['acknowledgement-held', 'replication'],
  // Bugs of others.
  'Ongaro, raft-dev 2015: single changes by two leaders': [
    'membership-two-leaders-add-remove',
    'membership-two-leaders-two-adds',
    'membership-two-leaders-two-removes',
  ],
  'LogCabin#44: commit of an older term': ['figure-8'],
  'openraft 9540c904: a late append cuts committed entries': ['duplicate-and-reordered-appends'],
  'etcd: async append ABA': ['async-append-aba', 'compaction-aba'],
  'openraft eed681d5: install races apply': [
    'snapshot-racing-apply',
    'snapshot-entries-arrive-first',
    'snapshot-writes-under-way',
  ],
  'openraft 71a290cd, 44381b0c: an entry that is compacted is no conflict': ['slow-follower-after-compaction'],
  'raft-rs#571, etcd-io/raft#349: an answer of one removed and added again': [
    'membership-stale-session',
    'stale-reply',
    'snapshot-stale-session',
  ],
  'etcd#14370: committed before the own disk': ['one-voter', 'acknowledgement-held'],
  'KAFKA-15489: a leader that nobody answers': ['asymmetric-partition', 'check-quorum'],
  'KAFKA-16144: check-quorum of one voter': ['check-quorum-one-voter'],
  'KAFKA-16531: check-quorum of a leader that is no voter': ['check-quorum-removed-leader'],
  'hashicorp#73: slow walk to the matching entry': ['backtracking'],
  'CCF#5674: commit on step-down': ['check-quorum', 'replaced-leader'],
  // This design.
  'P2 to P4: what reflects a write waits for it': ['persistence-order', 'acknowledgement-held', 'term-held'],
  'P9: votes that may be lost do not count': ['voting-not-allowed', 'lost-entries', 'snapshot-lost-entries'],
  'A leader whose machine refuses is gone': ['leader-refused', 'leader-refused-ranks', 'observer-leader-refused'],
  Observers: ['observer', 'observer-leader-refused', 'observer-leader-moved', 'membership-hint'],
};

const transcripts = readdirSync(new URL('../testdata/', import.meta.url)).map((name) => name.replace(/\.txt$/, ''));

test.each(Object.entries(sections))('%s', (_section, named) => {
  expect(named.filter((name) => !transcripts.includes(name))).toEqual([]);
});

test('every transcript shows something of the table', () => {
  const named = new Set(Object.values(sections).flat());
  expect(transcripts.filter((name) => !named.has(name))).toEqual([]);
});
