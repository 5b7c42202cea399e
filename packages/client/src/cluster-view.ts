/**
 * What the client knows of the cluster: the newest that any node said. Owned by `Metadata`; no I/O.
 *
 * V1 A topic id that was deleted never comes back: ids are not reused, so whoever still shows it lags.
 * V2 A partition's epoch never goes back, and with it its leader epoch: an update of a node that lags changes nothing.
 * V3 A topic object changes exactly when something in it changed: comparing references is enough.
 */
import type { MetadataUpdate, NodeEndpoint, PartitionMetadata, TopicMetadata } from '@sluice/wire';

export interface ViewChange {
  readonly topics: readonly TopicMetadata[];
  readonly deleted: readonly TopicMetadata[];
  readonly nodesChanged: boolean;
}

interface KnownTopic {
  readonly topic: TopicMetadata;
  /** Metadata index of the newest update that showed it. */
  readonly index: number;
}

/** More deletions than anyone remembers would have to happen while one node lags. */
const deletedIdsMax = 10_000;

export class ClusterView {
  readonly #byName = new Map<string, KnownTopic>();
  readonly #deletedIds = new Set<string>();
  readonly #unknownNames = new Set<string>();
  #nodes = new Map<number, NodeEndpoint>();
  #nodesIndex = -1;
  #clusterId = '';

  get clusterId(): string {
    return this.#clusterId;
  }

  topicNamed(name: string): TopicMetadata | undefined {
    return this.#byName.get(name)?.topic;
  }

  /** The newest word on this name is that there is no such topic. */
  isUnknown(name: string): boolean {
    return this.#unknownNames.has(name);
  }

  addressOf(node: number): string | undefined {
    const address = this.#nodes.get(node)?.address;
    return address === '' ? undefined : address;
  }

  /** Of all nodes that have one, those that are up first. */
  addresses(): readonly string[] {
    const known = [...this.#nodes.values()].filter((node) => node.address !== '');
    return [...known.filter((node) => node.up), ...known.filter((node) => !node.up)].map((node) => node.address);
  }

  apply(update: MetadataUpdate): ViewChange {
    if (this.#clusterId === '') this.#clusterId = update.clusterId;
    const nodesChanged = this.#applyNodes(update);
    const topics: TopicMetadata[] = [];
    const deleted: TopicMetadata[] = [];
    for (const id of update.deletedTopicIds) this.#delete(id, deleted);
    for (const topic of update.topics) this.#applyTopic(topic, update.metadataIndex, { topics, deleted });
    for (const name of update.unknownTopicNames) this.#applyUnknown(name, update.metadataIndex, deleted);
    return { topics, deleted, nodesChanged };
  }

  #applyNodes(update: MetadataUpdate): boolean {
    if (update.nodes.length === 0 || update.metadataIndex < this.#nodesIndex) return false;
    this.#nodesIndex = update.metadataIndex;
    this.#nodes = new Map(update.nodes.map((node) => [node.nodeId, node]));
    return true;
  }

  #applyTopic(
    topic: TopicMetadata,
    index: number,
    changed: { readonly topics: TopicMetadata[]; readonly deleted: TopicMetadata[] },
  ): void {
    if (this.#deletedIds.has(topic.topicId)) return;
    const known = this.#byName.get(topic.name);
    if (known !== undefined && known.topic.topicId !== topic.topicId) {
      if (index < known.index) return;
      this.#forget(known.topic, changed.deleted);
    }
    const same = known?.topic.topicId === topic.topicId ? known : undefined;
    const newest = same === undefined ? topic : merged(same, topic, index);
    this.#unknownNames.delete(topic.name);
    this.#byName.set(topic.name, { topic: newest, index: Math.max(index, same?.index ?? 0) });
    if (newest !== same?.topic) changed.topics.push(newest);
  }

  /** Nobody watches the name any more. */
  forgetUnknown(name: string): void {
    this.#unknownNames.delete(name);
  }

  #applyUnknown(name: string, index: number, deleted: TopicMetadata[]): void {
    const known = this.#byName.get(name);
    if (known !== undefined && index < known.index) return;
    if (known !== undefined) this.#forget(known.topic, deleted);
    this.#unknownNames.add(name);
  }

  #delete(id: string, deleted: TopicMetadata[]): void {
    for (const { topic } of this.#byName.values()) {
      if (topic.topicId !== id) continue;
      this.#forget(topic, deleted);
      this.#unknownNames.add(topic.name);
      return;
    }
    this.#remember(id);
  }

  #forget(topic: TopicMetadata, deleted: TopicMetadata[]): void {
    this.#byName.delete(topic.name);
    this.#remember(topic.topicId);
    deleted.push(topic);
  }

  #remember(id: string): void {
    this.#deletedIds.add(id);
    if (this.#deletedIds.size <= deletedIdsMax) return;
    for (const oldest of this.#deletedIds) {
      this.#deletedIds.delete(oldest);
      return;
    }
  }
}

/** The newer of each partition; the known object itself when nothing is newer. */
function merged(known: KnownTopic, update: TopicMetadata, index: number): TopicMetadata {
  let changed = index > known.index && !sameConfig(known.topic.config, update.config);
  const count = Math.max(known.topic.partitions.length, update.partitions.length);
  const partitions: PartitionMetadata[] = [];
  for (let at = 0; at < count; at += 1) {
    const older = known.topic.partitions[at];
    const newer = update.partitions[at];
    const chosen = newer !== undefined && newer.partitionEpoch > (older?.partitionEpoch ?? -1) ? newer : older;
    if (chosen === undefined) continue;
    changed ||= chosen !== older;
    partitions.push(chosen);
  }
  if (!changed) return known.topic;
  return { ...(index >= known.index ? update : known.topic), partitions };
}

function sameConfig(one: Readonly<Record<string, string>>, other: Readonly<Record<string, string>>): boolean {
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => one[key] === other[key]);
}
