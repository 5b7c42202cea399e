import type { TopicState } from '@sluice/metadata';
import type { Partially, TopicMetadata } from '@sluice/wire';

/** A topic as clients see it. */
export const topicMessage = (topic: TopicState): Partially<TopicMetadata> => ({
  topicId: topic.topicId,
  name: topic.name,
  config: Object.fromEntries(Object.entries(topic.config).map(([key, value]) => [key, String(value)])),
  partitions: topic.partitions.map(({ partition, leader, leaderEpoch, replicas, isr, elr, partitionEpoch }) => ({
    partition,
    leader: leader ?? 0,
    leaderEpoch,
    replicas,
    isr,
    elr,
    partitionEpoch,
  })),
});
