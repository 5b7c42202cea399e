/** Nodes that come: registration and admission. */
import { isIdentity, parseAddress } from '@sluice/base';
import type { BrokerEpoch, NodeId } from '@sluice/base';
import { elect, withoutLossy, withoutMember, withoutUnclean } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { NodeState, PartitionState } from './state.ts';
import { failed } from './metadata-error.ts';
import type { Failed } from './metadata-error.ts';
import type { MetadataRecord } from './records.ts';
import type { DecisionFor, RegisterNodeRequest, UnfenceNodeRequest } from './requests.ts';
import { changes, standings } from './standing.ts';
import type { Change } from './standing.ts';

const clientListenersMax = 16;
const textCharsMax = 255;

/**
 * D18. A directory is lossy when the node says so, when it is another one than the node had, or when it presents an
 * older broker epoch than it once confirmed: then it is a copy rolled back in time (design §3). An epoch that was
 * granted but never confirmed does not count: the node may have crashed before its directory held it, and it served
 * nothing under it.
 */
export function decideRegisterNode(
  image: MetadataImage,
  request: RegisterNodeRequest,
): DecisionFor<RegisterNodeRequest> {
  const malformed = checkRegistration(request);
  if (malformed !== undefined) return { records: [], response: malformed };
  const { nodeId, directoryId, incarnation } = request;
  const before = image.node(nodeId);
  if (before?.incarnation === incarnation && before.directoryId === directoryId) {
    const { brokerEpoch, lossy } = before;
    return { records: [], response: { ok: true, value: { brokerEpoch, lossy } } };
  }
  if (before !== undefined && (before.state !== 'fenced' || request.sessionLive)) {
    const message = `another process with node id ${nodeId} is alive, or was until a moment ago; give each node its own id`;
    return { records: [], response: failed('DUPLICATE_NODE', message, { nodeId, brokerEpoch: before.brokerEpoch }) };
  }
  const known = before?.brokerEpoch ?? 0;
  if ((request.lastBrokerEpoch ?? 0) > known) {
    const message = `node ${nodeId} was granted a newer broker epoch than this controller knows of`;
    return { records: [], response: failed('NOT_CONTROLLER', message, { nodeId, registered: known }) };
  }
  const lossy = request.lossy || (before !== undefined && isOtherOrOlder(before, request));
  const records: MetadataRecord[] = [registration(request, lossy)];
  const change: Change = (partition, electorate) => {
    if (lossy) return withoutLossy(partition, nodeId, electorate);
    return ackedFromMemory(image, partition) ? withoutUnclean(partition, nodeId, electorate) : partition;
  };
  const standingOf = standings(image);
  if (lossy || request.unclean) records.push(...changes(image, image.replicasOn(nodeId), { standingOf, change }));
  return { records, response: { ok: true, value: { brokerEpoch: null, lossy } } };
}

const ackedFromMemory = (image: MetadataImage, { topicId }: PartitionState): boolean =>
  image.topic(topicId)?.config.durability === 'replicated';

/** Partitions of which only this node, which stopped uncleanly, is left to lead: acked records may be missing (E5). */
export function lastInSyncCount(image: MetadataImage, nodeId: NodeId): number {
  let count = 0;
  for (const partition of image.replicasOn(nodeId)) {
    const left = [...partition.isr, ...partition.elr];
    if (left.length === 1 && left[0] === nodeId && ackedFromMemory(image, partition)) count += 1;
  }
  return count;
}

function isOtherOrOlder(before: NodeState, { directoryId, lastBrokerEpoch }: RegisterNodeRequest): boolean {
  if (before.directoryId !== directoryId) return true;
  return before.confirmedEpoch !== null && (lastBrokerEpoch ?? 0) < before.confirmedEpoch;
}

function registration(request: RegisterNodeRequest, lossy: boolean): MetadataRecord {
  const { nodeId, directoryId, incarnation, softwareVersion, rack, clientListeners, peerAddress, adminAddress } =
    request;
  return {
    type: 'nodeRegistered',
    version: 1,
    nodeId,
    directoryId,
    incarnation,
    softwareVersion,
    rack,
    clientListeners,
    peerAddress,
    adminAddress,
    lossy,
  };
}

function checkRegistration(request: RegisterNodeRequest): Failed | undefined {
  const { incarnation, softwareVersion, rack, clientListeners, peerAddress, adminAddress } = request;
  if (!isIdentity(incarnation)) return failed('INVALID_REQUEST', 'the incarnation is not 32 hex digits');
  if (softwareVersion.length > textCharsMax || (rack?.length ?? 0) > textCharsMax) {
    return failed('INVALID_REQUEST', `version and rack may have at most ${textCharsMax} characters`);
  }
  if (clientListeners.length === 0 || clientListeners.length > clientListenersMax) {
    return failed('INVALID_REQUEST', `a node has 1 to ${clientListenersMax} client listeners`);
  }
  if (new Set(clientListeners.map((listener) => listener.name)).size !== clientListeners.length) {
    return failed('INVALID_REQUEST', 'two client listeners have the same name');
  }
  if (clientListeners.some(({ name, protocol }) => name.length > textCharsMax || protocol.length > textCharsMax)) {
    return failed('INVALID_REQUEST', `the name and protocol of a listener may have at most ${textCharsMax} characters`);
  }
  for (const address of [peerAddress, adminAddress, ...clientListeners.map((listener) => listener.address)]) {
    if (address.length > textCharsMax || parseAddress(address) === undefined) {
      return failed('INVALID_REQUEST', `an advertised address is not host:port: ${address.slice(0, textCharsMax)}`);
    }
  }
  return undefined;
}

/** A fenced node comes back once it has applied the metadata log up to what fenced or registered it (D18). */
export function decideUnfenceNode(image: MetadataImage, request: UnfenceNodeRequest): DecisionFor<UnfenceNodeRequest> {
  const { nodeId } = request;
  const node = liveNode(image, nodeId, request.brokerEpoch);
  if (!node.ok) return { records: [], response: node };
  const { state, stateIndex } = node.value;
  if (state !== 'fenced' || request.metadataIndex < stateIndex) {
    return { records: [], response: { ok: true, value: { unfenced: state === 'up' } } };
  }
  const standingOf = standings(image, new Map([[nodeId, { state: 'up' }]]));
  const change: Change = (partition, electorate) =>
    node.value.stalled ? withoutMember(partition, nodeId, electorate) : elect(partition, electorate);
  const records: MetadataRecord[] = [
    { type: 'nodeUnfenced', version: 1, nodeId },
    ...changes(image, image.replicasOn(nodeId), { standingOf, change }),
  ];
  return { records, response: { ok: true, value: { unfenced: true } } };
}

/** The node in the life that the caller claims to speak for. */
export function liveNode(
  image: MetadataImage,
  nodeId: NodeId,
  brokerEpoch: BrokerEpoch,
): { readonly ok: true; readonly value: NodeState } | Failed {
  const node = image.node(nodeId);
  if (node === undefined) {
    return failed('STALE_BROKER_EPOCH', `node ${nodeId} is not registered; it must register first`, { nodeId });
  }
  if (node.brokerEpoch !== brokerEpoch) {
    const message = `broker epoch ${brokerEpoch} of node ${nodeId} is not the registered one, ${node.brokerEpoch}`;
    return failed('STALE_BROKER_EPOCH', message, { nodeId, brokerEpoch, registered: node.brokerEpoch });
  }
  return { ok: true, value: node };
}
