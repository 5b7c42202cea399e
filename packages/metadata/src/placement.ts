/**
 * Where the replicas of new partitions go. Greedy and deterministic: each choice takes the least loaded node.
 *
 * L1. The replicas of a partition are on distinct nodes, and on as many racks as possible, evenly.
 * L2. Within a topic no node is the preferred leader of two partitions more than another.
 * L3. Equal load within the topic is decided by load within the cluster, so that many small topics spread as one
 *     large one does.
 */
import { invariant } from '@sluice/base';
import type { NodeId } from '@sluice/base';

/** A node that may take replicas, with what it carries already. */
export interface PlacementNode {
  readonly nodeId: NodeId;
  /** Nodes without a rack count as one rack. */
  readonly rack: string | null;
  readonly replicas: number;
  /** Partitions whose preferred leader it is. */
  readonly preferred: number;
}

interface Load {
  readonly node: PlacementNode;
  readonly position: number;
  topicReplicas: number;
  topicLeaders: number;
}

/** One list of replicas in assignment order for each new partition; `replication` is at most the number of nodes. */
export function placeReplicas(
  nodes: readonly PlacementNode[],
  partitions: number,
  replication: number,
): readonly (readonly NodeId[])[] {
  invariant(replication >= 1 && replication <= nodes.length, 'replicas fit on the nodes', {
    replication,
    nodes: nodes.length,
  });
  const ordered = nodes.toSorted((a, b) => a.nodeId - b.nodeId);
  const loads = ordered.map((node, position): Load => ({ node, position, topicReplicas: 0, topicLeaders: 0 }));
  const placed: (readonly NodeId[])[] = [];
  for (let partition = 0; partition < partitions; partition += 1) {
    const chosen = placeOne(loads, partition, replication);
    placed.push(chosen.map((load) => load.node.nodeId));
  }
  return placed;
}

function placeOne(loads: readonly Load[], partition: number, replication: number): readonly Load[] {
  const leader = least(loads, (load) => [
    load.topicLeaders,
    load.topicReplicas,
    load.node.preferred,
    load.node.replicas,
    load.position,
  ]);
  leader.topicLeaders += 1;
  leader.topicReplicas += 1;
  const chosen = [leader];
  // Followers start at another neighbour in each round, so that a lost node's partitions move to many others.
  const round = Math.floor(partition / loads.length);
  const distance = (load: Load): number =>
    (load.position - leader.position - 1 - (round % loads.length) + 2 * loads.length) % loads.length;
  while (chosen.length < replication) {
    const free = loads.filter((load) => !chosen.includes(load));
    const follower = least(free, (load) => [
      chosen.filter((other) => other.node.rack === load.node.rack).length,
      load.topicReplicas,
      load.node.replicas,
      distance(load),
    ]);
    follower.topicReplicas += 1;
    chosen.push(follower);
  }
  return chosen;
}

/** The element with the smallest key, compared number by number; the first of equals. */
function least(loads: readonly Load[], keyOf: (load: Load) => readonly number[]): Load {
  let best: Load | undefined;
  let bestKey: readonly number[] = [];
  for (const load of loads) {
    const key = keyOf(load);
    if (best === undefined || isLess(key, bestKey)) {
      best = load;
      bestKey = key;
    }
  }
  invariant(best !== undefined, 'there is a node to choose');
  return best;
}

function isLess(a: readonly number[], b: readonly number[]): boolean {
  for (let at = 0; at < a.length; at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
