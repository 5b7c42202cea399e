/**
 * Faults of whoever leads or follows a partition when they come: a node drawn beforehand seldom does. Each becomes a fault
 * of the nodes that are found.
 */
import type { SimCluster } from '../sim-cluster.ts';
import type {
  Crash,
  Cut,
  Fault,
  HungDisk,
  LinkReset,
  PartitionLeaderStruck,
  Pause,
  Reset,
  SlowDisk,
  SlowFollower,
} from './fault.ts';

export type Aimed = PartitionLeaderStruck | SlowFollower | LinkReset;
export type Met = Crash | Pause | Cut | HungDisk | SlowDisk | Reset;

export const isAimed = (fault: Fault): fault is Aimed =>
  fault.kind === 'partition-leader-struck' || fault.kind === 'slow-follower' || fault.kind === 'link-reset';

/** Undefined when nobody leads, or nobody follows. */
export function metBy(fault: Aimed, cluster: SimCluster, topic: string): Met | undefined {
  const found = partitionOf(cluster, topic, fault.draw);
  if (found === undefined) return undefined;
  const { leader, followers } = found;
  if (fault.kind === 'partition-leader-struck') return strikeOf(fault, leader, cluster);
  const follower = followers[fault.draw % followers.length];
  if (follower === undefined) return undefined;
  const { atMs } = fault;
  if (fault.kind === 'link-reset') return { kind: 'reset', atMs, one: leader, other: follower };
  return { kind: 'slow-disk', atMs, node: follower, forMs: fault.forMs, meanMs: fault.meanMs };
}

function strikeOf({ by, atMs, forMs, draw }: PartitionLeaderStruck, node: number, cluster: SimCluster): Met {
  switch (by) {
    case 'crash':
      return { kind: by, atMs, node, forMs, keeps: 'nothing', tears: draw % 2 === 0, silent: draw % 3 === 0 };
    case 'slow-disk':
      return { kind: by, atMs, node, forMs, meanMs: 5 + (draw % 200) };
    case 'isolate': {
      const others = cluster.ids.filter((id) => id !== node);
      const links = others.flatMap((other) => [[node, other] as const, [other, node] as const]);
      return { kind: by, atMs, forMs, links };
    }
    default:
      return { kind: by, atMs, node, forMs };
  }
}

/** As the node with the newest metadata knows it. */
function partitionOf(cluster: SimCluster, topic: string, draw: number) {
  const images = cluster.ids.flatMap((id) => cluster.inspect(id)?.image ?? []);
  const [newest] = images.toSorted((one, other) => other.appliedIndex - one.appliedIndex);
  const partitions = newest?.topicNamed('default', topic)?.partitions ?? [];
  const chosen = partitions[draw % partitions.length];
  if (chosen === undefined || chosen.leader === null) return undefined;
  const { leader, replicas } = chosen;
  return { leader, followers: replicas.filter((id) => id !== leader && cluster.isRunning(id)) };
}
