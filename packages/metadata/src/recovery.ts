/** Partitions of which nobody is left who is known to be complete (D17b). */
import type { MetadataImage } from './image.ts';
import { failed } from './metadata-error.ts';
import type { DecisionFor, RecoverPartitionRequest } from './requests.ts';

export function decideRecoverPartition(
  image: MetadataImage,
  request: RecoverPartitionRequest,
): DecisionFor<RecoverPartitionRequest> {
  const { topicId, partition } = request;
  const topic = image.topic(topicId);
  if (topic === undefined) {
    return { records: [], response: failed('UNKNOWN_TOPIC', 'the topic is deleted or was never created', { topicId }) };
  }
  const before = topic.partitions[partition];
  if (before === undefined) {
    const message = `topic ${topic.name} has no partition ${partition}`;
    return { records: [], response: failed('UNKNOWN_PARTITION', message, { topicId, partition }) };
  }
  const { leader } = before;
  return { records: [], response: { ok: true, value: { leader, mayHaveLost: false, missing: [] } } };
}
