/**
 * Carries ISR proposals of all partitions to the controller, gathered: one request is under way, the others wait for
 * the next. Each proposal that is sent is answered to its replica exactly once, with no answer as TIMEOUT (D13): the
 * replica decides whether to propose again. One that proposes again before that has given up what waits: the controller
 * would refuse the later one of two in a request, and nothing would ever tell the replica that it may propose.
 */
import { isErrorCode, leaderEpoch, nodeId, partitionEpoch, SluiceError, toSluiceError } from '@sluice/base';
import type { Clock, ErrorCode } from '@sluice/base';
import type { IsrChangeOutcome, IsrProposal } from '@sluice/partition';
import { decodeError, identityMessage, methods } from '@sluice/wire';
import type { PartitionAlterationResult } from '@sluice/wire';
import type { ControllerLink } from './controller-link.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHost } from './partition-host.ts';

type Waiting = readonly [host: PartitionHost, proposal: IsrProposal];

/** Most partitions in one request. */
const batchMax = 1000;
const timeoutMs = 2000;

export class IsrProposals {
  readonly #identity: NodeIdentity;
  readonly #link: ControllerLink;
  readonly #clock: Clock;
  readonly #waiting = new Map<PartitionHost, IsrProposal>();
  #underWay = false;

  constructor(identity: NodeIdentity, link: ControllerLink, clock: Clock) {
    this.#identity = identity;
    this.#link = link;
    this.#clock = clock;
  }

  propose(host: PartitionHost, proposal: IsrProposal): void {
    this.#waiting.delete(host);
    this.#waiting.set(host, proposal);
    if (!this.#underWay) this.#sendSoon();
  }

  #sendSoon(): void {
    this.#underWay = true;
    this.#clock.defer(() => void this.#send());
  }

  async #send(): Promise<void> {
    const batch = [...this.#waiting.entries().take(batchMax)];
    for (const [host] of batch) this.#waiting.delete(host);
    const outcomes = await this.#ask(batch);
    const nowMs = this.#clock.monotonicMs();
    batch.forEach(([host, proposal], at) => {
      const { leaderEpoch, partitionEpoch: basedOn } = proposal;
      const outcome = outcomes[at] ?? { kind: 'failed', error: 'TIMEOUT' };
      host.step({ kind: 'isrChangeResult', leaderEpoch, partitionEpoch: basedOn, outcome, nowMs });
    });
    if (this.#waiting.size > 0) this.#sendSoon();
    else this.#underWay = false;
  }

  async #ask(batch: readonly Waiting[]): Promise<readonly IsrChangeOutcome[]> {
    try {
      const epoch = this.#link.epoch;
      if (epoch === undefined) throw new SluiceError('UNREACHABLE');
      const answer = await this.#link.call(
        methods.controller.alterPartitions,
        {
          identity: identityMessage(this.#identity),
          brokerEpoch: epoch,
          partitions: batch.map(([host, proposal]) => ({
            topicId: host.id.topicId,
            partition: host.id.partition,
            leaderEpoch: proposal.leaderEpoch,
            partitionEpoch: proposal.partitionEpoch,
            isr: proposal.isr,
          })),
        },
        timeoutMs,
      );
      return answer.partitions.map(outcomeOf);
    } catch (error) {
      const code: ErrorCode = toSluiceError(error).code;
      return batch.map(() => ({ kind: 'failed', error: code }));
    }
  }
}

function outcomeOf(result: PartitionAlterationResult): IsrChangeOutcome {
  if (result.error !== null) {
    const { code } = decodeError(result.error);
    return { kind: 'failed', error: isErrorCode(code) ? code : 'INTERNAL' };
  }
  return {
    kind: 'applied',
    leaderEpoch: leaderEpoch(result.leaderEpoch),
    partitionEpoch: partitionEpoch(result.partitionEpoch),
    isr: result.isr.map((id) => nodeId(id)),
  };
}
