/**
 * The producer: takes records, finds their partition, and settles each with its outcome. Owns its buffer, topics, links
 * and timers; `PartitionQueue` holds the promise about duplicates and order. Made by `Sluice.producer`.
 *
 * N1 A record is settled once: delivered, or failed with an error that says whether it may be in the log all the same.
 * N2 Records of one partition are appended in the order of the calls, also while topics are looked up or room is scarce.
 * N3 Nothing stays undecided longer than its deadline, whatever the cluster does.
 */
import type { Timer } from '@sluice/base';
import { SluiceError, toSluiceError } from '@sluice/base';
import type { RpcClient, TopicMetadata } from '@sluice/wire';
import type { CloseOptions, SignalOption } from './consumer-options.ts';
import type { Deliveries } from './deliveries.ts';
import { expired } from './delivery-errors.ts';
import { Fifo } from './fifo.ts';
import { FlushTracker } from './flush-tracker.ts';
import type { Metadata } from './metadata.ts';
import { unknownTopic } from './metadata.ts';
import type { NodeCalls } from './node-calls.ts';
import { PartitionQueue, type QueuePorts } from './partition-queue.ts';
import type { PendingBatch } from './pending-batch.ts';
import type { ClientPorts } from './ports.ts';
import { ProduceLink } from './produce-link.ts';
import { ProducerBuffer } from './producer-buffer.ts';
import { ProducerIds } from './producer-ids.ts';
import type { ProducerSettings } from './producer-options.ts';
import type { Entry } from './producer-entry.ts';
import type { Delivery, OnDelivery, ProducerRecord, SendManyOptions } from './producer-record.ts';
import { ProducerTopic } from './producer-topic.ts';
import { refusalOf } from './record-input.ts';
import { RecordIntake } from './record-intake.ts';
import { SendCall } from './send-call.ts';
import type { OnStatus } from './status.ts';
import { orAborted, settlesWithin } from './waiting.ts';

export interface ProducerContext {
  readonly clientId: string;
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  readonly metadata: Metadata;
  readonly calls: NodeCalls;
  readonly onStatus: OnStatus;
  readonly onClosed: (producer: Producer) => void;
}

const closeTimeoutMsDefault = 10_000;

