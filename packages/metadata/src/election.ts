/**
 * Who leads, who is in sync, and who may lead though it is not (D15 to D17b): pure functions over one partition.
 *
 * E1. (D15) The current leader if it is electable; else the first electable replica of the ISR, in assignment order; else
 *     the first electable one of the ELR, which becomes the ISR alone; else the current leader, if it is only draining or
 *     its disk hangs; else nobody. A fenced replica is never elected (KAFKA-19522).
 * E2. (D16) Who leaves the ISR when it falls below `minIsr` goes into the ELR: nothing is committed there (D1), so it stays
 *     complete. An ISR of `minIsr` or more empties the ELR: from then on records are committed without its members. The
 *     ISR may become empty.
 * E3. (D17b) A lossy replica leaves the ISR and the ELR, and is marked. When both end empty nobody leads, rather than that
 *     a log with less is taken for the whole: `recoverPartition` elects the longest one that is found.
 * E4. Who drains or whose disk hangs leaves the ISR as soon as another one leads.
 * E5. (D17) Where durability is `replicated`, a replica whose node stopped uncleanly leaves both as if it were lossy: it
 *     acked from memory what may not have been on its disk. The last one stays and may lead: its log has no holes, only an
 *     end that came too early, by what may be acked and not synced.
 * E6. A replica that finds its log damaged while it runs leaves both when one of the others can lead at once, else it stays
 *     as it is and serves what is intact; one whose log is not loaded serves nothing, and leaves as by E3. Having left, it
 *     cuts its log, and joins again only by a position that it stated knowing that it had left: what it acked before is of a
 *     log that is no more.
 */
import { nextLeaderEpoch, nextPartitionEpoch } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import type { PartitionChangedRecord } from './records.ts';
import type { PartitionState } from './state.ts';

/** The part of a partition that elections read and write. */
export type Membership = Pick<PartitionState, 'replicas' | 'isr' | 'elr' | 'lastKnownElr' | 'lossy' | 'leader'>;

/** `lastResort`: it shuts down or its disk hangs; what it leads and nobody else can, it leads on. */
export type Standing = 'electable' | 'lastResort' | 'fenced';

/** What a node may do for its partitions, as it will be when the decision commits; unregistered counts as fenced. */
export type StandingOf = (id: NodeId) => Standing;

/** What an election goes by. */
export interface Electorate {
  readonly minIsr: number;
  readonly standingOf: StandingOf;
}

/** E1, E4. */
export function elect<P extends Membership>(partition: P, electorate: Electorate): P {
  const { replicas, isr, elr, leader } = partition;
  const { minIsr, standingOf } = electorate;
  const current = leader !== null && isr.includes(leader) ? leader : null;
  const isElectable = (id: NodeId): boolean => standingOf(id) === 'electable';
  if (current !== null && isElectable(current)) return { ...partition, leader: current };
  const member = replicas.find((id) => isr.includes(id) && isElectable(id));
  if (member !== undefined) {
    const kept = isr.filter((id) => standingOf(id) !== 'lastResort');
    return { ...(kept.length < isr.length ? withIsr(partition, kept, minIsr) : partition), leader: member };
  }
  const eligible = replicas.find((id) => elr.includes(id) && isElectable(id));
  if (eligible !== undefined) return { ...withIsr(partition, [eligible], minIsr), leader: eligible };
  const leadsOn = current !== null && standingOf(current) === 'lastResort';
  return { ...partition, leader: leadsOn ? current : null };
}

/** E2. `incomplete`: these are taken for complete no more. The leader stays as it is. */
export function withIsr<P extends Membership>(
  partition: P,
  isr: readonly NodeId[],
  minIsr: number,
  incomplete?: NodeId,
): P {
  if (isr.length >= minIsr) return { ...partition, isr, elr: [], lastKnownElr: [], lossy: [] };
  const { replicas, isr: isrBefore, elr: elrBefore, lastKnownElr: known, lossy } = partition;
  const outside = replicas.filter((id) => !isr.includes(id));
  const wasComplete = (id: NodeId): boolean => isrBefore.includes(id) || elrBefore.includes(id);
  const elr = outside.filter((id) => wasComplete(id) && id !== incomplete);
  const lastKnownElr = outside.filter((id) => !elr.includes(id) && (wasComplete(id) || known.includes(id)));
  return { ...partition, isr, elr, lastKnownElr, lossy: lossy.filter((id) => lastKnownElr.includes(id)) };
}

