import { SluiceError } from '@sluice/base';
import type { BrokerEpoch, ClusterId, DirectoryId, NodeId } from '@sluice/base';
import type { Identity } from '@sluice/wire';

/** Port: who this node is. `server` implements it over the directory's identity file. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** Drawn at process start. */
  readonly incarnation: string;
  readonly clusterId: ClusterId | null;
  /** The last epoch granted to this directory; 0 when none. */
  readonly brokerEpoch: BrokerEpoch;
  /** Resolves when the epoch is durable in the directory. */
  saveBrokerEpoch(epoch: BrokerEpoch): Promise<void>;
  /** Controller found the directory incomplete: votes no more under this directory id, durably. */
  revokeVotes(): Promise<void>;
}

export const protocolVersion = 1;

export const identityMessage = (self: NodeIdentity): Identity => ({
  clusterId: self.clusterId ?? '',
  nodeId: self.nodeId,
  directoryId: self.directoryId,
  incarnation: self.incarnation,
  protocolVersion,
  brokerEpoch: self.brokerEpoch,
});

/** Why a peer that presents this identity is not spoken to; undefined when it may speak. */
export function peerRefusal(self: NodeIdentity, peer: Identity | null): SluiceError | undefined {
  if (peer === null) {
    return new SluiceError('INVALID_REQUEST', { message: 'The first message of a peer call names who speaks.' });
  }
  if (peer.protocolVersion !== protocolVersion) {
    return new SluiceError('UNSUPPORTED_VERSION', {
      message: `This node speaks peer protocol ${protocolVersion}, the other ${peer.protocolVersion}.`,
    });
  }
  if (self.clusterId === null || peer.clusterId !== self.clusterId) {
    return new SluiceError('WRONG_CLUSTER', {
      message: `Node ${peer.nodeId} is of cluster ${peer.clusterId}, this one of ${self.clusterId ?? 'none yet'}.`,
    });
  }
  if (peer.nodeId === self.nodeId) {
    return new SluiceError('DUPLICATE_NODE', { message: `Both sides are node ${self.nodeId}; ids must differ.` });
  }
  return undefined;
}
