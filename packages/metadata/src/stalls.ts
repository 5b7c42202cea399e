/**
 * Nodes whose disk hangs. Such a node acks nothing, so where it leads nothing is served, and where it is in sync nothing is
 * committed. What it holds on its disk is complete, so it goes into the ELR where the ISR falls below `minIsr`.
 */
import { elect, withoutMember } from './election.ts';
import type { MetadataImage } from './image.ts';
import { liveNode } from './nodes.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, StallNodeRequest } from './requests.ts';
import { changes, electorateOf, hasAnotherReplica, standings } from './standing.ts';
import type { Change } from './standing.ts';

/** Asking again tries again where nobody could take over. */
export function decideStallNode(image: MetadataImage, request: StallNodeRequest): DecisionFor<StallNodeRequest> {
  const { nodeId, stalled } = request;
  const node = liveNode(image, nodeId, request.brokerEpoch);
  if (!node.ok) return { records: [], response: node };
  const standingOf = standings(image, new Map([[nodeId, { stalled }]]));
  const change: Change = (partition, electorate) =>
    stalled ? withoutMember(partition, nodeId, electorate) : elect(partition, electorate);
  // A fenced one holds nobody up, and is not to lose what it may come back with.
  const partitions = node.value.state === 'fenced' ? [] : [...image.replicasOn(nodeId)];
  const told: readonly MetadataRecord[] =
    node.value.stalled === stalled ? [] : [{ type: 'nodeStalled', version: 1, nodeId, stalled }];
  const records = [...told, ...changes(image, partitions, { standingOf, change })];
  const leadsOn = [...image.ledBy(nodeId)].filter(
    (partition) => change(partition, electorateOf(image, partition, standingOf)).leader === nodeId,
  );
  return { records, response: { ok: true, value: { leading: leadsOn.filter(hasAnotherReplica).length } } };
}
