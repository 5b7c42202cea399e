import type { NodeId } from '@sluice/base';

/** Facts of the node that all its partitions share. Pure reads; monotonic milliseconds, −Infinity for "never". */
export interface ReplicaLiveness {
  /** When this node last heard from `nodeId`, on any stream between the two. */
  heardAtMs(nodeId: NodeId): number;
  /** When this node last heard from the controller's leader. */
  controllerHeardAtMs(): number;
}

export interface PartitionConfig {
  /** A node or controller not heard of for longer does not count as live. */
  readonly sessionTimeoutMs: number;
  /** A follower whose durable end was not at the log's end for longer leaves the ISR (D10). */
  readonly replicaLagMsMax: number;
  /** A producer that appended nothing for longer is forgotten (I6). */
  readonly producerExpiryMs: number;
  /** Most producers that may have a batch in doubt; beyond it new ones are refused. */
  readonly producerCountMax: number;
}
