/** What changed in the partitions of this node since it started, for metrics. Shared by all hosts. */
export class PartitionCounts {
  isrShrinks = 0;
  isrExpands = 0;
  /** How often a replica here began to lead. */
  leaderChanges = 0;

  /** As the leader of a partition learns of it. */
  onIsr(before: number, now: number): void {
    if (now < before) this.isrShrinks += 1;
    if (now > before) this.isrExpands += 1;
  }
}
