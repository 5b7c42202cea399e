/** Nodes whose session is over (D18). */
import type { NodeId } from '@sluice/base';
import { elect, withoutNodes } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, FenceEarlierLifeRequest, FenceNodesRequest } from './requests.ts';
import { changes, standings } from './standing.ts';
import type { NodeChange } from './standing.ts';

const away: NodeChange = { state: 'fenced' };

export function decideFenceNodes(image: MetadataImage, request: FenceNodesRequest): DecisionFor<FenceNodesRequest> {
  const fenced = new Set<NodeId>();
  for (const { nodeId, brokerEpoch } of request.nodes) {
    const node = image.node(nodeId);
    if (node !== undefined && node.brokerEpoch === brokerEpoch && node.state !== 'fenced') fenced.add(nodeId);
  }
  const standingOf = standings(image, new Map([...fenced].map((id) => [id, away])));
  const affected = new Set([...fenced].flatMap((id) => [...image.replicasOn(id)]));
  const isGone = (id: NodeId): boolean => fenced.has(id);
  const records: MetadataRecord[] = [
    ...[...fenced].map((nodeId): MetadataRecord => ({ type: 'nodeFenced', version: 1, nodeId })),
    ...changes(image, affected, {
      standingOf,
      change: (partition, electorate) => withoutNodes(partition, isGone, electorate),
    }),
  ];
  return { records, response: { ok: true, value: { fenced: [...fenced] } } };
}

/** Only what the node led needs another leader; what was lost with its directory, its registration says (E3). */
export function decideFenceEarlierLife(
  image: MetadataImage,
  request: FenceEarlierLifeRequest,
): DecisionFor<FenceEarlierLifeRequest> {
  const { nodeId, brokerEpoch } = request.node;
  const node = image.node(nodeId);
  if (node === undefined || node.brokerEpoch !== brokerEpoch || node.state === 'fenced') {
    return { records: [], response: { ok: true, value: { fenced: [] } } };
  }
  const standingOf = standings(image, new Map([[nodeId, away]]));
  const records: MetadataRecord[] = [
    { type: 'nodeFenced', version: 1, nodeId },
    ...changes(image, image.ledBy(nodeId), { standingOf, change: elect }),
  ];
  return { records, response: { ok: true, value: { fenced: [nodeId] } } };
}
