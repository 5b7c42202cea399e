/** Bugs that others had in their Raft, planted in ours. See `canary`. */
import type { Canary } from './canary.ts';

const inRaft = (file: string): string => `packages/raft/src/${file}`;

export const raftCanaries: readonly Canary[] = [
  {
    name: 'prior-term-commit',
    source: 'LogCabin#44, paper Figure 8: an entry of an older term is committed by counting replicas',
    edits: [{ file: inRaft('commit.ts'), find: ' || state.log.termAt(index) !== state.term', replace: '' }],
  },
  {
    name: 'vote-before-sync',
    source: 'P2: a granted vote leaves before it is durable',
    edits: [
      {
        file: inRaft('election.ts'),
        find: "state.out.sendAfterPersist(from, { kind: 'vote-reply', pre, term: message.term, granted: true })",
        replace: "state.out.sendNow(from, { kind: 'vote-reply', pre, term: message.term, granted: true })",
      },
    ],
  },
  {
    name: 'vote-not-persisted',
    source: 'NodeDB#161: the vote is never written',
    edits: [
      {
        file: inRaft('state.ts'),
        find: '{ term: this.#term, votedFor: this.#votedFor }',
        replace: '{ term: this.#term, votedFor: undefined }',
      },
    ],
  },
  {
    name: 'append-acked-before-sync',
    source: 'P2: entries are acknowledged before they are durable',
    edits: [
      {
        file: inRaft('following.ts'),
        find: "state.out.sendAfterPersist(from, { kind: 'append-accepted'",
        replace: "state.out.sendNow(from, { kind: 'append-accepted'",
      },
    ],
  },
  {
    name: 'own-entry-counted-before-sync',
    source: 'etcd#14370 (P6): the leader counts what its own disk does not hold yet',
    edits: [
      {
        file: inRaft('commit.ts'),
        find: 'voter === state.self ? state.log.durableIndex :',
        replace: 'voter === state.self ? state.log.lastIndex :',
      },
    ],
  },
  {
    name: 'append-truncates-always',
    source: 'openraft 9540c904: a late append cuts what follows it',
    edits: [
      {
        file: inRaft('following.ts'),
        find: '  if (firstNew < 0) return;\n',
        replace:
          '  const after = logIndex(message.prevIndex + message.entries.length + 1);\n' +
          '  if (firstNew < 0 && message.entries.length > 0 && after <= log.lastIndex && after > state.commitIndex) state.truncateFrom(after);\n' +
          '  if (firstNew < 0) return;\n',
      },
    ],
  },
  {
    name: 'vote-ignores-last-term',
    source: 'openraft a48a3282: logs are compared by their length alone',
    edits: [
      {
        file: inRaft('quorum.ts'),
        find: '  if (candidate.lastTerm !== voter.lastTerm) return candidate.lastTerm > voter.lastTerm;\n',
        replace: '',
      },
    ],
  },
  {
    name: 'vote-ignores-last-index',
    source: 'openraft a48a3282, the other way: of two logs that end in one term the shorter one may win',
    edits: [
      {
        file: inRaft('quorum.ts'),
        find: '  return candidate.lastIndex >= voter.lastIndex;\n',
        replace: '  return true;\n',
      },
    ],
  },
  {
    name: 'stale-session',
    source: 'raft-rs#571: an answer from before a restart or a new term moves progress',
    edits: [
      {
        file: inRaft('answers.ts'),
        find: 'progress?.isSession(message.session)',
        replace: 'progress !== undefined',
      },
    ],
  },
  {
    name: 'two-changes-at-once',
    source: 'reliability §1.4: a second change of voters begins before the first is committed',
    edits: [
      {
        file: inRaft('membership-change.ts'),
        find: "return state.isMembershipCommitted ? undefined : { outcome: 'refused', reason: 'change-under-way' };",
        replace: 'return undefined;',
      },
    ],
  },
  {
    name: 'change-before-own-term',
    source: 'Ongaro, raft-dev 2015: a new leader changes voters before it has committed an entry of its term',
    edits: [
      {
        file: inRaft('membership-change.ts'),
        find: "  if (state.commitIndex < state.ownTermIndex) return { outcome: 'refused', reason: 'own-term-uncommitted' };\n",
        replace: '',
      },
    ],
  },
  {
    name: 'read-without-quorum',
    source: 'etcd-io/raft PR 397: a read is confirmed by a leader that may be replaced',
    edits: [
      {
        file: inRaft('reading.ts'),
        find: 'read.round > round || read.index > state.commitIndex',
        replace: 'read.index > state.commitIndex',
      },
    ],
  },
  {
    name: 'commit-beyond-match',
    source: 'paper §5.3: a follower believes a commit index about entries that it does not know its leader to have',
    edits: [
      {
        file: inRaft('commit.ts'),
        find: 'learnCommitted(state, leaderCommit < state.matchedIndex ? leaderCommit : state.matchedIndex);',
        replace: 'learnCommitted(state, leaderCommit < state.log.lastIndex ? leaderCommit : state.log.lastIndex);',
      },
    ],
  },
  {
    name: 'observer-counts',
    source: 'openraft 4d58a51e: who does not vote counts when an entry is committed',
    edits: [
      {
        file: inRaft('commit.ts'),
        find: 'return logIndex(quorumValue(durable) ?? 0);',
        replace:
          'const observed = [...state.peers.values()].filter((peer) => !peer.isVoter).map((peer) => peer.matchIndex);\n' +
          '  const all = [...durable, ...observed].toSorted((one, other) => other - one);\n' +
          '  return logIndex(all[Math.floor(durable.length / 2)] ?? quorumValue(durable) ?? 0);',
      },
    ],
  },
  {
    name: 'check-quorum-off',
    source: 'KAFKA-15489: a leader that no quorum answers goes on looking like one',
    edits: [
      {
        file: inRaft('replication.ts'),
        find: 'if (state.nowMs - quorumContactMs(state) < state.config.electionTimeoutMsMax) return true;',
        replace: 'if (state.role === "leader") return true;',
      },
    ],
  },
  {
    name: 'change-not-reverted',
    source: 'thesis §4.1: a member goes on by voters whose entry was cut off',
    edits: [{ file: inRaft('state.ts'), find: '    this.memberships.truncateFrom(index);\n', replace: '' }],
  },
  {
    // The first edit alone does no harm: the checksum of the whole finds it, and the snapshot is sent again.
    name: 'chunk-taken-twice',
    source: 'reliability §1.3: a repeated chunk is added again, and the whole is not checked',
    edits: [
      {
        file: inRaft('snapshot-receiving.ts'),
        find: '!incoming.isSaving && offset === incoming.receivedBytes',
        replace: '!incoming.isSaving && offset <= incoming.receivedBytes',
      },
      {
        file: inRaft('snapshot-receiving.ts'),
        find: 'if (incoming.receivedBytes === incoming.bytesTotal) handOut',
        replace: 'if (incoming.receivedBytes >= incoming.bytesTotal) handOut',
      },
      {
        file: inRaft('snapshot-receiving.ts'),
        find: 'state.checksum(bytes) !== incoming.checksum',
        replace: 'bytes.length === 0 && incoming.bytesTotal > 0',
      },
      {
        file: inRaft('incoming-snapshot.ts'),
        find: '    bytes.set(chunk, at);',
        replace: '    bytes.set(chunk.subarray(0, bytesTotal - at), at);',
      },
    ],
  },
];
