/**
 * The metadata image: what all records up to `appliedIndex` add up to. Every node keeps one; the controller leader
 * decides on one, brokers and watchers read theirs. `replayEntry` is the only mutator, live and on load, but for
 * `become`, by which a node takes over an image that it was sent because it lacks the entries.
 * Nodes and partitions are immutable and replaced when they change: one that was handed out stays as it was. Only the
 * list `TopicState.partitions` is live: copy it to keep it.
 *
 * M1. The first record is `featureLevel`, once (R1).
 * M2. isr, elr and lastKnownElr are parts of replicas, no node is in two of them or twice, and not all are empty. From
 *     `minIsr` in-sync replicas on the other two are. lossy ⊆ lastKnownElr, refilling ⊆ replicas − isr − elr.
 * M3. The leader is null or in isr, and not fenced.
 * M4. leaderEpoch grows by one exactly when the leader changes; partitionEpoch grows by one with every change.
 * M5. A node's broker epoch is the index of the entry that registered it, so it only grows.
 * M6. `#replicasOn` and `#ledBy` hold exactly the partitions whose `replicas` contain, whose `leader` is, the node;
 *     `#preferredCounts` counts those whose first replica it is.
 */
import { brokerEpoch, invariant, logIndex, producerId, unreachable } from '@sluice/base';
import type { ClusterId, LogIndex, NodeId, PartitionIndex, ProducerId, TopicId } from '@sluice/base';
import { imageDifference } from './image-difference.ts';
import { partitionFault } from './partition-rules.ts';
import type {
  MetadataRecord,
  NodeRegisteredRecord,
  PartitionChangedRecord,
  PartitionCreatedRecord,
  TopicCreatedRecord,
} from './records.ts';
import type { ImageChange, NodePhase, NodeState, PartitionKey, PartitionState, TopicState } from './state.ts';

interface MutableTopic extends TopicState {
  readonly partitions: PartitionState[];
}

/** All of an image: the rest of it follows from this. */
export interface ImageState {
  readonly clusterId: ClusterId | null;
  readonly featureLevel: number;
  readonly appliedIndex: LogIndex;
  readonly nextProducerId: ProducerId;
  readonly nodes: Iterable<NodeState>;
  readonly topics: Iterable<TopicState>;
}

interface ChangeSet {
  readonly nodes: Set<NodeId>;
  readonly topicsCreated: Set<TopicId>;
  readonly topicsDeleted: TopicState[];
  readonly partitions: Map<string, PartitionKey>;
}

type PartitionsByNode = Map<NodeId, Map<string, PartitionState>>;

const keyOf = ({ topicId, partition }: PartitionKey): string => `${topicId}/${partition}`;
const nameKey = (namespace: string, name: string): string => `${namespace}/${name}`;

export class MetadataImage {
  #clusterId: ClusterId | null = null;
  #featureLevel = 0;
  #appliedIndex: LogIndex = logIndex(0);
  #nextProducerId: ProducerId = producerId(0);
  #partitionCount = 0;
  #nodes = new Map<NodeId, NodeState>();
  #topics = new Map<TopicId, MutableTopic>();
  #topicIds = new Map<string, TopicId>();
  #replicasOn: PartitionsByNode = new Map();
  #ledBy: PartitionsByNode = new Map();
  #preferredCounts = new Map<NodeId, number>();

  /** An image of this state, with its indexes (M6) made anew. The lists of partitions are copied. */
  static of(state: ImageState): MetadataImage {
    const image = new MetadataImage();
    image.#clusterId = state.clusterId;
    image.#featureLevel = state.featureLevel;
    image.#appliedIndex = state.appliedIndex;
    image.#nextProducerId = state.nextProducerId;
    for (const node of state.nodes) image.#nodes.set(node.nodeId, node);
    for (const topic of state.topics) {
      const key = nameKey(topic.namespace, topic.name);
      image.#topics.set(topic.topicId, { ...topic, partitions: [...topic.partitions] });
      image.#topicIds.set(key, topic.topicId);
      image.#partitionCount += topic.partitions.length;
      for (const partition of topic.partitions) image.#index(undefined, partition);
    }
    return image;
  }

