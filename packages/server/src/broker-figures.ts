/** What the broker of a node tells of itself and its partitions, as metrics. Read at each scrape. */
import type { NodeId } from '@sluice/base';
import type { BrokerNode } from '@sluice/broker';
import type { ControllerNode } from '@sluice/controller';
import type { NodeFigures } from './metrics.ts';

export function brokerFigures(broker: BrokerNode | undefined): NodeFigures {
  if (broker === undefined) return {};
  const { counts, replication, retention, compaction } = broker;
  const replicas = broker.partitionFigures();
  return {
    sluice_partitions_failed: replicas.failed,
    sluice_leader_changes_total: counts.leaderChanges,
    sluice_isr_shrinks_total: counts.isrShrinks,
    sluice_isr_expands_total: counts.isrExpands,
    sluice_replica_lag_seconds_max: replicas.replicaLagMsMax / 1000,
    sluice_replica_lag_records_max: replicas.replicaLagRecordsMax,
    sluice_replicate_pushed_bytes_total: replication.pushedBytes,
    sluice_catch_up_bytes_total: replication.catchUpBytes,
    sluice_catch_up_partitions: replication.behind,
    sluice_retention_paused: retention.paused ? 1 : 0,
    sluice_retention_records_total: retention.records,
    sluice_compaction_passes_total: compaction.passes,
    sluice_compaction_records_total: compaction.records,
    sluice_node_disk_stalled: broker.isStalled ? 1 : 0,
  };
}

/** Of what the node leads, as metadata has it. */
export function ledFigures(image: ControllerNode['image'], nodeId: NodeId): NodeFigures {
  let underReplicated = 0;
  let underMinIsr = 0;
  for (const { topicId, isr, replicas } of image.ledBy(nodeId)) {
    if (isr.length < replicas.length) underReplicated += 1;
    if (isr.length < (image.topic(topicId)?.config.minIsr ?? 0)) underMinIsr += 1;
  }
  return {
    sluice_partitions_led: image.leaderCount(nodeId),
    sluice_partitions_held: image.replicaCount(nodeId),
    sluice_partitions_under_replicated: underReplicated,
    sluice_partitions_under_min_isr: underMinIsr,
  };
}