export class Producer implements AsyncDisposable {
  readonly #context: ProducerContext;
  readonly #settings: ProducerSettings;
  readonly #buffer: ProducerBuffer;
  readonly #flushes = new FlushTracker();
  readonly #ids: ProducerIds;
  readonly #intake: RecordIntake;
  readonly #topics = new Map<string, ProducerTopic>();
  /** Records whose topic is being looked up, by its name (N2). */
  readonly #unresolved = new Map<string, Fifo<Entry>>();
  readonly #links = new Map<number, ProduceLink>();
  readonly #busy = new Set<PartitionQueue>();
  readonly #queuePorts: QueuePorts;
  readonly #unsubscribe: () => void;
  #expiry: Timer | undefined;
  #unheard: SluiceError | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(context: ProducerContext, settings: ProducerSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#buffer = new ProducerBuffer(settings.bufferBytesMax);
    this.#intake = new RecordIntake({
      clock: context.ports.clock,
      buffer: this.#buffer,
      flushes: this.#flushes,
      deliveryTimeoutMs: settings.deliveryTimeoutMs,
      admit: (entry) => this.#admit(entry),
      refuse: (entry, error) => this.#refuse(entry, error),
      fail: (entry, error) => this.#fail(entry, error),
      armExpiry: (deadlineMs) => this.#armExpiry(deadlineMs),
    });
    this.#ids = new ProducerIds({
      calls: context.calls,
      clientId: context.clientId,
      onRefused: (queue, error) => queue.abandon(error),
    });
    this.#queuePorts = this.#portsOfQueues();
    this.#unsubscribe = context.metadata.subscribe({
      onTopic: (topic) => this.#onTopic(topic),
      onTopicDeleted: (topic) => this.#onTopicDeleted(topic),
      onNodes: () => this.#retryLinks(),
    });
  }

  /** Bytes that are not decided yet. */
  get bufferedBytes(): number {
    return this.#buffer.bytes;
  }

  /**
   * Resolves when the acks asked for are there. Rejects with a `SluiceError`, whose `definite` says whether the record
   * may be in the log all the same. Calls for one partition are delivered in their order. Waits while the buffer is full.
   */
  send(topic: string, record: ProducerRecord, options: SignalOption = {}): Promise<Delivery> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw new SluiceError('CLOSED');
      const { signal } = options;
      if (signal?.aborted === true) throw new SluiceError('CANCELLED', { definite: true, cause: signal.reason });
      let forget: (() => void) | undefined;
      const waiting = this.#intake.take(topic, record, (error, delivery) => {
        forget?.();
        if (error === undefined) resolve(delivery);
        else reject(error);
      });
      if (signal !== undefined) forget = this.#intake.giveUpOn(signal, waiting, reject);
    });
  }

  /**
   * Like `send` for each record in turn, at far less cost than as many promises. Resolves when all are delivered. If any
   * fails, rejects when all are decided, with the first error: `details` has `failed` and `records`, the counts of those
   * that failed and of all, and `definite` says whether the log has none of them; `onFailed` tells which. A record that
   * cannot be sent at all fails alone.
   */
  sendMany(topic: string, records: readonly ProducerRecord[], options: SendManyOptions = {}): Promise<Deliveries> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) throw new SluiceError('CLOSED');
      const { signal, onFailed } = options;
      if (signal?.aborted === true) throw new SluiceError('CANCELLED', { definite: true, cause: signal.reason });
      let forget: (() => void) | undefined;
      const onSettled = (error: SluiceError | undefined, deliveries: Deliveries): void => {
        forget?.();
        if (error === undefined) resolve(deliveries);
        else reject(error);
      };
      const { onThrown } = this.#queuePorts;
      const call = new SendCall({ recordCount: records.length, onFailed, onSettled, onThrown });
      const waiting = this.#intake.takeMany(topic, records, call);
      if (signal !== undefined && records.length > 0) forget = this.#intake.giveUpOn(signal, waiting, reject);
    });
  }

  /**
   * True: taken, and `onDelivery` will hear of it. False: the buffer is full and nothing was taken; await `ready`, then
   * post again. Without `onDelivery` a failure is reported by the next `flush`. Throws `CLOSED` and `INVALID_BATCH`.
   */
  post(topic: string, record: ProducerRecord, onDelivery?: OnDelivery): boolean {
    if (this.#closing !== undefined) throw new SluiceError('CLOSED');
    return this.#intake.post(topic, record, onDelivery);
  }

  /** Resolves when `post` has room again. */
  ready(options: SignalOption = {}): Promise<void> {
    const room = new Promise<void>((resolve) => this.#buffer.whenRoom(resolve));
    return orAborted(room, options.signal);
  }

  /**
   * Resolves when all that was sent or posted before is decided; rejects with the first failure of a record that was
   * posted without `onDelivery`. Does not wait for `lingerMs`.
   */
  async flush(options: SignalOption = {}): Promise<void> {
    const flushed = this.#flushes.flushed();
    for (const queue of this.#busy) queue.seal();
    await orAborted(flushed, options.signal);
    const unheard = this.#unheard;
    this.#unheard = undefined;
    if (unheard !== undefined) throw unheard;
  }

  /**
   * Takes nothing more, flushes for at most `timeoutMs` (default 10 s), then fails what is left: `CLOSED`, indefinite
   * for what was sent. Rejects like `flush`.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? closeTimeoutMsDefault);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(timeoutMs: number): Promise<void> {
    const flushed = this.#flushes.flushed();
    for (const queue of this.#busy) queue.seal();
    await settlesWithin(this.#context.ports.clock, timeoutMs, flushed);
    this.#closed = true;
    this.#expiry?.cancel();
    this.#unsubscribe();
    this.#ids.close();
    const error = new SluiceError('CLOSED', { message: 'The producer was closed before the record was delivered.' });
    this.#buffer.failAll(error);
    for (const name of this.#unresolved.keys()) this.#failUnresolved(name, error);
    for (const queue of this.#busy) queue.abandon(error);
    for (const link of this.#links.values()) link.close();
    this.#context.onClosed(this);
    if (this.#unheard !== undefined) throw this.#unheard;
  }

  /** Its bytes are in the buffer: to its queue, behind all others for its topic. */
  #admit(entry: Entry): void {
    const topic = this.#topics.get(entry.topic);
    const others = this.#unresolved.size === 0 ? undefined : this.#unresolved.get(entry.topic);
    if (topic !== undefined && others === undefined) return this.#place(entry, topic);
    this.#flushes.enter(entry.generation);
    this.#armExpiry(entry.deadlineMs);
    if (others !== undefined) return others.push(entry.copy());
    const entries = new Fifo<Entry>();
    const { topic: name } = entry;
    entries.push(entry.copy());
    this.#unresolved.set(name, entries);
    this.#context.metadata.topic(name).then(
      () => this.#onResolved(name),
      (thrown: unknown) => this.#failUnresolved(name, toSluiceError(thrown)),
    );
  }

  #onResolved(name: string): void {
    const entries = this.#unresolved.get(name);
    const metadata = this.#context.metadata.view.topicNamed(name);
    const topic = this.#topics.get(name) ?? (metadata === undefined ? undefined : this.#openTopic(metadata));
    for (let entry = entries?.shift(); entry !== undefined; entry = entries?.shift()) {
      if (topic === undefined) this.#release(entry, unknownTopic(name));
      else this.#place(entry, topic);
      this.#flushes.leave(entry.generation);
    }
    // Not before: one that fails makes room, and whoever gets that goes behind all of them (N2).
    this.#unresolved.delete(name);
  }

  #failUnresolved(name: string, error: SluiceError): void {
    const entries = this.#unresolved.get(name)?.takeAll() ?? [];
    this.#unresolved.delete(name);
    for (const entry of entries) {
      this.#release(entry, error);
      this.#flushes.leave(entry.generation);
    }
  }

  #place(entry: Entry, topic: ProducerTopic): void {
    const problem = this.#intake.recall(entry);
    if (problem !== undefined) return this.#release(entry, problem);
    const { draft, nowMs } = this.#intake;
    const { owner, deadlineMs, generation } = entry;
    const refusal = refusalOf(draft, topic.limits);
    if (refusal !== undefined) return this.#release(entry, refusal);
    const queue = topic.queueFor(draft, entry.record.partition, nowMs);
    if (queue instanceof SluiceError) return this.#release(entry, queue);
    const batch = queue.append(draft, owner, deadlineMs, generation);
    if (typeof owner === 'object') owner.onPlaced(entry.index, batch);
    if (batch.recordCount === 1) this.#flushes.enter(batch.generation);
    else if (generation < batch.generation) this.#move(batch, generation);
    this.#armExpiry(deadlineMs);
  }

  /** A record that waited since before a flush joined a batch that was begun after it. */
  #move(batch: PendingBatch, generation: number): void {
    this.#flushes.enter(generation);
    this.#flushes.leave(batch.generation);
    batch.generation = generation;
  }

  /** Fails a record that is in the buffer, later: never from inside the call that brought it. */
  #release(entry: Entry, error: SluiceError): void {
    this.#buffer.release(entry.bytes);
    this.#refuse(entry, error);
  }

  #refuse(entry: Entry, error: SluiceError): void {
    const kept = entry.copy();
    this.#flushes.enter(kept.generation);
    this.#context.ports.clock.defer(() => this.#fail(kept, error));
  }

  #fail({ owner, record: { partition = -1 }, generation, index }: Entry, error: SluiceError): void {
    if (owner === undefined) this.#unheard ??= error;
    this.#flushes.leave(generation);
    if (typeof owner === 'object') owner.onRefused(index, error);
    else owner?.(error, { partition, offset: -1 });
  }

  #openTopic(metadata: TopicMetadata): ProducerTopic {
    const { random } = this.#context.ports;
    const topic = new ProducerTopic(metadata, random, (owner, partition) => this.#openQueue(owner, partition));
    this.#topics.set(metadata.name, topic);
    return topic;
  }

  #openQueue(topic: ProducerTopic, partition: number): PartitionQueue {
    const { idempotent, lingerMs, deliveryTimeoutMs, compressor, batchBytesMax } = this.#settings;
    const metadata = topic.metadata.partitions[partition] ?? { ...noPartition, partition };
    const options = {
      topic: topic.name,
      topicId: topic.topicId,
      idempotent,
      lingerMs,
      deliveryTimeoutMs,
      compressor,
      batchBytesMax: Math.min(batchBytesMax, topic.limits.batchBytesMax),
    };
    return new PartitionQueue(options, metadata, this.#queuePorts);
  }

  #portsOfQueues(): QueuePorts {
    const { ports, metadata, onStatus } = this.#context;
    return {
      clock: ports.clock,
      random: ports.random,
      decompress: ports.compression.decompress,
      wake: (queue) => this.#wake(queue),
      requestProducerId: (queue, fresh) => this.#ids.request(queue, fresh),
      refreshMetadata: (topic) => metadata.refresh(topic),
      onDecided: (batch, unheard) => {
        this.#unheard ??= unheard;
        this.#flushes.leave(batch.generation);
        this.#buffer.release(batch.bufferedBytes);
      },
      onRetry: ({ options: { topic }, partition }, error) => onStatus({ kind: 'retrying', topic, partition, error }),
      onBusy: (queue, busy) => this.#onBusy(queue, busy),
      // A bug of the caller, and none of ours: it surfaces as one, outside of our own work.
      onThrown: (thrown) => {
        ports.clock.defer(() => {
          throw thrown;
        });
      },
    };
  }

  #wake(queue: PartitionQueue): void {
    if (this.#closed || queue.leader === 0) return;
    this.#link(queue.leader).offer(queue);
  }

  #link(node: number): ProduceLink {
    const known = this.#links.get(node);
    if (known !== undefined) return known;
    const { clientId, ports, rpc, metadata } = this.#context;
    const { acks, requestTimeoutMs } = this.#settings;
    const address = (): string | undefined => metadata.view.addressOf(node);
    const link = new ProduceLink({ node, clientId, acks, requestTimeoutMs, ports, rpc, address });
    this.#links.set(node, link);
    return link;
  }

  #onTopic(metadata: TopicMetadata): void {
    const topic = this.#topics.get(metadata.name);
    if (topic === undefined || topic.topicId !== metadata.topicId) return;
    for (const queue of topic.onMetadata(metadata)) {
      const { partition, leader } = queue;
      this.#context.onStatus({ kind: 'leader-changed', topic: metadata.name, partition, leader });
    }
    this.#retryLinks();
  }

  #onTopicDeleted(metadata: TopicMetadata): void {
    const topic = this.#topics.get(metadata.name);
    if (topic?.topicId !== metadata.topicId) return;
    // First, so that what is sent meanwhile looks the name up again.
    this.#topics.delete(metadata.name);
    const message = `Topic ${metadata.name} was deleted before the record was delivered.`;
    const error = new SluiceError('UNKNOWN_TOPIC', { message, details: { topic: metadata.name } });
    for (const queue of topic.queues) queue.abandon(error);
  }

  #retryLinks(): void {
    for (const link of this.#links.values()) link.retryNow();
  }

  #onBusy(queue: PartitionQueue, busy: boolean): void {
    if (busy) this.#busy.add(queue);
    else this.#busy.delete(queue);
    if (this.#busy.size > 0 || this.#unresolved.size > 0 || this.#buffer.nextDeadlineMs !== undefined) return;
    // A producer without work keeps no timer, and with it no process, alive.
    this.#expiry?.cancel();
    this.#expiry = undefined;
  }

  /** N3. Deadlines come in order, so that an armed timer is never too late for a later one. */
  #armExpiry(deadlineMs: number): void {
    if (this.#expiry !== undefined || this.#closed) return;
    const { clock } = this.#context.ports;
    this.#expiry = clock.setTimer(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
      this.#expiry = undefined;
      this.#expire(clock.monotonicMs());
    });
  }

  #expire(nowMs: number): void {
    const late = (): SluiceError => expired(true, this.#settings.deliveryTimeoutMs, undefined);
    for (const entries of this.#unresolved.values()) {
      for (let first = entries.first; first !== undefined && first.deadlineMs <= nowMs; first = entries.first) {
        entries.shift();
        this.#release(first, late());
        this.#flushes.leave(first.generation);
      }
    }
    this.#buffer.expire(nowMs, late);
    // Last: the room that this makes is for those who still have time.
    for (const queue of this.#busy) queue.expire(nowMs);
    const next = [
      this.#buffer.nextDeadlineMs,
      ...[...this.#busy].map((queue) => queue.nextDeadlineMs),
      ...[...this.#unresolved.values()].map((entries) => entries.first?.deadlineMs),
    ].filter((deadlineMs) => deadlineMs !== undefined);
    if (next.length > 0) this.#armExpiry(Math.min(...next));
  }
}

const noPartition = { leader: 0, leaderEpoch: 0, replicas: [], isr: [], elr: [], partitionEpoch: 0 } as const;