/** The partition after the nodes for which `isGone` holds were fenced. */
export function withoutNodes<P extends Membership>(
  partition: P,
  isGone: (id: NodeId) => boolean,
  electorate: Electorate,
): P {
  if (!partition.isr.some(isGone)) return partition;
  const left = partition.isr.filter((id) => !isGone(id));
  return elect(withIsr(partition, left, electorate.minIsr), electorate);
}

/** The partition after `id` began to drain or its disk to hang: it leaves, but where nobody else can lead. */
export function withoutMember<P extends Membership>(partition: P, id: NodeId, electorate: Electorate): P {
  const after = withoutNodes(partition, (member) => member === id, electorate);
  return after.leader === null ? partition : after;
}

/** E3: the partition after `id` turned out to be lossy. */
export function withoutLossy<P extends Membership>(partition: P, id: NodeId, electorate: Electorate): P {
  const { replicas, isr, lastKnownElr } = partition;
  if (!isComplete(partition, id) && !lastKnownElr.includes(id)) return partition;
  const after = withIsr(partition, without(isr, id), electorate.minIsr, id);
  const isMarked = (other: NodeId): boolean => other === id || after.lossy.includes(other);
  const lossy = replicas.filter((other) => after.lastKnownElr.includes(other) && isMarked(other));
  return elect({ ...after, lossy }, electorate);
}

/** E5: the partition, of a topic with durability `replicated`, after the node `id` stopped uncleanly. */
export function withoutUnclean<P extends Membership>(partition: P, id: NodeId, electorate: Electorate): P {
  const { isr, elr } = partition;
  const isLast = without([...isr, ...elr], id).length === 0;
  if (isLast || !isComplete(partition, id)) return partition;
  return elect(withIsr(partition, without(isr, id), electorate.minIsr, id), electorate);
}

/** In sync or eligible: it holds every record that was ever committed. */
export const isComplete = ({ isr, elr }: Pick<Membership, 'isr' | 'elr'>, id: NodeId): boolean =>
  isr.includes(id) || elr.includes(id);

/** The record from one state to another with the epochs counted (M4), or undefined when nothing changed. */
export function partitionChange(before: PartitionState, after: Membership): PartitionChangedRecord | undefined {
  const leaderChanged = after.leader !== before.leader;
  const changed = (['isr', 'elr', 'lastKnownElr', 'lossy'] as const).filter(
    (key) => !sameList(after[key], before[key]),
  );
  if (!leaderChanged && changed.length === 0) return undefined;
  return {
    type: 'partitionChanged',
    version: 4,
    topicId: before.topicId,
    partition: before.partition,
    ...(leaderChanged && { leader: after.leader }),
    ...Object.fromEntries(changed.map((key) => [key, after[key]])),
    leaderEpoch: leaderChanged ? nextLeaderEpoch(before.leaderEpoch) : before.leaderEpoch,
    partitionEpoch: nextPartitionEpoch(before.partitionEpoch),
  };
}

/** Nothing changes but the epoch that what is asked or stated is told apart by. */
export const epochRaised = (partition: PartitionState): PartitionChangedRecord => ({
  type: 'partitionChanged',
  version: 4,
  topicId: partition.topicId,
  partition: partition.partition,
  leaderEpoch: partition.leaderEpoch,
  partitionEpoch: nextPartitionEpoch(partition.partitionEpoch),
});

const without = (ids: readonly NodeId[], id: NodeId): readonly NodeId[] => ids.filter((other) => other !== id);

const sameList = (a: readonly NodeId[], b: readonly NodeId[]): boolean =>
  a.length === b.length && a.every((id, at) => id === b[at]);
