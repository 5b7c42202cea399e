/**
 * Reads one partition from wherever its leader is, in order, without gaps and without repetitions. Owns where it stands;
 * `Consumer` owns the links and the queue of what was read.
 *
 * E1 `#wanted` is the offset after everything that was read: a new subscription begins there, wherever it is made.
 * E2 What the application gets begins at or after `#skipBelow` and follows what it got before; its checksum is right.
 * E3 There is at most one subscription, or one timer, or one question after the start under way; after `stop` none.
 */
import type { Timer } from '@sluice/base';
import { SluiceError, toSluiceError } from '@sluice/base';
import { batchError, batchesIn, type BatchHeader, offsetAfterBatch } from '@sluice/record';
import type { FetchedRun, PartitionMetadata, PartitionOffsets, TopicMetadata } from '@sluice/wire';
import { decodeError, messageBytes, methods } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import type { Assignment, StartPosition } from './consumer-options.ts';
import { isRefusal, withDetails } from './delivery-errors.ts';
import type { FetchLink, Subscriber } from './fetch-link.ts';
import { FetchedBatch } from './fetched-batch.ts';
import { type Metadata, unknownTopic } from './metadata.ts';
import type { NodeCalls } from './node-calls.ts';
import type { ClientPorts } from './ports.ts';
import { unknownPartition } from './producer-topic.ts';
import type { OnStatus } from './status.ts';

/** Something read: a batch for the application, or only a new position (a control batch). */
export interface ReadItem {
  readonly reader: PartitionReader;
  readonly batch: FetchedBatch | undefined;
  readonly nextOffset: number;
  /** To be released when the application has it. */
  readonly bytes: number;
  readonly link: FetchLink;
}

export interface ReaderPorts {
  readonly ports: ClientPorts;
  readonly metadata: Metadata;
  readonly calls: NodeCalls;
  readonly onStatus: OnStatus;
  /** Undefined when the node has no address. */
  link(node: number): FetchLink | undefined;
  onRead(item: ReadItem): void;
  /** The reader cannot go on. */
  onFailed(error: SluiceError): void;
}

const boundsTimeoutMs = 5_000;
/** A batch that arrives damaged is fetched again so often before it is reported. */
const damagedReadsMax = 3;

export class PartitionReader implements Subscriber {
  readonly topic: string;
  readonly partition: number;
  readonly #from: StartPosition;
  readonly #ports: ReaderPorts;
  readonly #backoff: Backoff;
  #running = false;
  /** Tells answers to the present start from those to earlier ones. */
  #run = 0;
  #topicId: string | undefined;
  #wanted: number | undefined;
  #firstWanted = 0;
  #skipBelow = 0;
  /** Until the first record of this time or later is found. */
  #sinceMs: number | undefined;
  #handedOut = false;
  #position: number | undefined;
  #subscribed: { readonly link: FetchLink; readonly number: number; readonly leader: number } | undefined;
  #locating = false;
  #leaderEpoch = -1;
  #retry: Timer | undefined;
  #damagedReads = 0;

  constructor(assignment: Assignment, ports: ReaderPorts) {
    this.topic = assignment.topic;
    this.partition = assignment.partition;
    this.#from = assignment.from ?? 'start';
    this.#sinceMs = sinceMsOf(this.#from);
    this.#ports = ports;
    this.#backoff = new Backoff(ports.ports.random, 40, 1_000);
  }

  get position(): number | undefined {
    return this.#position;
  }

  /** Node that leads the partition, as far as is known; 0 when none does. */
  get leader(): number {
    return this.#metadata()?.leader ?? 0;
  }

