/**
 * What a leader says that does not know that it was replaced. A topic of its own, one record of it committed and read; then
 * this very node is sent an append, on streams that were opened before. Nothing of that may be acked, served or kept.
 */
import { randomUUID } from 'node:crypto';
import { toSluiceError } from '@sluice/base';
import type { SluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { FetchedRun, PartitionOffsets } from '@sluice/wire';
import type { NodeAddresses, TestCluster } from './cluster-inquiry.ts';
import { batchOf } from './raw-batch.ts';
import { RawClient } from './raw-client.ts';
import type { RawFetch, RawProduce } from './raw-client.ts';

const partitions = 6;
const subscription = 1;
const lateRequest = 2;
const callTimeoutMs = 5000;
/** The node answers at the latest when its own patience with an append is over. */
const answerTimeoutMs = 40_000;

export class DeposedLeader implements Disposable {
  readonly topic: string;
  readonly partition: number;
  readonly #topicId: string;
  readonly #address: string;
  readonly #raw = new RawClient();
  readonly #produce: RawProduce;
  readonly #fetch: RawFetch;
  #served = 0;

  private constructor(address: string, topic: { readonly name: string; readonly id: string }, partition: number) {
    this.topic = topic.name;
    this.partition = partition;
    this.#topicId = topic.id;
    this.#address = address;
    this.#produce = this.#raw.produce(address);
    this.#fetch = this.#raw.fetch(address);
  }

  /** `node` leads still: one record is committed, and a subscription has read it. */
  static async of(cluster: TestCluster, node: NodeAddresses): Promise<DeposedLeader> {
    const name = `deposed-${randomUUID()}`;
    const topic = await cluster.client.admin.createTopic({ name, partitions, replication: 3 });
    const led = topic.partitions.find(({ leader }) => leader === node.id);
    if (led === undefined) throw new Error(`node ${node.id} leads no partition of ${name}`);
    const deposed = new DeposedLeader(node.client, topic, led.partition);
    try {
      await deposed.#begin();
    } catch (error) {
      deposed[Symbol.dispose]();
      throw error;
    }
    return deposed;
  }

  /** A record that only this node can ever have. */
  append(value: string): void {
    const batch = batchOf([value]);
    const { partition } = this;
    this.#produce.send({ batches: [{ requestId: lateRequest, topicId: this.#topicId, partition, batch }] });
  }

  /** What became of the append; throws when it was acked. */
  async refusal(): Promise<SluiceError> {
    const answer = await this.#produce.result(lateRequest, answerTimeoutMs).catch(toSluiceError);
    if (typeof answer === 'number') throw new Error(`a deposed leader acked an append at offset ${answer}`);
    return answer;
  }

  /** As the node itself sees its partition. */
  async bounds(): Promise<PartitionOffsets> {
    const request = { partitions: [{ topicId: this.#topicId, partition: this.partition }] };
    const options = { timeoutMs: callTimeoutMs };
    const answer = await this.#raw.rpc.unary(methods.broker.listOffsets, this.#address, request, options);
    const [bounds] = answer.partitions;
    if (bounds === undefined) throw new Error(`${this.#address} says nothing of ${this.topic}`);
    return bounds;
  }

  /** What the subscription was served after the first record. */
  get servedSince(): readonly FetchedRun[] {
    return this.#fetch.runs.slice(this.#served);
  }

  [Symbol.dispose](): void {
    this.#raw[Symbol.dispose]();
  }

  async #begin(): Promise<void> {
    const { partition } = this;
    const topicId = this.#topicId;
    await this.#produce.append(topicId, partition, batchOf(['committed']));
    this.#fetch.send({ open: { clientId: 'raw' }, creditBytes: 100_000 });
    this.#fetch.send({ start: [{ subscription, topicId, partition, fromOffset: 0, leaderEpoch: -1 }] });
    await this.#fetch.run(subscription);
    this.#served = this.#fetch.runs.length;
  }
}
