/**
 * Says in the log whose in-sync replicas changed. A node that dies or comes back changes those of all its partitions in
 * one decision: a line each would hold up the thousandth partition that begins to lead here, and say no more than the
 * first lines and a number do. Owned by `BrokerNode`, told by the hosts.
 */
import type { Logger, LogFields } from '@sluice/base';

/** Of one change of the metadata. */
export const isrLinesMax = 20;

export class IsrNews {
  readonly #logger: Logger;
  /** Told so far of the change that is under way; undefined outside of one. */
  #count: number | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** What `apply` brings about belongs together. */
  during(apply: () => void): void {
    this.#count = 0;
    try {
      apply();
    } finally {
      const untold = this.#count - isrLinesMax;
      this.#count = undefined;
      if (untold > 0) this.#logger.info('in-sync replicas of more partitions changed', { partitions: untold });
    }
  }

  tell(fields: LogFields): void {
    if (this.#count !== undefined) {
      this.#count += 1;
      if (this.#count > isrLinesMax) return this.#logger.debug('in-sync replicas changed', fields);
    }
    this.#logger.info('in-sync replicas changed', fields);
  }
}