  start(): void {
    this.#running = true;
    this.#run += 1;
    // What an earlier iteration read and did not hand out is read again.
    if (this.#wanted !== undefined) this.#wanted = this.#handedOut ? this.#position : this.#firstWanted;
    if (!this.#handedOut) this.#sinceMs = sinceMsOf(this.#from);
    const run = this.#run;
    this.#ports.metadata.topic(this.topic).then(
      (topic) => {
        if (this.#run === run) this.#onTopicFound(topic);
      },
      (thrown: unknown) => {
        if (this.#run === run) this.#fail(toSluiceError(thrown));
      },
    );
  }

  stop(): void {
    this.#running = false;
    this.#run += 1;
    this.#locating = false;
    this.#unsubscribe();
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  onHandedOut(item: ReadItem): void {
    this.#handedOut = true;
    this.#position = Math.max(item.nextOffset, this.#position ?? 0);
  }

  onMetadata(topic: TopicMetadata): void {
    if (!this.#running || topic.topicId !== this.#topicId) return;
    const partition = topic.partitions[this.partition];
    if (partition === undefined || partition.leaderEpoch <= this.#leaderEpoch) return;
    const subscribed = this.#subscribed;
    if (subscribed !== undefined) {
      if (subscribed.leader === partition.leader) return;
      const { leader } = partition;
      this.#ports.onStatus({ kind: 'leader-changed', topic: this.topic, partition: this.partition, leader });
    }
    this.#unsubscribe();
    this.#go();
  }

  /** A node has an address now, or another one. */
  onNodes(): void {
    if (this.#running && this.#retry !== undefined) this.#go();
  }

  onTopicDeleted(topic: TopicMetadata): void {
    if (this.#running && topic.topicId === this.#topicId) this.#fail(unknownTopic(this.topic));
  }

  onRun(run: FetchedRun, link: FetchLink): void {
    let unread = messageBytes(run.batches);
    for (const bytes of run.batches) {
      for (const found of batchesIn(bytes)) {
        if (!found.ok) {
          link.release(unread);
          return this.#onDamaged(batchError(found.problem));
        }
        const { position, header } = found;
        unread -= header.batchBytes;
        this.#onBatch(bytes.subarray(position, position + header.batchBytes), header, { run, link });
      }
    }
    if (unread > 0) link.release(unread);
    if (run.batches.length > 0) this.#backoff.reset();
    // Past what compaction removed.
    if (run.nextOffset > (this.#wanted ?? 0)) this.#pass(run.nextOffset, 0, link);
  }

  onEnded(error: SluiceError): void {
    this.#subscribed = undefined;
    if (error.retryable && !isRefusal(error)) return this.#again(error);
    if (error.code === 'OFFSET_OUT_OF_RANGE' && this.#mayLocateAgain) {
      this.#wanted = undefined;
      return this.#again(error);
    }
    if (error.code === 'UNKNOWN_TOPIC' || error.definite) return this.#fail(error);
    // A server that stumbled over something else: reading again harms nobody.
    this.#again(error);
  }

  /** Retention may take the start away between asking where it is and reading there; nothing of it was promised. */
  get #mayLocateAgain(): boolean {
    return typeof this.#from !== 'number' && this.#wanted === this.#firstWanted && !this.#handedOut;
  }

  #metadata(): PartitionMetadata | undefined {
    const topic = this.#ports.metadata.view.topicNamed(this.topic);
    return topic?.topicId === this.#topicId ? topic?.partitions[this.partition] : undefined;
  }

  #onTopicFound(topic: TopicMetadata): void {
    if (this.#topicId !== undefined && this.#topicId !== topic.topicId) return this.#fail(unknownTopic(this.topic));
    this.#topicId = topic.topicId;
    if (topic.partitions[this.partition] === undefined) {
      return this.#fail(unknownPartition(this.topic, this.partition, topic.partitions.length));
    }
    this.#go();
  }

  /** One step towards a subscription (E3). Without a leader the next metadata takes the next step. */
  #go(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    const partition = this.#metadata();
    if (!this.#running || this.#subscribed !== undefined || this.#locating || partition === undefined) return;
    this.#leaderEpoch = partition.leaderEpoch;
    if (partition.leader === 0) return;
    if (typeof this.#from === 'number' && this.#wanted === undefined) this.#begin(this.#from, this.#from);
    if (this.#wanted === undefined) void this.#locate(partition);
    else this.#subscribe(partition, this.#wanted);
  }

  #begin(wanted: number, position: number): void {
    this.#wanted = wanted;
    this.#firstWanted = wanted;
    this.#skipBelow = position;
    this.#position = position;
  }

  #subscribe({ leader, leaderEpoch }: PartitionMetadata, fromOffset: number): void {
    const link = this.#ports.link(leader);
    if (link === undefined) return this.#again(noAddress(leader));
    const { topicId = '', partition } = { topicId: this.#topicId, partition: this.partition };
    const number = link.start(this, { topicId, partition, fromOffset, leaderEpoch });
    this.#subscribed = { link, number, leader };
  }

  /** Asks the leader where the partition begins and ends, once. */
  async #locate({ leader }: PartitionMetadata): Promise<void> {
    const run = this.#run;
    this.#locating = true;
    const bounds = await this.#bounds(leader);
    if (this.#run !== run) return;
    this.#locating = false;
    if (bounds instanceof SluiceError) {
      if (bounds.retryable || !bounds.definite) return this.#again(bounds);
      return this.#fail(bounds);
    }
    const [wanted, position] = startOf(this.#from, bounds);
    this.#begin(wanted, position);
    this.#go();
  }

  async #bounds(leader: number): Promise<PartitionOffsets | SluiceError> {
    const { metadata, calls } = this.#ports;
    const address = metadata.view.addressOf(leader);
    if (address === undefined) return noAddress(leader);
    const partitions = [{ topicId: this.#topicId, partition: this.partition }];
    const sinceMs = this.#sinceMs ?? 0;
    try {
      const limits = { timeoutMs: boundsTimeoutMs };
      const answer = await calls.at(address, methods.broker.listOffsets, { partitions, sinceMs }, limits);
      const bounds = answer.partitions[0];
      if (bounds === undefined) return new SluiceError('INTERNAL');
      return bounds.error === null ? bounds : decodeError(bounds.error);
    } catch (thrown) {
      return toSluiceError(thrown);
    }
  }

  #onBatch(
    bytes: Uint8Array,
    header: BatchHeader,
    { run, link }: { readonly run: FetchedRun; readonly link: FetchLink },
  ): void {
    const nextOffset = offsetAfterBatch(header);
    // Stored whole and sent whole: what lies before was asked for by nobody, or read before.
    if (nextOffset <= (this.#wanted ?? 0)) return link.release(bytes.byteLength);
    if (header.control || nextOffset <= this.#skipBelow) {
      return this.#pass(nextOffset, bytes.byteLength, link);
    }
    const { topic, partition } = this;
    const { highWatermark } = run;
    const { decompress } = this.#ports.ports.compression;
    const from = (baseOffset: number): FetchedBatch =>
      new FetchedBatch({ topic, partition, baseOffset, nextOffset, highWatermark }, bytes, decompress);
    let batch = from(Math.max(header.baseOffset, this.#skipBelow));
    if (this.#sinceMs !== undefined && header.recordCount > 0) {
      const first = firstSince(batch, this.#sinceMs);
      if (first === undefined) return this.#pass(nextOffset, bytes.byteLength, link);
      this.#sinceMs = undefined;
      this.#skipBelow = first;
      batch = from(first);
    }
    this.#wanted = nextOffset;
    this.#damagedReads = 0;
    this.#ports.onRead({ reader: this, batch, nextOffset, bytes: bytes.byteLength, link });
  }

  #pass(nextOffset: number, bytes: number, link: FetchLink): void {
    this.#wanted = nextOffset;
    this.#ports.onRead({ reader: this, batch: undefined, nextOffset, bytes, link });
  }

  #onDamaged(error: SluiceError): void {
    this.#unsubscribe();
    this.#damagedReads += 1;
    if (this.#damagedReads >= damagedReadsMax) return this.#fail(error);
    this.#again(error);
  }

  #unsubscribe(): void {
    this.#subscribed?.link.stop(this.#subscribed.number);
    this.#subscribed = undefined;
  }

  /** Goes on after a pause, or as soon as metadata shows a newer leader. */
  #again(error: SluiceError): void {
    if (!this.#running) return;
    const { topic, partition } = this;
    this.#ports.onStatus({ kind: 'resuming', topic, partition, error });
    const known = this.#metadata();
    if (known !== undefined && known.leaderEpoch > this.#leaderEpoch) return this.#go();
    if (error.retry === 'refresh-metadata') this.#ports.metadata.refresh(topic);
    this.#retry = this.#ports.ports.clock.setTimer(this.#backoff.nextMs(), () => this.#go());
  }

  #fail(error: SluiceError): void {
    const { topic, partition } = this;
    const offset = this.#wanted;
    this.stop();
    this.#ports.onFailed(withDetails(error, { topic, partition, ...(offset === undefined ? {} : { offset }) }));
  }
}

/** The offset to fetch from, and the one that the application wants: it may lie ahead of what there is. */
function startOf(
  from: StartPosition,
  { logStart, highWatermark, sinceOffset }: Pick<PartitionOffsets, 'logStart' | 'highWatermark' | 'sinceOffset'>,
): readonly [wanted: number, position: number] {
  if (typeof from === 'number') return [from, from];
  if (from === 'start') return [logStart, logStart];
  if (from === 'end') return [highWatermark, highWatermark];
  if ('sinceMs' in from) return [sinceOffset, sinceOffset];
  if ('last' in from) {
    const first = Math.max(logStart, highWatermark - from.last);
    return [first, first];
  }
  return [Math.min(logStart + from.after, highWatermark), logStart + from.after];
}

const sinceMsOf = (from: StartPosition): number | undefined =>
  typeof from === 'object' && 'sinceMs' in from ? from.sinceMs : undefined;

/** Offset of the first record of that time or later; where one does not decode, of the batch: the application is told. */
function firstSince(batch: FetchedBatch, sinceMs: number): number | undefined {
  try {
    for (const { offset, timestamp } of batch.records()) if (timestamp >= sinceMs) return offset;
    return undefined;
  } catch {
    return batch.baseOffset;
  }
}

const noAddress = (node: number): SluiceError =>
  new SluiceError('LEADER_NOT_AVAILABLE', {
    message: `Node ${node} leads the partition and has no address on this listener.`,
    details: { leader: node },
  });
