/** When acks of each partition arrived, and how long none did: what a failover costs a producer. */
export class AckGaps {
  readonly #timesMs = new Map<number, number[]>();

  record(partition: number, nowMs: number): void {
    const times = this.#timesMs.get(partition);
    if (times === undefined) this.#timesMs.set(partition, [nowMs]);
    // Acks of one batch come together.
    else if (times.at(-1) !== nowMs) times.push(nowMs);
  }

  /** Those of `partitions` that have had no ack since then. */
  silentSince(sinceMs: number, partitions: readonly number[]): readonly number[] {
    return partitions.filter((each) => (this.#timesMs.get(each)?.at(-1) ?? Number.NEGATIVE_INFINITY) <= sinceMs);
  }

  /**
   * The longest time between two acks of one partition that ended after `sinceMs`, over `partitions`. Undefined while
   * one of them has had no ack since then: its gap is not over.
   */
  longestMs(partitions: readonly number[], sinceMs: number): number | undefined {
    if (this.silentSince(sinceMs, partitions).length > 0) return undefined;
    let longest = 0;
    for (const partition of partitions) {
      const times = this.#timesMs.get(partition) ?? [];
      for (const [at, time] of times.entries()) {
        const before = times[at - 1];
        if (before !== undefined && time > sinceMs) longest = Math.max(longest, time - before);
      }
    }
    return longest;
  }
}
