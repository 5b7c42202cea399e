/**
 * What lies between two images of one log, for listeners of a node that was given the later one instead of the entries
 * between them. What was made and is gone again does not show; a topic deleted and created anew shows as both, since
 * each life of a name has an id of its own.
 */
import type { NodeId, TopicId } from '@sluice/base';
import type { ImageChange, NodeState, PartitionKey, TopicState } from './state.ts';

/** What is compared of a `MetadataImage`. */
interface Entities {
  readonly nodes: ReadonlyMap<NodeId, NodeState>;
  readonly topics: ReadonlyMap<TopicId, TopicState>;
}

/** The two must be of one log: then equal epochs (M4) and state indexes (M5) mean equal states. */
export function imageDifference(before: Entities, after: Entities): ImageChange {
  const nodes: NodeId[] = [];
  const topicsCreated: TopicId[] = [];
  const topicsDeleted: TopicState[] = [];
  const partitions: PartitionKey[] = [];
  for (const [id, { stateIndex }] of after.nodes) {
    if (before.nodes.get(id)?.stateIndex !== stateIndex) nodes.push(id);
  }
  for (const topic of before.topics.values()) {
    if (!after.topics.has(topic.topicId)) topicsDeleted.push(topic);
  }
  for (const { topicId, partitions: present } of after.topics.values()) {
    const known = before.topics.get(topicId);
    if (known === undefined) topicsCreated.push(topicId);
    for (const { partition, partitionEpoch } of present) {
      if (known?.partitions[partition]?.partitionEpoch !== partitionEpoch) partitions.push({ topicId, partition });
    }
  }
  return { nodes, topicsCreated, topicsDeleted, partitions };
}
