/** Requests about nodes: registration, admission, fencing, controlled shutdown. */
import { isIdentity, parseAddress } from '@sluice/base';
import type { BrokerEpoch, NodeId } from '@sluice/base';
import { electLeader, partitionChange, withoutLossy, withoutNodes, withoutUnclean } from './election.ts';
import type { Membership, PhaseOf } from './election.ts';
import type { MetadataImage } from './image.ts';
import type { NodePhase, NodeState, PartitionState } from './state.ts';
import { failed } from './metadata-error.ts';
import type { Failed } from './metadata-error.ts';
import type { MetadataRecord } from './records.ts';
import type {
  DecisionFor,
  DrainNodeRequest,
  FenceEarlierLifeRequest,
  FenceNodesRequest,
  RegisterNodeRequest,
  UnfenceNodeRequest,
} from './requests.ts';

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
  const phaseOf = phases(image);
  const after = (partition: PartitionState): Membership => {
    if (lossy) return withoutLossy(partition, nodeId, phaseOf);
    return ackedFromMemory(image, partition) ? withoutUnclean(partition, nodeId, phaseOf) : partition;
  };
  if (lossy || request.unclean) records.push(...changes(image.replicasOn(nodeId), after));
  return { records, response: { ok: true, value: { brokerEpoch: null, lossy } } };
}

const ackedFromMemory = (image: MetadataImage, { topicId }: PartitionState): boolean =>
  image.topic(topicId)?.config.durability === 'replicated';

/** Partitions whose only in-sync replica is on this node, which stopped uncleanly: acked records may be missing (E5). */
export function lastInSyncCount(image: MetadataImage, nodeId: NodeId): number {
  let count = 0;
  for (const partition of image.replicasOn(nodeId)) {
    if (partition.isr.length === 1 && partition.isr[0] === nodeId && ackedFromMemory(image, partition)) count += 1;
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
  const phaseOf = phases(image, new Map([[nodeId, 'up']]));
  const records: MetadataRecord[] = [
    { type: 'nodeUnfenced', version: 1, nodeId },
    ...changes(image.replicasOn(nodeId), (partition) => ({ ...partition, leader: electLeader(partition, phaseOf) })),
  ];
  return { records, response: { ok: true, value: { unfenced: true } } };
}

export function decideFenceNodes(image: MetadataImage, request: FenceNodesRequest): DecisionFor<FenceNodesRequest> {
  const fenced = new Set<NodeId>();
  for (const { nodeId, brokerEpoch } of request.nodes) {
    const node = image.node(nodeId);
    if (node !== undefined && node.brokerEpoch === brokerEpoch && node.state !== 'fenced') fenced.add(nodeId);
  }
  const phaseOf = phases(image, new Map([...fenced].map((id) => [id, 'fenced'])));
  const isGone = (id: NodeId): boolean => fenced.has(id);
  const affected = new Set([...fenced].flatMap((id) => [...image.replicasOn(id)]));
  const records: MetadataRecord[] = [
    ...[...fenced].map((nodeId): MetadataRecord => ({ type: 'nodeFenced', version: 1, nodeId })),
    ...changes(affected, (partition) => withoutMembers(image, partition, { isGone, phaseOf })),
  ];
  return { records, response: { ok: true, value: { fenced: [...fenced] } } };
}

/** D18: only what the node led needs another leader; what was lost with its directory, its registration says (E3). */
export function decideFenceEarlierLife(
  image: MetadataImage,
  request: FenceEarlierLifeRequest,
): DecisionFor<FenceEarlierLifeRequest> {
  const { nodeId, brokerEpoch } = request.node;
  const node = image.node(nodeId);
  if (node === undefined || node.brokerEpoch !== brokerEpoch || node.state === 'fenced') {
    return { records: [], response: { ok: true, value: { fenced: [] } } };
  }
  const phaseOf = phases(image, new Map([[nodeId, 'fenced']]));
  const records: MetadataRecord[] = [
    { type: 'nodeFenced', version: 1, nodeId },
    ...changes(image.ledBy(nodeId), (partition) => ({ ...partition, leader: electLeader(partition, phaseOf) })),
  ];
  return { records, response: { ok: true, value: { fenced: [nodeId] } } };
}

/** A partition without one serves nobody while its node is away: waiting changes nothing. */
export const hasAnotherReplica = ({ replicas }: PartitionState): boolean => replicas.length > 1;

/** D20. Asking again tries again: a follower that joined an ISR meanwhile can take over. */
export function decideDrainNode(image: MetadataImage, request: DrainNodeRequest): DecisionFor<DrainNodeRequest> {
  const { nodeId } = request;
  const node = liveNode(image, nodeId, request.brokerEpoch);
  if (!node.ok) return { records: [], response: node };
  if (node.value.state === 'fenced') return { records: [], response: { ok: true, value: { leading: 0, moved: 0 } } };
  const phaseOf = phases(image, new Map([[nodeId, 'draining']]));
  const isGone = (id: NodeId): boolean => id === nodeId;
  const after = (partition: PartitionState): Membership => withoutMembers(image, partition, { isGone, phaseOf });
  const moved = changes(image.replicasOn(nodeId), after);
  const ledOn = [...image.ledBy(nodeId)].filter((partition) => after(partition).leader === nodeId);
  const leading = ledOn.filter(hasAnotherReplica).length;
  const begin: readonly MetadataRecord[] =
    node.value.state === 'draining' ? [] : [{ type: 'nodeDraining', version: 1, nodeId }];
  return { records: [...begin, ...moved], response: { ok: true, value: { leading, moved: moved.length } } };
}

/**
 * E4. An ISR is never shrunk below `minIsr`: nothing commits below it anyway (D2), so whoever would leave stays complete,
 * and the first of them to come back can lead. Only the leader moves.
 */
function withoutMembers(
  image: MetadataImage,
  partition: PartitionState,
  { isGone, phaseOf }: { readonly isGone: (id: NodeId) => boolean; readonly phaseOf: PhaseOf },
): Membership {
  if (!partition.isr.some(isGone)) return partition;
  const minIsr = image.topic(partition.topicId)?.config.minIsr ?? 1;
  const left = partition.isr.filter((id) => !isGone(id)).length;
  if (left < minIsr) return { ...partition, leader: electLeader(partition, phaseOf) };
  return withoutNodes(partition, isGone, phaseOf);
}

/** Phases as they will be: those of the image but for `after`. */
export function phases(image: MetadataImage, after: ReadonlyMap<NodeId, NodePhase> = new Map()): PhaseOf {
  return (id) => after.get(id) ?? image.node(id)?.state ?? 'fenced';
}

function changes(
  partitions: Iterable<PartitionState>,
  change: (partition: PartitionState) => Membership,
): readonly MetadataRecord[] {
  const records: MetadataRecord[] = [];
  for (const partition of partitions) {
    const record = partitionChange(partition, change(partition));
    if (record !== undefined) records.push(record);
  }
  return records;
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
