/**
 * One trim: asks the leader of each partition, again as leaders change, until all are done or the time is up. That is safe:
 * what an earlier attempt did makes the next one answer the same.
 */
import { SluiceError, toSluiceError } from '@sluice/base';
import { decodeError, methods } from '@sluice/wire';
import type { TopicMetadata } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import type { Deadline } from './deadline.ts';
import { type Metadata, unknownTopic } from './metadata.ts';
import type { NodeCalls } from './node-calls.ts';
import type { ClientPorts } from './ports.ts';
import { unknownPartition } from './producer-topic.ts';
import { pause } from './waiting.ts';

export interface PartitionTrimRequest {
  readonly partition: number;
  /** First offset to keep, at most the committed end, which `end` names. */
  readonly before: number | 'end';
}

/** Of one partition: where it starts now, or why that is not known. */
export type TrimOutcome =
  | { readonly partition: number; readonly logStart: number; readonly error?: undefined }
  | { readonly partition: number; readonly error: SluiceError };

export interface TrimmingPorts {
  readonly ports: ClientPorts;
  readonly metadata: Metadata;
  readonly calls: NodeCalls;
}

interface Trim {
  readonly partition: number;
  readonly before: number;
}

export function checkTrims(trims: readonly PartitionTrimRequest[]): void {
  for (const [at, { partition, before }] of trims.entries()) {
    if (before !== 'end' && !(Number.isSafeInteger(before) && before >= 0)) {
      throw new SluiceError('INVALID_REQUEST', {
        message: `${String(before)} is no offset to trim before; it must be an integer from 0 or end.`,
      });
    }
    if (trims.findIndex((each) => each.partition === partition) !== at) {
      throw new SluiceError('INVALID_REQUEST', { message: `Partition ${partition} is to be trimmed twice.` });
    }
  }
}

export class Trimming {
  readonly #context: TrimmingPorts;
  readonly #deadline: Deadline;
  /** As it was when the trim began: one of the same name that comes later is left alone. */
  readonly #topic: TopicMetadata;
  readonly #outcomes = new Map<number, TrimOutcome>();

  constructor(context: TrimmingPorts, topic: TopicMetadata, deadline: Deadline) {
    this.#context = context;
    this.#topic = topic;
    this.#deadline = deadline;
  }

  /** In the order of `trims`. */
  async run(trims: readonly Trim[]): Promise<readonly TrimOutcome[]> {
    const { ports, metadata } = this.#context;
    const { name, partitions } = this.#topic;
    const missing = trims.find(({ partition }) => partitions[partition] === undefined);
    if (missing !== undefined) throw unknownPartition(name, missing.partition, partitions.length);
    const backoff = new Backoff(ports.random, 20, 500);
    for (let left = trims; ; ) {
      await this.#attempt(left);
      left = left.filter(({ partition }) => this.#isOpen(partition));
      if (left.length === 0 || this.#deadline.leftMs <= 0) break;
      metadata.refresh(name);
      await pause(ports.clock, Math.min(backoff.nextMs(), this.#deadline.leftMs), this.#deadline.signal);
    }
    return trims.map(
      ({ partition }) => this.#outcomes.get(partition) ?? { partition, error: new SluiceError('TIMEOUT') },
    );
  }

  #isOpen(partition: number): boolean {
    const error = this.#outcomes.get(partition)?.error;
    if (error === undefined) return false;
    return error.retryable || error.code === 'TIMEOUT' || (!error.definite && error.code !== 'INTERNAL');
  }

  async #attempt(trims: readonly Trim[]): Promise<void> {
    const { metadata } = this.#context;
    const known = metadata.view.topicNamed(this.#topic.name);
    const byLeader = new Map<number, Trim[]>();
    for (const trim of trims) {
      const leader = known?.topicId === this.#topic.topicId ? (known.partitions[trim.partition]?.leader ?? 0) : 0;
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), trim]);
    }
    const isGone = known !== undefined && known.topicId !== this.#topic.topicId;
    if (isGone) return this.#failAll(trims, unknownTopic(this.#topic.name));
    await Promise.all([...byLeader].map(([leader, led]) => this.#ask(leader, led)));
  }

  async #ask(leader: number, trims: readonly Trim[]): Promise<void> {
    const { metadata, calls } = this.#context;
    const address = metadata.view.addressOf(leader);
    if (address === undefined) return this.#failAll(trims, new SluiceError('LEADER_NOT_AVAILABLE'));
    const { topicId } = this.#topic;
    const partitions = trims.map(({ partition, before }) => ({ partition: { topicId, partition }, before }));
    try {
      const answer = await calls.at(address, methods.broker.trimPartitions, { partitions }, this.#deadline.limits);
      for (const [at, { partition }] of trims.entries()) {
        const trimmed = answer.partitions[at];
        if (trimmed === undefined) this.#fail(partition, new SluiceError('INTERNAL'));
        else if (trimmed.error !== null) this.#fail(partition, decodeError(trimmed.error));
        else this.#outcomes.set(partition, { partition, logStart: trimmed.logStart });
      }
    } catch (thrown) {
      const error = toSluiceError(thrown);
      if (error.code === 'CANCELLED') throw error;
      this.#failAll(trims, error);
    }
  }

  #failAll(trims: readonly Trim[], error: SluiceError): void {
    for (const { partition } of trims) this.#fail(partition, error);
  }

  /** What may have happened in an earlier attempt may have happened. */
  #fail(partition: number, error: SluiceError): void {
    const before = this.#outcomes.get(partition)?.error;
    const definite = error.definite && before?.definite !== false;
    const { code, message, details, retry, cause } = error;
    const told =
      definite === error.definite ? error : new SluiceError(code, { message, details, retry, cause, definite });
    this.#outcomes.set(partition, { partition, error: told });
  }
}
