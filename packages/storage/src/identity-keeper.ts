/**
 * The identity of this directory as it is now, and the one way to change it. Owned by the composition root; controller
 * (birth, revoked votes) and broker (granted epochs) change it through `update`.
 *
 * Y1. `current` is what is durable: it moves when the write has returned, never before.
 * Y2. Writes are one at a time, in the order of the calls; each is made on the outcome of the one before.
 */
import type { DirectoryIdentity, IdentityStore } from './identity.ts';

export class IdentityKeeper {
  readonly #store: IdentityStore;
  #current: DirectoryIdentity;
  #last: Promise<void> = Promise.resolve();

  constructor(store: IdentityStore, current: DirectoryIdentity) {
    this.#store = store;
    this.#current = current;
  }

  get current(): DirectoryIdentity {
    return this.#current;
  }

  /** Durable when it resolves. After one failed all later ones fail too: what the disk holds is no longer known (S2). */
  update(change: (current: DirectoryIdentity) => DirectoryIdentity): Promise<void> {
    const write = async (): Promise<void> => {
      const next = change(this.#current);
      await this.#store.save(next);
      this.#current = next;
    };
    this.#last = this.#last.then(write);
    return this.#last;
  }
}
