/** How often this process, as the controller leader, fenced a node, by cause: over all its leaderships, for metrics. */
import type { SessionLoss } from '@sluice/metadata';

/** Beside a lost session: a later life of the node registers, so the one that is registered is gone. */
export type FenceCause = SessionLoss | 'earlier_life';

export class FenceCounts {
  readonly #counts: Record<FenceCause, number> = { refused: 0, unanswered: 0, silence: 0, earlier_life: 0 };

  add(cause: FenceCause): void {
    this.#counts[cause] += 1;
  }

  get figures(): Readonly<Record<FenceCause, number>> {
    return { ...this.#counts };
  }
}
