/**
 * Tells the controller of logs that were found damaged while they are open (E6), and the host what it decided. Owned by
 * `BrokerNode`. The host has one report under way at most.
 */
import { partitionEpoch, SluiceError, toSluiceError } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { identityMessage, methods } from '@sluice/wire';
import type { ControllerLink } from './controller-link.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHost } from './partition-host.ts';

const timeoutMs = 2000;
const retryMs = 500;

export class DamageReports {
  readonly #identity: NodeIdentity;
  readonly #link: ControllerLink;
  readonly #clock: Clock;
  #stopped = false;

  constructor(identity: NodeIdentity, link: ControllerLink, clock: Clock) {
    this.#identity = identity;
    this.#link = link;
    this.#clock = clock;
  }

  report(host: PartitionHost): void {
    void this.#report(host);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Until the controller answers: a report that it took twice makes the replica leave twice, which harms nobody. */
  async #report(host: PartitionHost): Promise<void> {
    const { topicId, partition } = host.id;
    while (!this.#stopped) {
      try {
        const epoch = this.#link.epoch;
        if (epoch === undefined) throw new SluiceError('UNREACHABLE');
        const request = {
          identity: identityMessage(this.#identity),
          brokerEpoch: epoch,
          topicId,
          partition,
          serves: host.replica !== undefined,
        };
        const { stays, since } = await this.#link.call(methods.controller.reportDamage, request, timeoutMs);
        return host.damageReported(stays ? undefined : partitionEpoch(since));
      } catch (error) {
        // A topic that is gone takes its logs with it.
        if (toSluiceError(error).code === 'UNKNOWN_TOPIC') return;
        await new Promise<void>((resolve) => void this.#clock.setTimer(retryMs, resolve));
      }
    }
  }
}