  /** Null before the first record. */
  get clusterId(): ClusterId | null {
    return this.#clusterId;
  }

  /** 0 before the first record. */
  get featureLevel(): number {
    return this.#featureLevel;
  }

  get appliedIndex(): LogIndex {
    return this.#appliedIndex;
  }

  get nextProducerId(): ProducerId {
    return this.#nextProducerId;
  }

  get nodes(): ReadonlyMap<NodeId, NodeState> {
    return this.#nodes;
  }

  get topics(): ReadonlyMap<TopicId, TopicState> {
    return this.#topics;
  }

  get partitionCount(): number {
    return this.#partitionCount;
  }

  node(id: NodeId): NodeState | undefined {
    return this.#nodes.get(id);
  }

  topic(id: TopicId): TopicState | undefined {
    return this.#topics.get(id);
  }

  topicNamed(namespace: string, name: string): TopicState | undefined {
    const id = this.#topicIds.get(nameKey(namespace, name));
    return id === undefined ? undefined : this.#topics.get(id);
  }

  partition(topicId: TopicId, partition: PartitionIndex): PartitionState | undefined {
    return this.#topics.get(topicId)?.partitions[partition];
  }

  /** Partitions with a replica on the node, in no promised order. Not valid across a replay. */
  replicasOn(id: NodeId): Iterable<PartitionState> {
    return this.#replicasOn.get(id)?.values() ?? [];
  }

  replicaCount(id: NodeId): number {
    return this.#replicasOn.get(id)?.size ?? 0;
  }

  /** Partitions that the node leads, in no promised order. Not valid across a replay. */
  ledBy(id: NodeId): Iterable<PartitionState> {
    return this.#ledBy.get(id)?.values() ?? [];
  }

  leaderCount(id: NodeId): number {
    return this.#ledBy.get(id)?.size ?? 0;
  }

