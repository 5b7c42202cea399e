/**
 * Lets another voter lead before this node stops, so that nobody waits for an election. Owned by `ControllerNode`, which
 * says when anything moved.
 *
 * H1. The heir is a voter that answered of late, is not about to stop itself, has no disk that hangs and may vote, and of
 *     those the one that has most of the log: the others follow.
 * H2. Over when this node follows the heir, or whoever else was elected: until then it votes and tells what it knows.
 * H3. Nothing depends on it: without an heir, or when the heir does not take over in time, the others elect as ever.
 */
import type { Clock, Logger, Timer } from '@sluice/base';
import type { MemberId, Raft, TransferOutcome } from '@sluice/raft';
import { heirs } from './heirs.ts';
import { parseMember } from './members.ts';

export interface HandingOverOptions {
  readonly raft: Raft;
  readonly transfer: (to: MemberId) => TransferOutcome | undefined;
  /** As `HeirOptions` says. */
  readonly isUnfit: (member: MemberId) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Who answered no longer ago is there. */
  readonly contactMsMax: number;
  /** After this an heir that did not take over is given up (`raft`, T2). */
  readonly patienceMs: number;
}

export class HandingOver {
  readonly #options: HandingOverOptions;
  readonly #done = Promise.withResolvers<void>();
  #heir: MemberId | undefined;
  #timer: Timer | undefined;

  constructor(options: HandingOverOptions) {
    this.#options = options;
  }

  /** Resolves when there is nothing to hand over any more, or nobody who takes it. */
  run(): Promise<void> {
    const { clock, patienceMs, logger } = this.#options;
    this.#timer = clock.setTimer(patienceMs, () => {
      logger.warn('controller leadership not handed over', { waitedMs: patienceMs });
      this.end();
    });
    this.check();
    return this.#done.promise;
  }

  /** After whatever may have changed who leads, or who is there. */
  check(): void {
    const { raft, isUnfit } = this.#options;
    // H2
    if (!raft.isLeader) {
      if (raft.leader !== undefined || !raft.isVoter) this.end();
      return;
    }
    if (this.#heir !== undefined && !isUnfit(this.#heir)) return;
    this.#heir = this.#nextHeir();
    if (this.#heir === undefined) this.end();
  }

  end(): void {
    this.#timer?.cancel();
    this.#done.resolve();
  }

  #nextHeir(): MemberId | undefined {
    const { raft, clock, transfer, logger, contactMsMax, isUnfit } = this.#options;
    const sinceMs = clock.monotonicMs() - contactMsMax;
    for (const peer of heirs({ raft, sinceMs, isUnfit })) {
      const outcome = transfer(peer);
      // One that somebody else asked for is as good.
      const isUnderWay = outcome?.outcome === 'refused' && outcome.reason === 'transfer-under-way';
      if (outcome?.outcome !== 'begun' && !isUnderWay) continue;
      logger.info('handing over controller leadership', { to: parseMember(peer).nodeId });
      return peer;
    }
    return undefined;
  }
}
