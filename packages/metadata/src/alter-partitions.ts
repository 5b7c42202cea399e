/** ISR changes proposed by leaders: the checks of D12 in their order, then the change. */
import type { NodeId } from '@sluice/base';
import { elect, epochRaised, partitionChange, withIsr } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { PartitionState } from './state.ts';
import { locatedPartition } from './located-partition.ts';
import { failed } from './metadata-error.ts';
import type { Failed } from './metadata-error.ts';
import { liveNode } from './nodes.ts';
import type { PartitionChangedRecord } from './records.ts';
import type {
  AlterPartitionResult,
  AlterPartitionsRequest,
  DecisionFor,
  ProposedMember,
  PartitionAlteration,
  PartitionAltered,
} from './requests.ts';
import { electorateOf, isElectable, standings } from './standing.ts';

export function decideAlterPartitions(
  image: MetadataImage,
  request: AlterPartitionsRequest,
): DecisionFor<AlterPartitionsRequest> {
  const caller = liveNode(image, request.nodeId, request.brokerEpoch);
  if (!caller.ok) return { records: [], response: caller };
  const records: PartitionChangedRecord[] = [];
  const results: AlterPartitionResult[] = [];
  const seen = new Set<string>();
  for (const alteration of request.partitions) {
    const { topicId, partition } = alteration;
    const key = `${topicId}/${partition}`;
    // Both would be judged by the same state, and the second would overwrite the first.
    const once = seen.has(key) ? failed('INVALID_REQUEST', 'the partition is twice in one request') : undefined;
    seen.add(key);
    const checked = once ?? checkAlteration(image, request.nodeId, alteration);
    if (!checked.ok) {
      results.push({ topicId, partition, result: checked });
      continue;
    }
    const { record, value } = alter(image, checked.before, alteration);
    if (record !== undefined) records.push(record);
    results.push({ topicId, partition, result: { ok: true, value } });
  }
  return { records, response: { ok: true, value: { results } } };
}

function alter(
  image: MetadataImage,
  before: PartitionState,
  { isr }: PartitionAlteration,
): { readonly record: PartitionChangedRecord | undefined; readonly value: PartitionAltered } {
  // Assignment order: the same set is the same list, however the leader collected it.
  const members = before.replicas.filter((id) => isr.some((member) => member.nodeId === id));
  const isSame = members.length === before.isr.length && before.isr.every((id) => members.includes(id));
  const electorate = electorateOf(image, before, standings(image));
  // A leader that led on for want of another hands over as soon as there is one (E4).
  const elected = elect(withIsr(before, isSame ? before.isr : members, electorate.minIsr), electorate);
  // The committed ISR, proposed anew: no copy of what its leader gave up can be taken after that (D13).
  const record = partitionChange(before, elected) ?? epochRaised(before);
  const { leader, leaderEpoch, partitionEpoch, isr: now } = { ...elected, ...record };
  return { record, value: { leader, leaderEpoch, partitionEpoch, isr: now } };
}

type Checked = { readonly ok: true; readonly before: PartitionState } | Failed;

function checkAlteration(image: MetadataImage, caller: NodeId, alteration: PartitionAlteration): Checked {
  const { topicId, partition } = alteration;
  const located = locatedPartition(image, alteration);
  if (!located.ok) return located;
  const before = located.value;
  const { leader, leaderEpoch, partitionEpoch } = before;
  const details = { topicId, partition, leader, leaderEpoch, partitionEpoch };
  if (alteration.leaderEpoch > leaderEpoch || alteration.partitionEpoch > partitionEpoch) {
    return failed('NOT_CONTROLLER', 'the proposal knows newer epochs than this controller', details);
  }
  if (alteration.leaderEpoch < leaderEpoch) {
    return failed('FENCED_LEADER_EPOCH', `leader epoch ${alteration.leaderEpoch} is over`, details);
  }
  if (leader !== caller) return failed('INVALID_REQUEST', `node ${caller} does not lead the partition`, details);
  if (alteration.partitionEpoch < partitionEpoch) {
    return failed('INVALID_UPDATE_VERSION', `the partition is at partition epoch ${partitionEpoch}`, details);
  }
  return checkMembers(image, before, alteration.isr) ?? { ok: true, before };
}

function checkMembers(
  image: MetadataImage,
  { replicas, leader, refilling, isr: members }: PartitionState,
  isr: readonly ProposedMember[],
): Failed | undefined {
  const ids = isr.map((member) => member.nodeId);
  const isLegal =
    ids.every((id) => replicas.includes(id)) && new Set(ids).size === ids.length && ids.some((id) => id === leader);
  if (!isLegal) {
    const message = 'the proposed ISR must be replicas of the partition, each once, with the leader among them';
    return failed('INVALID_REQUEST', message, { isr: ids, replicas, leader });
  }
  // A member that is fenced because it comes back (`fenceEarlierLife`) must not keep others from joining.
  const isExpansion = members.every((id) => ids.includes(id));
  for (const { nodeId, brokerEpoch, statedEpoch } of isr) {
    const node = image.node(nodeId);
    // A leader that leads on as a last resort is the leader still, and without itself it could propose nothing.
    const isActive = node !== undefined && (isElectable(node) || (node.state !== 'fenced' && nodeId === leader));
    const stays = node?.state === 'fenced' && isExpansion && members.includes(nodeId);
    if (!(isActive || stays) || node.brokerEpoch !== brokerEpoch) {
      const message = `node ${nodeId} cannot be in sync: it is fenced, shutting down, its disk hangs, or its broker epoch is another`;
      const [registered, state, stalled] = [node?.brokerEpoch ?? null, node?.state ?? null, node?.stalled ?? null];
      return failed('INELIGIBLE_REPLICA', message, { nodeId, brokerEpoch, registered, state, stalled });
    }
    const since = refilling.find((each) => each.nodeId === nodeId)?.since ?? statedEpoch;
    if (statedEpoch < since) {
      const message = `node ${nodeId} cannot be in sync by what it acked before partition epoch ${since}: its log was damaged`;
      return failed('INELIGIBLE_REPLICA', message, { nodeId, statedEpoch, since });
    }
  }
  return undefined;
}
