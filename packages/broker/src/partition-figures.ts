/** How the replicas of this node stand now: asked at each scrape of the metrics. */
import type { PartitionHost } from './partition-host.ts';

export interface PartitionFigures {
  /** Replicas that do nothing any more: their log differs below what was committed (D8). */
  readonly failed: number;
  /** Of the follower of a partition led here that was not at its end for longest. */
  readonly replicaLagMsMax: number;
  readonly replicaLagRecordsMax: number;
}

export function partitionFigures(hosts: Iterable<PartitionHost>): PartitionFigures {
  let failed = 0;
  let replicaLagMsMax = 0;
  let replicaLagRecordsMax = 0;
  for (const { replica } of hosts) {
    if (replica?.role === 'failed') failed += 1;
    for (const { lagMs, durableOffset } of replica?.followerProgress() ?? []) {
      // One that was never there has no time, only a distance.
      if (Number.isFinite(lagMs)) replicaLagMsMax = Math.max(replicaLagMsMax, lagMs);
      replicaLagRecordsMax = Math.max(replicaLagRecordsMax, (replica?.logEnd ?? 0) - durableOffset);
    }
  }
  return { failed, replicaLagMsMax, replicaLagRecordsMax };
}