  /** Partitions that nobody leads. */
  get leaderlessCount(): number {
    let led = 0;
    for (const partitions of this.#ledBy.values()) led += partitions.size;
    return this.#partitionCount - led;
  }

  /** Partitions whose preferred leader is the node. */
  preferredCount(id: NodeId): number {
    return this.#preferredCounts.get(id) ?? 0;
  }

  /** An independent image with the same state: for deciding ahead of the commit. Costs O(partitions). */
  copy(): MetadataImage {
    const image = new MetadataImage();
    image.#clusterId = this.#clusterId;
    image.#featureLevel = this.#featureLevel;
    image.#appliedIndex = this.#appliedIndex;
    image.#nextProducerId = this.#nextProducerId;
    image.#partitionCount = this.#partitionCount;
    for (const [id, node] of this.#nodes) image.#nodes.set(id, node);
    for (const [id, topic] of this.#topics) image.#topics.set(id, { ...topic, partitions: [...topic.partitions] });
    for (const [name, id] of this.#topicIds) image.#topicIds.set(name, id);
    for (const [id, partitions] of this.#replicasOn) image.#replicasOn.set(id, new Map(partitions));
    for (const [id, partitions] of this.#ledBy) image.#ledBy.set(id, new Map(partitions));
    for (const [id, count] of this.#preferredCounts) image.#preferredCounts.set(id, count);
    return image;
  }

  /** Applies the records of one entry; `index` must be above `appliedIndex`. An entry without records only moves it. */
  replayEntry(index: LogIndex, records: readonly MetadataRecord[]): ImageChange {
    invariant(index > this.#appliedIndex, 'metadata entries replay in order', { index, applied: this.#appliedIndex });
    const change: ChangeSet = {
      nodes: new Set(),
      topicsCreated: new Set(),
      topicsDeleted: [],
      partitions: new Map(),
    };
    for (const record of records) this.#replay(record, index, change);
    this.#appliedIndex = index;
    for (const id of change.nodes) {
      const isLeading = this.#nodes.get(id)?.state === 'fenced' && this.leaderCount(id) > 0;
      invariant(!isLeading, 'M3: a fenced node leads nothing', { id, index });
    }
    return {
      nodes: [...change.nodes],
      topicsCreated: [...change.topicsCreated],
      topicsDeleted: change.topicsDeleted,
      partitions: [...change.partitions.values()],
    };
  }

  /**
   * Takes over the state of `later`, an image of the same log further on, and says what is different. `later` is given
   * up: it may not be used any more.
   */
  become(later: MetadataImage): ImageChange {
    invariant(later.#appliedIndex > this.#appliedIndex, 'an image is replaced only by a later one', {
      applied: this.#appliedIndex,
      later: later.#appliedIndex,
    });
    const change = imageDifference(this, later);
    this.#clusterId = later.#clusterId;
    this.#featureLevel = later.#featureLevel;
    this.#appliedIndex = later.#appliedIndex;
    this.#nextProducerId = later.#nextProducerId;
    this.#partitionCount = later.#partitionCount;
    this.#nodes = later.#nodes;
    this.#topics = later.#topics;
    this.#topicIds = later.#topicIds;
    this.#replicasOn = later.#replicasOn;
    this.#ledBy = later.#ledBy;
    this.#preferredCounts = later.#preferredCounts;
    return change;
  }

  #replay(record: MetadataRecord, index: LogIndex, change: ChangeSet): void {
    invariant((record.type === 'featureLevel') === (this.#clusterId === null), 'M1: the feature level comes first', {
      type: record.type,
      index,
    });
    switch (record.type) {
      case 'featureLevel':
        this.#clusterId = record.clusterId;
        this.#featureLevel = record.level;
        return;
      case 'nodeRegistered':
        change.nodes.add(record.nodeId);
        return this.#registerNode(record, index);
      case 'nodeFenced':
        change.nodes.add(record.nodeId);
        return this.#setNodeState(record.nodeId, 'fenced', index);
      case 'nodeUnfenced':
        change.nodes.add(record.nodeId);
        return this.#setNodeState(record.nodeId, 'up', index);
      case 'nodeDraining':
        change.nodes.add(record.nodeId);
        return this.#setNodeState(record.nodeId, 'draining', index);
      case 'nodeStalled':
        change.nodes.add(record.nodeId);
        return this.#setNodeStalled(record.nodeId, record.stalled, index);
      case 'topicCreated':
        change.topicsCreated.add(record.topicId);
        return this.#createTopic(record);
      case 'partitionCreated':
        change.partitions.set(keyOf(record), { topicId: record.topicId, partition: record.partition });
        return this.#createPartition(record);
      case 'partitionChanged':
        change.partitions.set(keyOf(record), { topicId: record.topicId, partition: record.partition });
        return this.#changePartition(record);
      case 'topicDeleted':
        return this.#deleteTopic(record.topicId, change);
      case 'producerIdsAllocated':
        invariant(record.nextProducerId > this.#nextProducerId, 'producer ids only grow', { record });
        this.#nextProducerId = record.nextProducerId;
        return;
      default:
        unreachable(record);
    }
  }

  #registerNode(record: NodeRegisteredRecord, index: LogIndex): void {
    const { type: _type, version: _version, ...registration } = record;
    const before = this.#nodes.get(record.nodeId);
    invariant(before === undefined || before.state === 'fenced', 'D18: only a fenced node registers anew', { record });
    // The epochs of another directory say nothing about this one.
    const confirmedEpoch = before?.directoryId === record.directoryId ? before.confirmedEpoch : null;
    this.#nodes.set(record.nodeId, {
      ...registration,
      brokerEpoch: brokerEpoch(index),
      confirmedEpoch,
      state: 'fenced',
      stalled: false,
      stateIndex: index,
    });
  }

  #setNodeState(id: NodeId, state: NodePhase, index: LogIndex): void {
    const node = this.#nodes.get(id);
    invariant(node !== undefined, 'a node is registered before it changes', { id, state });
    const confirmedEpoch = state === 'up' ? node.brokerEpoch : node.confirmedEpoch;
    this.#nodes.set(id, { ...node, state, confirmedEpoch, stateIndex: index });
  }

  #setNodeStalled(id: NodeId, stalled: boolean, index: LogIndex): void {
    const node = this.#nodes.get(id);
    invariant(node !== undefined, 'a node is registered before it changes', { id, stalled });
    this.#nodes.set(id, { ...node, stalled, stateIndex: index });
  }

  #createTopic(record: TopicCreatedRecord): void {
    const { topicId, namespace, name, config } = record;
    const key = nameKey(namespace, name);
    invariant(!this.#topics.has(topicId) && !this.#topicIds.has(key), 'a topic is created once', { topicId, key });
    this.#topics.set(topicId, { topicId, namespace, name, config, partitions: [] });
    this.#topicIds.set(key, topicId);
  }

  #createPartition(record: PartitionCreatedRecord): void {
    const { type: _type, version: _version, ...state } = record;
    const topic = this.#topics.get(record.topicId);
    invariant(topic?.partitions.length === record.partition, 'partitions are created in order', { record });
    topic.partitions.push(this.#index(undefined, { ...state, ...asCreated }));
    this.#partitionCount += 1;
  }

  #changePartition(record: PartitionChangedRecord): void {
    const { type: _type, version: _version, ...changed } = record;
    const topic = this.#topics.get(record.topicId);
    const before = topic?.partitions[record.partition];
    invariant(topic !== undefined && before !== undefined, 'a partition exists before it changes', { record });
    const merged = { ...before, ...changed };
    const refilling = merged.refilling.filter(({ nodeId }) => !merged.isr.includes(nodeId));
    const after = { ...merged, refilling };
    const leaderChanged = after.leader !== before.leader;
    invariant(
      after.partitionEpoch === before.partitionEpoch + 1 &&
        after.leaderEpoch === before.leaderEpoch + (leaderChanged ? 1 : 0),
      'M4: epochs count changes',
      { before, record },
    );
    topic.partitions[record.partition] = this.#index(before, after);
  }

  #deleteTopic(topicId: TopicId, change: ChangeSet): void {
    const topic = this.#topics.get(topicId);
    invariant(topic !== undefined, 'a topic exists before it is deleted', { topicId });
    for (const partition of topic.partitions) {
      const key = keyOf(partition);
      for (const replica of partition.replicas) this.#replicasOn.get(replica)?.delete(key);
      if (partition.leader !== null) this.#ledBy.get(partition.leader)?.delete(key);
      this.#countPreferred(partition, -1);
      change.partitions.delete(key);
    }
    this.#partitionCount -= topic.partitions.length;
    this.#topics.delete(topicId);
    this.#topicIds.delete(nameKey(topic.namespace, topic.name));
    change.topicsCreated.delete(topicId);
    change.topicsDeleted.push(topic);
  }

