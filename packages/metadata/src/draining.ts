/** Controlled shutdown (D20). */
import { partitionChange, withoutMember } from './election.ts';
import type { MetadataImage } from './image.ts';
import { failed } from './metadata-error.ts';
import { liveNode } from './nodes.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, DrainNodeRequest } from './requests.ts';
import { electorateOf, hasAnotherReplica, standings } from './standing.ts';
import type { PartitionState } from './state.ts';

/** Leaderships first: who they wait for is clients. Asking again goes on, or tries again where nobody could take over. */
export function decideDrainNode(image: MetadataImage, request: DrainNodeRequest): DecisionFor<DrainNodeRequest> {
  const { nodeId, partitionsMax } = request;
  if (!Number.isInteger(partitionsMax) || partitionsMax < 1) {
    return { records: [], response: failed('INVALID_REQUEST', 'partitionsMax must be an integer from 1') };
  }
  const node = liveNode(image, nodeId, request.brokerEpoch);
  if (!node.ok) return { records: [], response: node };
  if (node.value.state === 'fenced') return { records: [], response: { ok: true, value: { leading: 0, moved: 0 } } };
  const standingOf = standings(image, new Map([[nodeId, { state: 'draining' }]]));
  const moved: MetadataRecord[] = [];
  let leading = 0;
  const move = (partition: PartitionState): void => {
    const after = withoutMember(partition, nodeId, electorateOf(image, partition, standingOf));
    const record = moved.length < partitionsMax ? partitionChange(partition, after) : undefined;
    if (record !== undefined) moved.push(record);
    const leadsOn = partition.leader === nodeId && (record === undefined || after.leader === nodeId);
    if (leadsOn && hasAnotherReplica(partition)) leading += 1;
  };
  for (const partition of image.ledBy(nodeId)) move(partition);
  for (const partition of image.replicasOn(nodeId)) if (partition.leader !== nodeId) move(partition);
  const begin: readonly MetadataRecord[] =
    node.value.state === 'draining' ? [] : [{ type: 'nodeDraining', version: 1, nodeId }];
  return { records: [...begin, ...moved], response: { ok: true, value: { leading, moved: moved.length } } };
}
