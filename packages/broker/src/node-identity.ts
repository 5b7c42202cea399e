import type { BrokerEpoch } from '@sluice/base';
import type { PeerSelf } from '@sluice/wire';

/** Port: who this node is, and what it must remember of itself. `server` implements it over the identity file. */
export interface NodeIdentity extends PeerSelf {
  /** Resolves when the epoch is durable in the directory. */
  saveBrokerEpoch(epoch: BrokerEpoch): Promise<void>;
  /** The controller found the directory incomplete: one that may have voted before never votes again, durably. */
  onIncomplete(): Promise<void>;
}
