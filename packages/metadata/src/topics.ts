/** Requests about topics: creation and deletion. */
import { leaderEpoch, partitionEpoch, partitionIndex } from '@sluice/base';
import type { NodeId } from '@sluice/base';
import type { MetadataImage } from './image.ts';
import { failed } from './metadata-error.ts';
import type { Failed } from './metadata-error.ts';
import { placeReplicas } from './placement.ts';
import type { MetadataRecord, PartitionCreatedRecord } from './records.ts';
import type { CreateTopicRequest, DecisionFor, DeleteTopicRequest } from './requests.ts';
import { isElectable } from './standing.ts';
import { resolveTopicConfig } from './topic-config.ts';

/** Partitions of one topic. */
export const topicPartitionsMax = 10_000;
/** Partitions of a cluster: every node keeps the metadata of all of them in memory. */
export const clusterPartitionsMax = 100_000;
const replicationDefault = 3;
const namePattern = /^[a-zA-Z0-9._-]{1,249}$/;

export function decideCreateTopic(image: MetadataImage, request: CreateTopicRequest): DecisionFor<CreateTopicRequest> {
  const { topicId, namespace, name, partitions } = request;
  const replication = request.replication ?? Math.max(1, Math.min(replicationDefault, image.nodes.size));
  const refused = checkTopic(image, request, replication);
  if (refused !== undefined) return { records: [], response: refused };
  const resolved = resolveTopicConfig(request.config, replication);
  if (!resolved.ok) return { records: [], response: resolved };
  const up = [...image.nodes.values()].filter(isElectable);
  if (up.length < replication) {
    const message = `replication ${replication} needs as many nodes, but ${up.length} of ${image.nodes.size} are up`;
    const details = { replication, up: up.length, registered: image.nodes.size };
    return { records: [], response: failed('NOT_ENOUGH_NODES', message, details) };
  }
  const nodes = up.map(({ nodeId, rack }) => ({
    nodeId,
    rack,
    replicas: image.replicaCount(nodeId),
    preferred: image.preferredCount(nodeId),
  }));
  const records: MetadataRecord[] = [
    { type: 'topicCreated', version: 3, topicId, namespace, name, config: resolved.config },
    ...placeReplicas(nodes, partitions, replication).map((replicas, at) => firstState(request, at, replicas)),
  ];
  return { records, response: { ok: true, value: { topicId } } };
}

function firstState(
  { topicId }: CreateTopicRequest,
  partition: number,
  replicas: readonly NodeId[],
): PartitionCreatedRecord {
  return {
    type: 'partitionCreated',
    version: 1,
    topicId,
    partition: partitionIndex(partition),
    replicas,
    isr: replicas,
    leader: replicas[0] ?? null,
    leaderEpoch: leaderEpoch(0),
    partitionEpoch: partitionEpoch(0),
  };
}

function checkTopic(image: MetadataImage, request: CreateTopicRequest, replication: number): Failed | undefined {
  const { topicId, namespace, name, partitions } = request;
  for (const [what, text] of Object.entries({ namespace, 'topic name': name })) {
    if (!namePattern.test(text) || text === '.' || text === '..') {
      const message = `the ${what} must have 1 to 249 characters from a-z A-Z 0-9 . _ - and be neither "." nor ".."`;
      return failed('INVALID_TOPIC', message, { [what === 'namespace' ? what : 'topic']: text.slice(0, 250) });
    }
  }
  if (image.topicNamed(namespace, name) !== undefined) {
    return failed('TOPIC_EXISTS', `topic ${name} exists; use another name or delete it`, { topic: name });
  }
  if (image.topic(topicId) !== undefined) {
    return failed('INVALID_REQUEST', 'the topic id is in use; draw another', { topicId });
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > topicPartitionsMax) {
    const message = `partitions is ${partitions}; it must be an integer from 1 to ${topicPartitionsMax}`;
    return failed('INVALID_TOPIC', message, { partitions });
  }
  if (!Number.isInteger(replication) || replication < 1) {
    return failed('INVALID_TOPIC', `replication is ${replication}; it must be an integer from 1`, { replication });
  }
  if (image.partitionCount + partitions > clusterPartitionsMax) {
    const message = `the cluster has ${image.partitionCount} partitions and takes at most ${clusterPartitionsMax}`;
    return failed('LIMIT_EXCEEDED', message, { partitions, present: image.partitionCount, max: clusterPartitionsMax });
  }
  return undefined;
}

export function decideDeleteTopic(image: MetadataImage, request: DeleteTopicRequest): DecisionFor<DeleteTopicRequest> {
  const { namespace, name } = request;
  const topic = image.topicNamed(namespace, name);
  if (topic === undefined) {
    const message = `there is no topic ${name.slice(0, 250)}`;
    return { records: [], response: failed('UNKNOWN_TOPIC', message, { topic: name.slice(0, 250) }) };
  }
  const { topicId } = topic;
  return { records: [{ type: 'topicDeleted', version: 1, topicId }], response: { ok: true, value: { topicId } } };
}
