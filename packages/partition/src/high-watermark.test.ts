import { brokerEpoch, leaderEpoch, nodeId, offset, partitionEpoch, sessionNumber } from '@sluice/base';
import type { Durability } from '@sluice/base';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { PartitionReplica } from './replica.ts';

const life = brokerEpoch(9);
const epoch = leaderEpoch(1);

function leaderOf(isr: readonly number[], durability: Durability = 'fsync'): PartitionReplica {
  const replica = new PartitionReplica({
    self: nodeId(1),
    config: { sessionTimeoutMs: 1_500, replicaLagMsMax: 2_000, producerExpiryMs: 1_000, producerCountMax: 10 },
    liveness: { heardAtMs: () => 0, controllerHeardAtMs: () => 0 },
    loaded: { logStart: offset(0), logEnd: offset(0), highWatermark: undefined, epochs: [], producers: [], nowMs: 0 },
  });
  replica.step({
    kind: 'assigned',
    leader: nodeId(1),
    leaderEpoch: epoch,
    partitionEpoch: partitionEpoch(1),
    replicas: [1, 2, 3].map((id) => ({ nodeId: nodeId(id), brokerEpoch: life, eligible: isr.includes(id) })),
    isr: isr.map(nodeId),
    elr: [],
    recoveredEpoch: undefined,
    minIsr: 2,
    durability,
    selfBrokerEpoch: life,
    nowMs: 0,
  });
  return replica;
}

/** D1 against the definition: the smallest ack end of the members, once there are enough, and never less than before. */
test.each<Durability>(['fsync', 'replicated'])(
  '%s: it is the smallest ack end of the ISR, in any order',
  (durability) => {
    const event = fc.record({ who: fc.integer({ min: 0, max: 3 }), by: fc.nat(4) });
    const isrs = fc.constantFrom([1, 2, 3], [1, 2], [1, 3], [1]);
    fc.assert(
      fc.property(isrs, fc.array(event, { maxLength: 60 }), (isr, events) => {
        const replica = leaderOf(isr, durability);
        const ends = new Map([1, 2, 3].map((id) => [id, 0]));
        for (const id of [2, 3]) {
          const about = {
            replica: nodeId(id),
            brokerEpoch: life,
            leaderEpoch: epoch,
            session: sessionNumber(1),
            nowMs: 0,
          };
          const position = {
            fetchOffset: offset(0),
            durableOffset: offset(0),
            durableStart: offset(0),
            partitionEpoch: partitionEpoch(1),
            lastEpoch: undefined,
          };
          replica.step({ kind: 'followerPosition', ...about, ...position });
        }
        for (const { who, by } of events) {
          const end = offset(Math.min(replica.logEnd, (ends.get(who) ?? 0) + by));
          if (who === 0) {
            const request = {
              requestId: 1,
              recordCount: by + 1,
              bytes: 100,
              producer: undefined,
              acks: 'all' as const,
            };
            replica.step({ kind: 'append', ...request, deadlineMs: 9, nowMs: 0 });
          } else if (who === 1) replica.step({ kind: 'durable', generation: 0, end, start: offset(0), nowMs: 0 });
          else {
            const about = { replica: nodeId(who), brokerEpoch: life, leaderEpoch: epoch, session: sessionNumber(1) };
            const durableOffset = durability === 'fsync' ? end : offset(0);
            const acked = { ackOffset: end, durableOffset, durableStart: offset(0) };
            replica.step({ kind: 'followerAck', ...about, ...acked, nowMs: 0 });
          }
          if (who !== 0) ends.set(who, end);
          // So little is acked from the leader's own memory at once.
          if (durability === 'replicated') ends.set(1, replica.logEnd);
          const smallest = Math.min(...isr.map((id) => ends.get(id) ?? 0));
          expect(replica.highWatermark).toBe(isr.length < 2 ? 0 : smallest);
          expect(replica.readableEnd).toBe(replica.highWatermark);
        }
      }),
    );
  },
);

test('10,000 parked requests end in order, each once', () => {
  const replica = leaderOf([1, 2]);
  const about = { replica: nodeId(2), brokerEpoch: life, leaderEpoch: epoch, session: sessionNumber(1), nowMs: 0 };
  const position = {
    fetchOffset: offset(0),
    durableOffset: offset(0),
    durableStart: offset(0),
    partitionEpoch: partitionEpoch(1),
    lastEpoch: undefined,
  };
  replica.step({ kind: 'followerPosition', ...about, ...position });
  const ended: number[] = [];
  for (let requestId = 1; requestId <= 10_000; requestId += 1) {
    const request = { requestId, recordCount: 1, bytes: 100, producer: undefined, acks: 'all' as const };
    replica.step({ kind: 'append', ...request, deadlineMs: 9, nowMs: 0 });
    if (requestId % 7 !== 0) continue;
    replica.step({ kind: 'durable', generation: 0, end: offset(requestId), start: offset(0), nowMs: 0 });
    const end = offset(requestId - 3);
    const acked = { ackOffset: end, durableOffset: end, durableStart: offset(0) };
    const { replies } = replica.step({ kind: 'followerAck', ...about, ...acked });
    for (const reply of replies) ended.push(reply.requestId);
  }
  expect(ended).toEqual(Array.from({ length: ended.length }, (_, at) => at + 1));
  expect(replica.parkedCount).toBe(10_000 - ended.length);
});