  /** Moves a partition in the indexes by node (M6) and returns its new state, checked. */
  #index(before: PartitionState | undefined, after: PartitionState): PartitionState {
    const fault = partitionFault(after, this.#topics.get(after.topicId)?.config.minIsr ?? 1);
    invariant(fault === undefined, fault ?? '', { state: after });
    const key = keyOf(after);
    for (const replica of before?.replicas ?? []) {
      if (!after.replicas.includes(replica)) this.#replicasOn.get(replica)?.delete(key);
    }
    for (const replica of after.replicas) entriesOf(this.#replicasOn, replica).set(key, after);
    const oldLeader = before?.leader ?? null;
    if (oldLeader !== null && oldLeader !== after.leader) this.#ledBy.get(oldLeader)?.delete(key);
    if (after.leader !== null) entriesOf(this.#ledBy, after.leader).set(key, after);
    if (before !== undefined) this.#countPreferred(before, -1);
    this.#countPreferred(after, 1);
    return after;
  }

  #countPreferred(partition: PartitionState, by: 1 | -1): void {
    const [preferred] = partition.replicas;
    if (preferred !== undefined) this.#preferredCounts.set(preferred, this.preferredCount(preferred) + by);
  }
}

const asCreated = { elr: [], lastKnownElr: [], lossy: [], refilling: [], recoveredEpoch: null } as const;

function entriesOf(index: PartitionsByNode, id: NodeId): Map<string, PartitionState> {
  const found = index.get(id);
  if (found !== undefined) return found;
  const made = new Map<string, PartitionState>();
  index.set(id, made);
  return made;
}
