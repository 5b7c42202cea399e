/**
 * A controller leader whose disk hangs goes on speaking, so that nobody doubts it, and decides nothing: it applies only
 * what is durable here. So it resigns, in favour of another voter. Owned by `ControllerNode`; one for each Raft leadership,
 * from the election on, since the first entry of a term may be what hangs.
 *
 * R1. An heir is as for a handover (`heirs.ts`), and is told at once: what it has to wait for in a handover, that all is
 *     durable here, would never come (T4 of `raft`).
 * R2. Without an heir it stays, and looks again: nobody else could do better.
 * R3. An heir has a better disk, and has shown it: what is not durable here it acked within half of `diskStallMs`. Where
 *     all disks are as slow nobody resigns: no election ends that waits for such a disk, and a leader that stays decides,
 *     however slowly. Half, since a write may wait for one before it: the oldest one here is as old as two take.
 *     There is such an entry: this node's own heartbeats make the leader mark it as stalled.
 */
import type { Clock, Logger, Timer } from '@sluice/base';
import type { MemberId, Raft } from '@sluice/raft';
import { parseMember } from './members.ts';

export interface ResignationOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly raft: Pick<Raft, 'durableIndex' | 'lastIndex' | 'peers'>;
  readonly diskStallMs: number;
  /** Who answers is heard this often. */
  readonly contactMs: number;
  /** Age of the oldest write of this node that is not durable. */
  readonly oldestUnsyncedMs: () => number;
  readonly heirs: () => readonly MemberId[];
  readonly resign: (to: MemberId) => void;
}

/** What is known of a member's disk by the first entry that is not durable here. */
interface Trial {
  /** The entry is there, and the member in contact. */
  readonly sinceMs: number;
  readonly isPassed: boolean;
}

export class Resignation {
  readonly #options: ResignationOptions;
  readonly #trials = new Map<MemberId, Trial>();
  #durableIndex = 0;
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
      this.#tryDisks();
      this.#look();
    });
  }

  /** R3 */
  #tryDisks(): void {
    const { clock, raft, diskStallMs, contactMs } = this.#options;
    const { durableIndex, lastIndex, peers } = raft;
    if (durableIndex !== this.#durableIndex || durableIndex === lastIndex) this.#trials.clear();
    this.#durableIndex = durableIndex;
    if (durableIndex === lastIndex) return;
    const nowMs = clock.monotonicMs();
    for (const { peer, matchIndex, lastContactMs } of peers) {
      const { sinceMs, isPassed } = this.#trials.get(peer) ?? { sinceMs: nowMs, isPassed: false };
      if (nowMs - lastContactMs > contactMs) {
        this.#trials.delete(peer);
        continue;
      }
      const isQuick = matchIndex > durableIndex && nowMs - sinceMs <= diskStallMs / 2;
      this.#trials.set(peer, { sinceMs, isPassed: isPassed || isQuick });
    }
  }

  #look(): void {
    const { diskStallMs, oldestUnsyncedMs, heirs, resign, logger } = this.#options;
    const unsyncedMs = oldestUnsyncedMs();
    if (unsyncedMs <= diskStallMs) return;
    const heir = heirs().find((member) => this.#trials.get(member)?.isPassed);
    if (heir === undefined) return;
    logger.error('controller leader resigns, its disk hangs', { to: parseMember(heir).nodeId, unsyncedMs });
    resign(heir);
  }
}
