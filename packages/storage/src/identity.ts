/** Who this data directory is: written before the first vote, and read before anything else (design §3, P9). */
import type { BrokerEpoch, ClusterId, DirectoryId, NodeId } from '@sluice/base';

export interface Voter {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
}

/** A promise made while a cluster is being born, before all voters have confirmed. */
export interface Birth {
  readonly clusterId: ClusterId;
  readonly voters: readonly Voter[];
}

export interface DirectoryIdentity {
  readonly nodeId: NodeId;
  readonly directoryId: DirectoryId;
  /** null until the cluster is born or joined. */
  readonly clusterId: ClusterId | null;
  readonly birth: Birth | null;
  /** The voter set agreed at birth; null before, and on observers. */
  readonly voters: readonly Voter[] | null;
  /** The last broker epoch granted to this directory; 0 when none. */
  readonly brokerEpoch: BrokerEpoch;
  /** A directory that lost state or was rolled back never votes until it is admitted again. */
  readonly votesRevoked: boolean;
}
