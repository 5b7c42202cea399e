/**
 * A controller leader whose disk hangs goes on speaking, so that nobody doubts it, and decides nothing: it applies only
 * what is durable here. So it resigns, in favour of another voter. Owned by `ControllerNode`; one for each Raft leadership,
 * from the election on, since the first entry of a term may be what hangs.
 *
 * R1. An heir is as for a handover (`heirs.ts`), and is told at once: what it has to wait for in a handover, that all is
 *     durable here, would never come (T4 of `raft`).
 * R2. Without an heir it stays, and looks again: nobody else could do better.
 */
import type { Clock, Logger, Timer } from '@sluice/base';
import type { MemberId } from '@sluice/raft';
import { parseMember } from './members.ts';

export interface ResignationOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly diskStallMs: number;
  /** Age of the oldest write of this node that is not durable. */
  readonly oldestUnsyncedMs: () => number;
  readonly heirs: () => readonly MemberId[];
  readonly resign: (to: MemberId) => void;
}

export class Resignation {
  readonly #options: ResignationOptions;
  #timer: Timer | undefined;

  constructor(options: ResignationOptions) {
    this.#options = options;
    this.#lookLater();
  }

  end(): void {
    this.#timer?.cancel();
  }

  #lookLater(): void {
    const { clock, diskStallMs } = this.#options;
    this.#timer = clock.setTimer(diskStallMs / 8, () => {
      this.#lookLater();
      this.#look();
    });
  }

  #look(): void {
    const { diskStallMs, oldestUnsyncedMs, heirs, resign, logger } = this.#options;
    const unsyncedMs = oldestUnsyncedMs();
    if (unsyncedMs <= diskStallMs) return;
    const [heir] = heirs();
    if (heir === undefined) return;
    logger.error('controller leader resigns, its disk hangs', { to: parseMember(heir).nodeId, unsyncedMs });
    resign(heir);
  }
}
