/** How nodes present themselves to each other, and whom they refuse to speak to (design §3, Birth and identity). */
import { isIdentity, isNodeNumber, SluiceError } from '@sluice/base';
import type { BrokerEpoch, ClusterId, DirectoryId, NodeId } from '@sluice/base';
import type { Identity } from './messages-peer.ts';

export const peerProtocolVersion = 1;

/** Who this node is. The values move while it runs: a cluster is born, an epoch granted. */
export interface PeerSelf {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** Drawn at process start, 32 hex digits. */
  readonly incarnation: string;
  readonly clusterId: ClusterId | null;
  /** The last epoch granted to this directory; 0 when none. */
  readonly brokerEpoch: BrokerEpoch;
}

export const identityMessage = (self: PeerSelf): Identity => ({
  clusterId: self.clusterId ?? '',
  nodeId: self.nodeId,
  directoryId: self.directoryId,
  incarnation: self.incarnation,
  protocolVersion: peerProtocolVersion,
  brokerEpoch: self.brokerEpoch,
});

/** Why a peer with this identity is not spoken to at all: before birth this is all there is to check. */
export function malformedPeer(peer: Identity | null): SluiceError | undefined {
  if (peer === null || !isNodeNumber(peer.nodeId) || !isIdentity(peer.directoryId) || !isIdentity(peer.incarnation)) {
    return new SluiceError('INVALID_REQUEST', { message: 'The first message of a peer call names who speaks.' });
  }
  if (peer.protocolVersion !== peerProtocolVersion) {
    return new SluiceError('UNSUPPORTED_VERSION', {
      message: `This node speaks peer protocol ${peerProtocolVersion}, node ${peer.nodeId} speaks ${peer.protocolVersion}.`,
    });
  }
  return undefined;
}

/** Why a peer of a born cluster is refused; undefined when it may speak. A node may call itself. */
export function peerRefusal(self: PeerSelf, peer: Identity | null): SluiceError | undefined {
  const malformed = malformedPeer(peer);
  if (malformed !== undefined || peer === null) return malformed;
  if (self.clusterId === null || peer.clusterId !== self.clusterId) {
    const theirs = peer.clusterId === '' ? 'none yet' : peer.clusterId;
    return new SluiceError('WRONG_CLUSTER', {
      message: `Node ${peer.nodeId} belongs to cluster ${theirs}, this is cluster ${self.clusterId ?? 'none yet'}; check the addresses.`,
      // An unborn side learns its cluster shortly.
      retry: self.clusterId === null || peer.clusterId === '' ? 'backoff' : 'never',
    });
  }
  if (peer.nodeId === self.nodeId && peer.incarnation !== self.incarnation) {
    return new SluiceError('DUPLICATE_NODE', {
      message: `Both sides say that they are node ${self.nodeId}; give each node its own id.`,
    });
  }
  return undefined;
}
