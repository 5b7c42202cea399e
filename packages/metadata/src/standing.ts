/** Elections over the partitions of an image, with the nodes as they will be when the decision commits. */
import type { NodeId } from '@sluice/base';
import { partitionChange } from './election.ts';
import type { Electorate, Membership, StandingOf } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { PartitionChangedRecord } from './records.ts';
import type { NodeState, PartitionState } from './state.ts';

/** What becomes of a node by the decision; the rest is as the image has it. */
export type NodeChange = Partial<Pick<NodeState, 'state' | 'stalled'>>;

export function standings(image: MetadataImage, changed: ReadonlyMap<NodeId, NodeChange> = new Map()): StandingOf {
  return (id) => {
    const node = image.node(id);
    if (node === undefined) return 'fenced';
    const { state, stalled } = { ...node, ...changed.get(id) };
    if (state === 'fenced') return 'fenced';
    return state === 'up' && !stalled ? 'electable' : 'lastResort';
  };
}

/** Whether it may be given leaderships and replicas, and be taken into an ISR. */
export const isElectable = ({ state, stalled }: NodeState): boolean => state === 'up' && !stalled;

export function electorateOf(image: MetadataImage, { topicId }: PartitionState, standingOf: StandingOf): Electorate {
  return { minIsr: image.topic(topicId)?.config.minIsr ?? 1, standingOf };
}

export type Change = (partition: PartitionState, electorate: Electorate) => Membership;

/** The records of one change to many partitions, for those that it does change. */
export function changes(
  image: MetadataImage,
  partitions: Iterable<PartitionState>,
  { standingOf, change }: { readonly standingOf: StandingOf; readonly change: Change },
): readonly PartitionChangedRecord[] {
  const records: PartitionChangedRecord[] = [];
  for (const partition of partitions) {
    const record = partitionChange(partition, change(partition, electorateOf(image, partition, standingOf)));
    if (record !== undefined) records.push(record);
  }
  return records;
}

/** A partition without one serves nobody while its node is away: waiting changes nothing. */
export const hasAnotherReplica = ({ replicas }: PartitionState): boolean => replicas.length > 1;
