/** Grants producer ids to clients from blocks that the controller allocates to this broker; no id is granted twice. */
import { isPosition, producerId, SluiceError } from '@sluice/base';
import type { ProducerId } from '@sluice/base';
import { identityMessage, methods } from '@sluice/wire';
import type { ControllerLink } from './controller-link.ts';
import type { NodeIdentity } from './node-identity.ts';

const timeoutMs = 5000;

export class ProducerIds {
  readonly #identity: NodeIdentity;
  readonly #link: ControllerLink;
  #next = 0;
  #end = 0;
  /** One block at a time is asked for; everybody waits for the same answer. */
  #asking: Promise<void> | undefined;

  constructor(identity: NodeIdentity, link: ControllerLink) {
    this.#identity = identity;
    this.#link = link;
  }

  async grant(): Promise<ProducerId> {
    while (this.#next === this.#end) {
      this.#asking ??= this.#ask().finally(() => {
        this.#asking = undefined;
      });
      await this.#asking;
    }
    this.#next += 1;
    return producerId(this.#next - 1);
  }

  async #ask(): Promise<void> {
    const epoch = this.#link.epoch;
    if (epoch === undefined) throw new SluiceError('NOT_CONTROLLER', { message: 'This broker is not registered yet.' });
    const block = await this.#link.call(
      methods.controller.allocateProducerIds,
      { identity: identityMessage(this.#identity), brokerEpoch: epoch },
      timeoutMs,
    );
    if (!isPosition(block.firstProducerId) || block.count < 1) throw new SluiceError('INTERNAL');
    this.#next = block.firstProducerId;
    this.#end = block.firstProducerId + block.count;
  }
}
