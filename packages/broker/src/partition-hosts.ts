/**
 * All replicas of this node, by log id. Follows the metadata feed: a replica is opened when metadata places it here,
 * told of every change of its partition or of a node that holds it, and deleted with its topic, never otherwise.
 * Owned by `BrokerNode`.
 *
 * H4. Nothing is assigned before this process is registered and has applied the metadata up to its registration.
 * H5. A log is deleted only because its topic was: doubt about metadata never deletes data. Of a deletion that came
 *     while this node was away a snapshot tells nothing but that the topic is not there. That is enough once metadata is
 *     as new as the registration of this process: all that an earlier life had placed here came before it.
 */
import { isIdentity, isSmallPosition, LogKind, logKey, partitionIndex, SluiceError, topicId } from '@sluice/base';
import type { BrokerEpoch, Clock, LogId, LogIndex, NodeId, TopicId } from '@sluice/base';
import type { ImageChange, MetadataFeed, PartitionState } from '@sluice/metadata';
import type { AssignedEvent } from '@sluice/partition';
import type { NodeLog } from '@sluice/storage';
import { LogLoads } from './log-loads.ts';
import type { PartitionHost } from './partition-host.ts';

export interface PartitionHostsOptions {
  readonly self: NodeId;
  readonly feed: MetadataFeed;
  readonly nodeLog: NodeLog;
  readonly clock: Clock;
  /** Granted to this process; undefined before. */
  readonly epoch: () => BrokerEpoch | undefined;
  readonly open: (id: LogId, topicName: string) => PartitionHost;
  readonly onRemoved: (host: PartitionHost) => void;
}

export class PartitionHosts {
  readonly #options: PartitionHostsOptions;
  readonly #hosts = new Map<string, PartitionHost>();
  readonly #loads = new LogLoads();
  /** The epoch under which everything was assigned last. */
  #assignedEpoch: BrokerEpoch | undefined;

  constructor(options: PartitionHostsOptions) {
    this.#options = options;
  }

  [Symbol.iterator](): Iterator<PartitionHost> {
    return this.#hosts.values();
  }

  find(id: LogId): PartitionHost | undefined {
    return this.#hosts.get(logKey(id));
  }

  /** The host that leads the partition, or why there is none here. */
  leading(id: LogId): PartitionHost | SluiceError {
    const host = this.find(id);
    if (host?.replica?.role === 'leader') return host;
    return this.#absence(id, host);
  }

  /** The same for a partition that a client names: any text, any number. */
  leadingNamed(topic: string, partition: number): PartitionHost | SluiceError {
    if (!isIdentity(topic)) {
      return new SluiceError('INVALID_REQUEST', { message: 'A topic id is 32 lower-case hex digits.' });
    }
    if (!isSmallPosition(partition)) {
      return new SluiceError('UNKNOWN_PARTITION', { details: { topicId: topic, partition } });
    }
    return this.leading({ topicId: topicId(topic), partition: partitionIndex(partition), kind: LogKind.data });
  }

  onApplied(index: LogIndex, change: ImageChange): void {
    for (const topic of change.topicsDeleted) this.#deleteTopic(topic.topicId);
    const epoch = this.#options.epoch();
    if (epoch === undefined || index < epoch) return;
    if (this.#assignedEpoch !== epoch) return this.assignAll();
    const { image } = this.#options.feed;
    const touched = new Map<string, PartitionState>();
    for (const key of change.partitions) {
      const state = image.partition(key.topicId, key.partition);
      if (state?.replicas.includes(this.#options.self)) touched.set(logKey(logIdOf(state)), state);
    }
    // Another node's epoch or phase decides whether it may enter the ISR (D9).
    if (change.nodes.length > 0) {
      for (const state of image.replicasOn(this.#options.self)) {
        if (change.nodes.some((node) => state.replicas.includes(node))) touched.set(logKey(logIdOf(state)), state);
      }
    }
    for (const state of touched.values()) this.#assign(state, epoch);
  }

  /** After registration: everything that metadata places here, once metadata is as new as the registration (H4). */
  assignAll(): void {
    const epoch = this.#options.epoch();
    const { image } = this.#options.feed;
    if (epoch === undefined || image.appliedIndex < epoch) return;
    if (this.#assignedEpoch !== epoch) this.#deleteOrphans();
    this.#assignedEpoch = epoch;
    for (const state of image.replicasOn(this.#options.self)) this.#assign(state, epoch);
  }

  #assign(state: PartitionState, epoch: BrokerEpoch): void {
    const { self, feed, clock, open } = this.#options;
    const id = logIdOf(state);
    const key = logKey(id);
    const topic = feed.image.topic(state.topicId);
    if (topic === undefined) return;
    let host = this.#hosts.get(key);
    if (host === undefined) {
      host = open(id, topic.name);
      this.#hosts.set(key, host);
      this.#loads.add(host);
    }
    const event: AssignedEvent = {
      kind: 'assigned',
      leader: state.leader ?? undefined,
      leaderEpoch: state.leaderEpoch,
      partitionEpoch: state.partitionEpoch,
      replicas: state.replicas.map((nodeId) => {
        const node = feed.image.node(nodeId);
        return { nodeId, brokerEpoch: node?.brokerEpoch, eligible: node?.state === 'up' && !node.stalled };
      }),
      isr: state.isr,
      elr: state.elr,
      recoveredEpoch: state.recoveredEpoch ?? undefined,
      minIsr: topic.config.minIsr,
      durability: topic.config.durability,
      selfBrokerEpoch: epoch,
      nowMs: clock.monotonicMs(),
    };
    host.assigned(event);
    if (host.mayHeal && state.isr.includes(self) && !state.lossy.includes(self)) host.log.healed();
  }

  #deleteTopic(topic: TopicId): void {
    for (const id of this.#options.nodeLog.logIds()) {
      if (id.topicId !== topic) continue;
      const host = this.find(id);
      if (host === undefined) {
        this.#options.nodeLog.log(id).delete();
        continue;
      }
      this.#hosts.delete(logKey(id));
      host.delete();
      this.#options.onRemoved(host);
    }
  }

  #deleteOrphans(): void {
    const { nodeLog, feed } = this.#options;
    const orphans = nodeLog.logIds().filter((id) => feed.image.topic(id.topicId) === undefined);
    for (const topic of new Set(orphans.map((id) => id.topicId))) this.#deleteTopic(topic);
  }

  #absence(id: LogId, host: PartitionHost | undefined): SluiceError {
    const { image } = this.#options.feed;
    const topic = image.topic(id.topicId);
    if (topic === undefined) {
      // This node's metadata may lag behind what the caller saw elsewhere.
      return new SluiceError('UNKNOWN_TOPIC', { retry: 'refresh-metadata', details: { topicId: id.topicId } });
    }
    const state = topic.partitions[id.partition];
    if (state === undefined) {
      return new SluiceError('UNKNOWN_PARTITION', { details: { topic: topic.name, partition: id.partition } });
    }
    if (state.leader === null) {
      return new SluiceError('LEADER_NOT_AVAILABLE', { details: { topic: topic.name, partition: id.partition } });
    }
    if (host !== undefined) return host.error('NOT_LEADER');
    const { leader, leaderEpoch } = state;
    return new SluiceError('NOT_LEADER', {
      details: { topic: topic.name, partition: id.partition, leader, leaderEpoch },
    });
  }
}

const logIdOf = (state: PartitionState): LogId => ({
  topicId: state.topicId,
  partition: state.partition,
  kind: LogKind.data,
});
