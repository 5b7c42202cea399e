/** What clients and operators see of the image: pure readings, in the shapes of the command contract. */
import type { ClusterId, LeaderEpoch, LogIndex, NodeId, PartitionIndex, TopicId } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import type { NodeState, PartitionState, TopicState } from './state.ts';
import type { TopicConfig } from './topic-config.ts';

export interface PartitionView {
  readonly partition: PartitionIndex;
  readonly leader: NodeId | null;
  readonly leaderEpoch: LeaderEpoch;
  readonly replicas: readonly NodeId[];
  readonly isr: readonly NodeId[];
  /** Who may lead though it is not in sync: it was when the ISR fell below `minIsr` (rule E2). */
  readonly elr: readonly NodeId[];
  /** Who was in one of the two and may lack acked records now. */
  readonly lastKnownElr: readonly NodeId[];
  /** Those of them that lost some: why a partition has no leader though nodes are up (rule E3). */
  readonly lossy: readonly NodeId[];
}

export interface TopicView {
  readonly name: string;
  readonly namespace: string;
  readonly id: TopicId;
  readonly config: TopicConfig;
  readonly partitions: readonly PartitionView[];
}

export interface TopicRow {
  readonly name: string;
  readonly namespace: string;
  readonly id: TopicId;
  readonly partitions: number;
  readonly replication: number;
}

export interface NodeRow {
  readonly id: NodeId;
  /** `down`: its session was lost; `fenced`: registered and not admitted yet. */
  readonly state: 'up' | 'fenced' | 'draining' | 'down';
  readonly version: string;
  readonly rack: string | null;
  /** Advertised address on the listener that was asked for; null when the node has no such listener. */
  readonly client: string | null;
  readonly peer: string;
  readonly admin: string;
  readonly leaders: number;
  readonly replicas: number;
}

export interface ClusterView {
  readonly clusterId: ClusterId | null;
  readonly metadataOffset: LogIndex;
  readonly nodes: readonly NodeRow[];
  readonly topics: number;
  readonly partitions: number;
  /** Partitions with fewer live in-sync replicas than replicas. */
  readonly underReplicated: number;
  /** Partitions with fewer live in-sync replicas than `minIsr`: `acks=all` waits or is refused. */
  readonly underMinIsr: number;
  readonly leaderless: number;
}

/** Undefined when there is no such topic. */
export function describeTopic(image: MetadataImage, namespace: string, name: string): TopicView | undefined {
  const topic = image.topicNamed(namespace, name);
  if (topic === undefined) return undefined;
  const { topicId: id, config } = topic;
  const partitions = topic.partitions.map(
    ({ partition, leader, leaderEpoch, replicas, isr, elr, lastKnownElr, lossy }) => ({
      partition,
      leader,
      leaderEpoch,
      replicas,
      isr,
      elr,
      lastKnownElr,
      lossy,
    }),
  );
  return { name, namespace, id, config, partitions };
}

/** The topics of a namespace by name. */
export function listTopics(image: MetadataImage, namespace: string): readonly TopicRow[] {
  return [...image.topics.values()]
    .filter((topic) => topic.namespace === namespace)
    .map((topic) => ({
      name: topic.name,
      namespace,
      id: topic.topicId,
      partitions: topic.partitions.length,
      replication: topic.partitions[0]?.replicas.length ?? 0,
    }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** The address at which a node serves clients of the listener named `listener` (design §3). */
export const clientAddress = (node: NodeState, listener: string): string | null =>
  node.clientListeners.find(({ name }) => name === listener)?.address ?? null;

/** In-sync replicas that are not fenced: one that comes back before it was missed stays a member (`fenceEarlierLife`). */
export const liveIsr = (image: MetadataImage, partition: PartitionState): readonly NodeId[] =>
  partition.isr.filter((id) => image.node(id)?.state !== 'fenced');

export function describeCluster(image: MetadataImage, listener: string): ClusterView {
  let underReplicated = 0;
  let underMinIsr = 0;
  for (const topic of image.topics.values()) {
    for (const partition of topic.partitions) {
      const live = liveIsr(image, partition).length;
      if (live < partition.replicas.length) underReplicated += 1;
      if (live < topic.config.minIsr) underMinIsr += 1;
    }
  }
  return {
    clusterId: image.clusterId,
    metadataOffset: image.appliedIndex,
    nodes: [...image.nodes.values()]
      .toSorted((a, b) => a.nodeId - b.nodeId)
      .map((node) => describeNode(image, node, listener)),
    topics: image.topics.size,
    partitions: image.partitionCount,
    underReplicated,
    underMinIsr,
    leaderless: image.leaderlessCount,
  };
}

function describeNode(image: MetadataImage, node: NodeState, listener: string): NodeRow {
  const { nodeId, softwareVersion, rack, peerAddress, adminAddress } = node;
  // A node that was admitted under its present epoch and is fenced now has lost its session.
  const isDown = node.state === 'fenced' && node.confirmedEpoch === node.brokerEpoch;
  return {
    id: nodeId,
    state: isDown ? 'down' : node.state,
    version: softwareVersion,
    rack,
    client: clientAddress(node, listener),
    peer: peerAddress,
    admin: adminAddress,
    leaders: image.leaderCount(nodeId),
    replicas: image.replicaCount(nodeId),
  };
}

/** The whole image as plain data in a canonical order: equal exactly for equal images. */
export function plainImage(image: MetadataImage): Readonly<Record<string, unknown>> {
  const { clusterId, featureLevel, appliedIndex, nextProducerId } = image;
  const nodes = [...image.nodes.values()].toSorted((a, b) => a.nodeId - b.nodeId);
  const topics = [...image.topics.values()]
    .map((topic: TopicState) => ({ ...topic, partitions: [...topic.partitions] }))
    .toSorted((a, b) => (a.topicId < b.topicId ? -1 : 1));
  return { clusterId, featureLevel, appliedIndex, nextProducerId, nodes, topics };
}
