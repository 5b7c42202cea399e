/**
 * The table of metrics (design §6): base units, `_total` on counters, few labels.
 * Stages of produced batches. Of each group commit: `queue` until it was its turn, `append` until its bytes were made,
 * `fsync` until they were written and synced.
 * Of each batch: `replicate` until it was durable on all in-sync replicas, `ack` from its arrival to its answer.
 */
export interface MetricRow {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly unit: 'seconds' | 'bytes' | 'count' | 'boolean';
  readonly labels: readonly string[];
  readonly help: string;
}

export const stages = ['queue', 'append', 'fsync', 'replicate', 'ack'] as const;
export type Stage = (typeof stages)[number];

type PlainRow<Type extends MetricRow['type']> = MetricRow & { readonly type: Type; readonly labels: readonly [] };

const gauge = (unit: MetricRow['unit'], help: string): PlainRow<'gauge'> => ({ type: 'gauge', unit, labels: [], help });
const counter = (unit: MetricRow['unit'], help: string): PlainRow<'counter'> => ({
  type: 'counter',
  unit,
  labels: [],
  help,
});

export const metricsTable = {
  sluice_stage_seconds: {
    type: 'histogram',
    unit: 'seconds',
    labels: ['stage'],
    help: 'Time that producing spends in each stage: queue, append, fsync, replicate, ack.',
  },
  sluice_node_ready: gauge('boolean', '1 when the node serves: registered, unfenced, caught up, listeners open.'),
  sluice_node_controller_leader: gauge('boolean', '1 when this node leads the controller.'),
  sluice_controller_voter: gauge('boolean', '1 when this node votes on the metadata.'),
  sluice_controller_term: gauge(
    'count',
    'Term of the controller quorum that this node knows; it grows with each election.',
  ),
  sluice_metadata_index: gauge('count', 'Position in the metadata log that this node has applied.'),
  sluice_metadata_snapshot_index: gauge('count', 'Position of the snapshot that the metadata log here starts with.'),
  sluice_metadata_snapshot_bytes: gauge('bytes', 'Size of the last snapshot that this process saved.'),
  sluice_metadata_snapshot_seconds: gauge('seconds', 'How long saving it took.'),
  sluice_metadata_snapshots_total: counter(
    'count',
    'Snapshots of the metadata saved, its own and those of the leader.',
  ),
  sluice_metadata_log_bytes: gauge('bytes', 'Bytes of the metadata log since the last snapshot.'),
  sluice_partitions_led: gauge('count', 'Partitions that this node leads.'),
  sluice_partitions_held: gauge('count', 'Partitions of which this node holds a replica.'),
  sluice_partitions_under_replicated: gauge('count', 'Partitions led here with fewer in-sync replicas than replicas.'),
  sluice_partitions_under_min_isr: gauge(
    'count',
    'Partitions led here with fewer in-sync replicas than `minIsr`: no acks.',
  ),
  sluice_partitions_failed: gauge(
    'count',
    'Replicas here that differ from their leader below what was committed, and are left alone: they need a person.',
  ),
  sluice_partitions_without_leader: gauge(
    'count',
    'Partitions of the cluster that nobody leads, told by the controller leader: 0 at the others.',
  ),
  sluice_fences_total: {
    type: 'counter',
    unit: 'count',
    labels: ['cause'],
    help: 'Nodes that this node, as the controller leader, took out of service, by cause: refused, unanswered, silence, earlier_life.',
  },
  sluice_leader_changes_total: counter('count', 'How often a replica here began to lead.'),
  sluice_isr_shrinks_total: counter('count', 'How often in-sync replicas of a partition led here became fewer.'),
  sluice_isr_expands_total: counter('count', 'How often they became more.'),
  sluice_replica_lag_seconds_max: gauge(
    'seconds',
    'How long the follower of a partition led here that is furthest back has not been at its end.',
  ),
  sluice_replica_lag_records_max: gauge('count', 'The most records that a follower of a partition led here lacks.'),
  sluice_replicate_pushed_bytes_total: counter('bytes', 'Bytes of batches pushed to followers.'),
  sluice_catch_up_bytes_total: counter(
    'bytes',
    'Part of them that was read behind the tail, within the budget of that.',
  ),
  sluice_catch_up_partitions: gauge('count', 'Replicas at followers that are read behind the tail here.'),
  sluice_log_written_bytes_total: counter('bytes', 'Bytes written to the node log.'),
  sluice_log_groups_total: counter('count', 'Group commits of the node log.'),
  sluice_log_syncs_total: counter('count', 'Syncs of the node log.'),
  sluice_log_pending_bytes: gauge('bytes', 'Bytes accepted by the node log and not yet durable.'),
  sluice_log_tail_bytes: gauge('bytes', 'Memory of the newest batches, kept for followers and consumers.'),
  sluice_log_read_bytes: gauge('bytes', 'Memory of reads from disk that are under way.'),
  sluice_log_reads_waiting: gauge('count', 'Reads from disk that wait for memory.'),
  sluice_log_index_bytes: gauge('bytes', 'Memory of the indexes of batches.'),
  sluice_log_files: gauge('count', 'Journal files of the node log.'),
  sluice_log_sorted_files: gauge('count', 'Sorted files of the node log.'),
  sluice_log_rewrites_total: counter('count', 'Sorted sets that took the place of files.'),
  sluice_log_rewritten_bytes_total: counter('bytes', 'Bytes written by the background rewrite, beside the groups.'),
  sluice_log_disk_bytes: gauge('bytes', 'Bytes of the files of the node log, without space made ahead.'),
  sluice_log_live_bytes: gauge(
    'bytes',
    'What partitions hold of that; the rest goes with dead files, and by rewrites.',
  ),
  sluice_log_scrubbed_bytes_total: counter('bytes', 'Bytes of finished files that were read again and checked.'),
  sluice_log_damage_total: counter(
    'count',
    'How often a log of this node was found damaged, by recovery, a reader or the scrubber.',
  ),
  sluice_log_scrub_passes_total: counter('count', 'How often all finished files were read again and checked.'),
  sluice_disk_free_bytes: gauge('bytes', 'Free space of the file system of the data directory.'),
  sluice_disk_reserve_bytes: gauge('bytes', 'Free space below which records are refused.'),
  sluice_disk_low: gauge('boolean', '1 while records are refused, because less than the reserve is free.'),
  sluice_retention_paused: gauge('boolean', '1 while retention by time waits, because wall clocks are in doubt.'),
  sluice_retention_records_total: counter('count', 'Records of partitions led here that retention removed.'),
  sluice_compaction_passes_total: counter('count', 'Passes of compaction that wrote a partition anew.'),
  sluice_compaction_records_total: counter('count', 'Records that compaction removed here, tombstones among them.'),
  sluice_log_oldest_unsynced_seconds: gauge('seconds', 'Age of the oldest write that is not durable.'),
  sluice_node_disk_stalled: gauge('boolean', '1 while a write has not been durable for longer than `diskStallMs`.'),
  sluice_data_filesystem: {
    type: 'gauge',
    unit: 'boolean',
    labels: ['type'],
    help: 'File system of the data directory: 1 at its type.',
  },
  sluice_process_resident_bytes: gauge('bytes', 'Resident memory of the process.'),
  sluice_process_heap_used_bytes: gauge('bytes', 'Used JavaScript heap.'),
  sluice_process_external_bytes: gauge('bytes', 'Memory outside the heap that JavaScript objects hold.'),
  sluice_process_array_buffers_bytes: gauge('bytes', 'Memory of array buffers, part of external.'),
  sluice_process_cpu_seconds_total: counter('seconds', 'Processor time of the process, user and system.'),
  sluice_process_event_loop_delay_seconds: {
    type: 'gauge',
    unit: 'seconds',
    labels: ['quantile'],
    help: 'How late the event loop was since the last scrape.',
  },
} as const satisfies Readonly<Record<string, MetricRow>>;

export type MetricName = keyof typeof metricsTable;
/** Metrics without labels, which are read when they are scraped. */
export type PlainMetricName = {
  [Name in MetricName]: (typeof metricsTable)[Name]['labels'] extends readonly [] ? Name : never;
}[MetricName];
