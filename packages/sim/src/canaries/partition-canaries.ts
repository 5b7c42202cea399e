/** Bugs that others had in their replication, planted in ours. See `canary`. */
import type { Canary } from './canary.ts';

const inPartition = (file: string): string => `packages/partition/src/${file}`;
const inMetadata = (file: string): string => `packages/metadata/src/${file}`;

export const partitionCanaries: readonly Canary[] = [
  {
    name: 'high-watermark-counts-unsynced',
    source: 'pitfall 1 (D6): the high watermark counts bytes that are on no disk',
    edits: [
      {
        file: inPartition('ack-end.ts'),
        find: "state.assignment?.durability === 'replicated';",
        replace: 'state.assignment !== undefined;',
      },
    ],
  },
  {
    name: 'truncate-to-high-watermark',
    source: 'KAFKA-1211 (D8): a follower cuts its log at its own high watermark, and not by epochs',
    edits: [
      {
        file: inPartition('follower.ts'),
        find: 'if (shared >= state.highWatermark) truncateLog(state, shared, fx);',
        replace: 'if (shared >= state.highWatermark) truncateLog(state, state.highWatermark, fx);',
      },
    ],
  },
  {
    name: 'high-watermark-of-divergence',
    source: 'KAFKA-14704: the high watermark is taken from an answer that says that the logs differ',
    edits: [
      {
        file: inPartition('follower.ts'),
        find: '  if (shared >= state.highWatermark) truncateLog',
        replace:
          '  const told = smaller(event.endOffset, state.logEnd);\n' +
          '  if (told > state.highWatermark) raiseHighWatermark(state, told, fx);\n' +
          '  if (shared >= state.highWatermark) truncateLog',
      },
    ],
  },
  {
    name: 'last-epoch-lost',
    source: 'KAFKA-15510: a position does not say the epoch of the last batch',
    edits: [
      {
        file: inPartition('follower.ts'),
        find: 'state.logStart === state.logEnd ? undefined : state.epochs.latest,',
        replace: 'undefined,',
      },
    ],
  },
  {
    name: 'shrink-before-commit',
    source: 'pitfall 5 (D11): who is to leave the ISR does not count any more before the controller has decided',
    edits: [
      {
        file: inPartition('isr.ts'),
        find: 'assignmentOf(state).isr.includes(nodeId) || (leader.pendingIsr?.isr.includes(nodeId) ?? false)',
        replace: '(leader.pendingIsr?.isr ?? assignmentOf(state).isr).includes(nodeId)',
      },
    ],
  },
  {
    name: 'expansion-not-counted',
    source: 'pitfall 6 (D11): who is to join the ISR does not count before the answer of the controller',
    edits: [
      {
        file: inPartition('isr.ts'),
        find: ' || (leader.pendingIsr?.isr.includes(nodeId) ?? false)',
        replace: '',
      },
    ],
  },
  {
    name: 'stale-broker-epoch-joins',
    source: 'KAFKA-14617 (D12): a node joins by what an earlier life of it acked',
    edits: [
      { file: inMetadata('alter-partitions.ts'), find: ' || node.brokerEpoch !== brokerEpoch', replace: '' },
      {
        file: inPartition('isr.ts'),
        find: ' && replica.brokerEpoch === follower.brokerEpoch',
        replace: '',
      },
    ],
  },
  {
    name: 'join-without-position',
    source: 'pitfall 8 (D9): a leader goes by what followers acked when it led before',
    edits: [
      {
        file: inPartition('leadership.ts'),
        find: '    followers: new Map(),\n',
        replace: "    followers: ((state as unknown as { kept?: LeaderRole['followers'] }).kept ??= new Map()),\n",
      },
    ],
  },
  {
    name: 'join-below-epoch-start',
    source:
      'pitfall 9 (D9): a follower joins that has what the new leader knows to be committed, and not what its epoch began with',
    // Who ends below it was never caught up with this leader, so that the first edit alone does no harm.
    edits: [
      { file: inPartition('isr.ts'), find: ' || follower.acked < leader.epochStart', replace: '' },
      {
        file: inPartition('isr.ts'),
        find: '  if (lagMs(state, leader, follower) > state.config.replicaLagMsMax) return;\n',
        replace: '',
      },
    ],
  },
  {
    name: 'lossy-not-marked',
    source: 'pitfall 10 (D17b): the last replica standing is elected after it lost its disk',
    edits: [
      {
        file: inMetadata('nodes.ts'),
        find: 'const lossy = request.lossy || (before !== undefined && isOtherOrOlder(before, request));',
        replace: 'const lossy = false;',
      },
    ],
  },
  {
    name: 'change-rolled-back-on-time-out',
    source: 'pitfall 12 (D13): a proposal that was not answered is taken for refused',
    edits: [
      {
        file: inPartition('isr-proposal.ts'),
        find: "    default:\n      return 'retrying';",
        replace: "    default:\n      return 'rolledBack';",
      },
    ],
  },
  {
    name: 'restart-forgets-high-watermark',
    source: 'KAFKA-9491: a log that begins anew forgets how far it was committed',
    edits: [
      {
        file: inPartition('follower.ts'),
        find: "  if (to > state.highWatermark) raiseHighWatermark(state, to, fx);\n  fx.change({ kind: 'restartAt'",
        replace: "  fx.change({ kind: 'restartAt'",
      },
    ],
  },
  {
    name: 'duplicate-appended',
    source: 'pitfall 14 (I3): a repeated batch gets another offset',
    edits: [
      {
        file: inPartition('leader-append.ts'),
        find: "  if (verdict?.kind === 'duplicate') return answerDuplicate(state, leader, { event, batch: verdict.batch }, fx);\n",
        replace: '',
      },
    ],
  },
  {
    name: 'producers-not-truncated',
    source: 'pitfall 16 (I5): what a cut takes away is remembered as appended',
    edits: [{ file: inPartition('follower.ts'), find: '  state.producers.truncateTo(to);\n', replace: '' }],
  },
  {
    name: 'acked-after-leadership',
    source: 'KAFKA-20634: what waited for the high watermark is acked when leadership is lost',
    edits: [
      {
        file: inPartition('leadership.ts'),
        find: "leader.awaitingCommit.takeAll((reply) => fx.fail(reply.requestId, 'LEADERSHIP_LOST'));",
        replace: 'leader.awaitingCommit.takeAll((reply) => fx.succeed(reply.requestId, reply.baseOffset));',
      },
    ],
  },
  {
    name: 'stale-replica-session',
    source: 'raft-rs#571 (D7): an ack from before a position was stated anew counts',
    edits: [
      {
        file: inPartition('leader-replication.ts'),
        find: 'if (follower?.session !== event.session || follower.brokerEpoch !== event.brokerEpoch || !follower.streaming) {',
        replace: 'if (follower === undefined || follower.brokerEpoch !== event.brokerEpoch) {',
      },
    ],
  },
  {
    name: 'time-out-is-failure',
    source: 'pitfall 29 (G3): a send whose answer leaves it open is not sent again, and called failed',
    edits: [
      {
        file: 'packages/client/src/delivery-errors.ts',
        find: 'error.definite === definite ? error : restated(error, definite, {});',
        replace: 'restated(error, true, {});',
      },
      {
        file: 'packages/client/src/delivery-errors.ts',
        find: "error.retryable || error.code === 'TIMEOUT';",
        replace:
          "error.retryable && error.code !== 'LEADERSHIP_LOST' && error.code !== 'NOT_ENOUGH_REPLICAS_AFTER_APPEND';",
      },
    ],
  },
  {
    name: 'orphans-deleted',
    source: 'nats-server#7556: data is deleted that metadata does not know, though metadata may be older',
    edits: [
      {
        file: 'packages/broker/src/partition-hosts.ts',
        find: '    if (epoch === undefined || image.appliedIndex < epoch) return;\n    if (this.#assignedEpoch !== epoch) this.#deleteOrphans();\n',
        replace:
          '    if (epoch === undefined) return;\n    if (this.#assignedEpoch !== epoch) this.#deleteOrphans();\n    if (image.appliedIndex < epoch) return;\n',
      },
    ],
  },
  {
    name: 'committed-by-lease',
    source: 'pitfall 31: whoever was heard of a moment ago is taken to have what was sent to it',
    edits: [
      {
        file: inPartition('high-watermark.ts'),
        find: '      if (follower === undefined) return;\n      committed = smaller(committed, follower.acked);',
        replace:
          '      if (follower === undefined) return;\n      const isFresh = state.liveness.heardAtMs(replica.nodeId) > state.nowMs - 50;\n      if (!isFresh) committed = smaller(committed, follower.acked);',
      },
    ],
  },
  {
    name: 'power-cut-empties-isr',
    source:
      'pitfall 33 (D17 without D17b): whoever stopped uncleanly is taken for lossy, also where acks come from the disk',
    edits: [
      {
        file: inMetadata('nodes.ts'),
        find: '    if (lossy) return withoutLossy',
        replace: '    if (lossy || request.unclean) return withoutLossy',
      },
    ],
  },
  {
    name: 'unclean-stays-in-isr',
    source: 'D17b where durability is replicated: whoever lost what it had in memory stays in sync',
    edits: [
      {
        file: inMetadata('nodes.ts'),
        find: 'return ackedFromMemory(image, partition) ? withoutUnclean(partition, nodeId, electorate) : partition;',
        replace: 'return partition;',
      },
    ],
  },
  {
    name: 'durable-of-another-generation',
    source: 'R2 (ABA): a sync from before a cut makes durable what was written after it',
    edits: [
      {
        file: 'packages/storage/src/partition-log.ts',
        find: '    for (const cut of this.#cuts) durable = Math.min(durable, cut.to);\n',
        replace: '',
      },
    ],
  },
  {
    name: 'eligible-replicas-forgotten',
    source: 'D16: who leaves the ISR below minIsr is not remembered as complete',
    edits: [
      {
        file: inMetadata('election.ts'),
        find: 'const elr = outside.filter((id) => wasComplete(id) && id !== incomplete);',
        replace: 'const elr = outside.filter((id) => elrBefore.includes(id) && id === incomplete);',
      },
    ],
  },
  {
    name: 'commit-below-min-isr',
    source: 'D1 without KIP-966: the high watermark moves while fewer than minIsr are in sync',
    edits: [
      {
        file: inPartition('high-watermark.ts'),
        find: '  if (assignment.isr.length < assignment.minIsr) return;\n',
        replace: '',
      },
    ],
  },
];
