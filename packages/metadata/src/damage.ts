/** A replica that finds its log damaged while it runs (E6). */
import { nextPartitionEpoch } from '@sluice/base';
import { epochRaised, isComplete, partitionChange, withoutLossy } from './election.ts';
import type { MetadataImage } from './image.ts';
import { locatedPartition } from './located-partition.ts';
import { failed } from './metadata-error.ts';
import { liveNode } from './nodes.ts';
import type { PartitionChangedRecord, Refilling } from './records.ts';
import type { DecisionFor, ReportDamageRequest } from './requests.ts';
import { electorateOf, standings } from './standing.ts';
import type { PartitionState } from './state.ts';

export function decideReportDamage(
  image: MetadataImage,
  request: ReportDamageRequest,
): DecisionFor<ReportDamageRequest> {
  const { nodeId, topicId, partition } = request;
  const caller = liveNode(image, nodeId, request.brokerEpoch);
  if (!caller.ok) return { records: [], response: caller };
  const located = locatedPartition(image, request);
  if (!located.ok) return { records: [], response: located };
  const before = located.value;
  if (!before.replicas.includes(nodeId)) {
    const message = `node ${nodeId} holds no replica of the partition`;
    return { records: [], response: failed('INVALID_REQUEST', message, { topicId, partition }) };
  }
  const after = withoutLossy(before, nodeId, electorateOf(image, before, standings(image)));
  if (request.serves && isComplete(before, nodeId) && after.leader === null)
    return { records: [], response: { ok: true, value: { since: null } } };
  const since = nextPartitionEpoch(before.partitionEpoch);
  const others = before.refilling.filter((each) => each.nodeId !== nodeId);
  const record = withRefilling(before, partitionChange(before, after), [...others, { nodeId, since }]);
  return { records: [record], response: { ok: true, value: { since } } };
}

/** Also when nothing else changes: the epoch is what the replica's positions are told apart by. */
const withRefilling = (
  state: PartitionState,
  change: PartitionChangedRecord | undefined,
  refilling: readonly Refilling[],
): PartitionChangedRecord => ({ ...(change ?? epochRaised(state)), refilling });
