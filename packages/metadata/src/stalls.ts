/** Nodes whose disk hangs. */
import type { MetadataImage } from './image.ts';
import { hasAnotherReplica, liveNode } from './nodes.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, StallNodeRequest } from './requests.ts';

export function decideStallNode(image: MetadataImage, request: StallNodeRequest): DecisionFor<StallNodeRequest> {
  const { nodeId, stalled } = request;
  const node = liveNode(image, nodeId, request.brokerEpoch);
  if (!node.ok) return { records: [], response: node };
  const records: readonly MetadataRecord[] =
    node.value.stalled === stalled ? [] : [{ type: 'nodeStalled', version: 1, nodeId, stalled }];
  const leading = [...image.ledBy(nodeId)].filter(hasAnotherReplica).length;
  return { records, response: { ok: true, value: { leading } } };
}
