import type { PartitionIndex, TopicId } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import { failed, type Failed } from './metadata-error.ts';
import type { PartitionState } from './state.ts';

/** The partition that a request names. */
export function locatedPartition(
  image: MetadataImage,
  { topicId, partition }: { readonly topicId: TopicId; readonly partition: PartitionIndex },
): { readonly ok: true; readonly value: PartitionState } | Failed {
  const topic = image.topic(topicId);
  if (topic === undefined) return failed('UNKNOWN_TOPIC', 'the topic is deleted or was never created', { topicId });
  const value = topic.partitions[partition];
  if (value !== undefined) return { ok: true, value };
  return failed('UNKNOWN_PARTITION', `topic ${topic.name} has no partition ${partition}`, { topicId, partition });
}
