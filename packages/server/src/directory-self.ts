/** Who this process is: its directory's identity, read through its keeper, and the incarnation drawn at start. */
import type { BrokerEpoch, ClusterId, DirectoryId, NodeId } from '@sluice/base';
import type { NodeIdentity } from '@sluice/broker';
import type { IdentityKeeper } from '@sluice/storage';

export interface DirectorySelfOptions {
  readonly keeper: IdentityKeeper;
  readonly incarnation: string;
  /** The controller's, which stops voting at once and remembers it, unless the directory is new. */
  readonly onIncomplete: () => Promise<void>;
}

export class DirectorySelf implements NodeIdentity {
  readonly incarnation: string;
  readonly onIncomplete: () => Promise<void>;
  readonly #keeper: IdentityKeeper;

  constructor({ keeper, incarnation, onIncomplete }: DirectorySelfOptions) {
    this.#keeper = keeper;
    this.incarnation = incarnation;
    this.onIncomplete = onIncomplete;
  }

  get nodeId(): NodeId {
    return this.#keeper.current.nodeId;
  }

  get directoryId(): DirectoryId {
    return this.#keeper.current.directoryId;
  }

  get clusterId(): ClusterId | null {
    return this.#keeper.current.clusterId;
  }

  get brokerEpoch(): BrokerEpoch {
    return this.#keeper.current.brokerEpoch;
  }

  saveBrokerEpoch(epoch: BrokerEpoch): Promise<void> {
    return this.#keeper.update((current) => ({ ...current, brokerEpoch: epoch }));
  }
}
