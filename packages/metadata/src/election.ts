/**
 * Who leads and who stays in sync: pure functions over one partition. `elr` stays empty until it takes part in D16.
 *
 * E1. (D15) The current leader if it may go on; else the first replica in assignment order that is in the ISR, up and
 *     not lossy; else a draining leader goes on; else nobody. A fenced replica is never elected (KAFKA-19522).
 * E2. Nodes that are lost leave the ISR only when one of the others can lead. Otherwise the ISR stays as it is, without
 *     a leader: nothing can be committed without all of its members, so each of them stays complete, and the first to
 *     come back leads. The last member therefore always stays. A node that comes back before it was missed is not lost:
 *     it never leaves the ISR for that (`FenceEarlierLifeRequest`).
 * E3. (D17b) A lossy replica leaves the ISR unless no other member is left, or none that is not lossy too. Then it
 *     stays and is marked: a marked replica is never elected, and the partition waits for a person rather than serve a
 *     log with holes.
 * E5. Where durability is `replicated`, a replica whose node stopped uncleanly leaves the ISR as if it were lossy: it acked
 *     from memory what may not have been on its disk. The last one stays and may lead: its log has no holes, only an end
 *     that came too early, by what may be acked and not synced.
 * E6. A replica that finds its log damaged while it runs leaves the ISR when one of the others can lead at once, else it
 *     stays as it is and serves what is intact. Having left, it cuts its log, and joins again only by a position that it
 *     stated knowing that it had left: what it acked before is of a log that is no more.
 */
import { nextLeaderEpoch, nextPartitionEpoch } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import type { NodePhase, PartitionState } from './state.ts';
import type { PartitionChangedRecord } from './records.ts';

/** The part of a partition that elections read and write. */
export type Membership = Pick<PartitionState, 'replicas' | 'isr' | 'lossy' | 'leader'>;

/** The phase of a node as it will be when the decision commits; unregistered counts as fenced. */
export type PhaseOf = (id: NodeId) => NodePhase;

/** E1. */
export function electLeader(partition: Membership, phaseOf: PhaseOf): NodeId | null {
  const { replicas, isr, lossy, leader } = partition;
  const electable = (id: NodeId): boolean => isr.includes(id) && !lossy.includes(id);
  const current = leader !== null && electable(leader) ? leader : null;
  if (current !== null && phaseOf(current) === 'up') return current;
  const first = replicas.find((id) => electable(id) && phaseOf(id) === 'up');
  if (first !== undefined) return first;
  return current !== null && phaseOf(current) === 'draining' ? current : null;
}

/** E2: the partition after the nodes for which `isGone` holds were fenced or began to drain. */
export function withoutNodes<P extends Membership>(partition: P, isGone: (id: NodeId) => boolean, phaseOf: PhaseOf): P {
  const isr = partition.isr.filter((id) => !isGone(id));
  const reduced = { ...partition, isr, lossy: partition.lossy.filter((id) => !isGone(id)) };
  const leader = electLeader(reduced, phaseOf);
  if (leader !== null) return { ...reduced, leader };
  return { ...partition, leader: electLeader(partition, phaseOf) };
}

/** E3: the partition after `id` turned out to be lossy. */
export function withoutLossy<P extends Membership>(partition: P, id: NodeId, phaseOf: PhaseOf): P {
  if (!partition.isr.includes(id)) return partition;
  const isr = partition.isr.filter((member) => member !== id);
  const complete = isr.some((member) => !partition.lossy.includes(member));
  const reduced = complete
    ? { ...partition, isr }
    : { ...partition, lossy: partition.isr.filter((member) => member === id || partition.lossy.includes(member)) };
  return { ...reduced, leader: electLeader(reduced, phaseOf) };
}

/** E5: the partition, of a topic with durability `replicated`, after the node `id` stopped uncleanly. */
export function withoutUnclean<P extends Membership>(partition: P, id: NodeId, phaseOf: PhaseOf): P {
  const isr = partition.isr.filter((member) => member !== id);
  const isLast = isr.every((member) => partition.lossy.includes(member));
  if (isLast || isr.length === partition.isr.length) return partition;
  const reduced = { ...partition, isr, lossy: partition.lossy.filter((member) => member !== id) };
  return { ...reduced, leader: electLeader(reduced, phaseOf) };
}

/** The record from one state to another with the epochs counted (M4), or undefined when nothing changed. */
export function partitionChange(before: PartitionState, after: Membership): PartitionChangedRecord | undefined {
  const leaderChanged = after.leader !== before.leader;
  const isrChanged = !sameList(after.isr, before.isr);
  const lossyChanged = !sameList(after.lossy, before.lossy);
  if (!leaderChanged && !isrChanged && !lossyChanged) return undefined;
  return {
    type: 'partitionChanged',
    version: 3,
    topicId: before.topicId,
    partition: before.partition,
    ...(leaderChanged && { leader: after.leader }),
    ...(isrChanged && { isr: after.isr }),
    ...(lossyChanged && { lossy: after.lossy }),
    leaderEpoch: leaderChanged ? nextLeaderEpoch(before.leaderEpoch) : before.leaderEpoch,
    partitionEpoch: nextPartitionEpoch(before.partitionEpoch),
  };
}

const sameList = (a: readonly NodeId[], b: readonly NodeId[]): boolean =>
  a.length === b.length && a.every((id, at) => id === b[at]);
