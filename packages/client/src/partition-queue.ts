/**
 * The records of one producer for one partition, in order, until each is decided. Owns their batches and the numbering
 * that lets the leader tell a repetition from something new. Fed by `Producer`, drained by `ProduceLink`s.
 *
 * Why nothing that is reported as delivered is there twice or out of order (reliability.md §2.6, `I` rules there):
 * Q1 Batches are numbered in the order of the calls, within a series: one producer id and epoch, sequences from 0. No
 *    two series of a partition are equal, since ids are unique in the cluster, epochs only grow, and a queue lives as
 *    long as its topic id.
 * Q2 Under its number a batch has one content (B1). The leader appends a number only behind the one before it (I2) and
 *    answers a number that is in the log with its first offset (I3). Sending again therefore never adds a copy, and
 *    whatever is appended of a series is a prefix of it, in order.
 * Q3 I3 holds for the last five batches, for as long as the leader remembers the producer, which is longer than any
 *    delivery timeout. The window is at most five batches long, counted from the oldest that is
 *    undecided, decided ones behind it included: an undecided batch never leaves the leader's memory.
 * Q4 A batch is sent only if every earlier one of the window was sent before it, on the same stream, or is decided, and
 *    never behind a failed one: the leader would only refuse it.
 * Q5 A batch that fails leaves a gap in its series, so the series ends: what follows goes on in a new one, and the old
 *    one is fenced by the epoch (I2). Batches that were sent in the old series move to the new one only if they are
 *    certainly not in the log and never will be: because no attempt of their own can have reached it, or because an
 *    earlier batch of the series is certainly absent (Q2: then no later one can be there). All others fail as
 *    indefinite. So no batch has undecided copies in two series.
 * Q6 A series ends only when its failed batch is the oldest undecided one: nothing of the old series that could still
 *    succeed is fenced, and nothing overtakes it. Other partitions keep their series (I7): the leader keeps epochs for
 *    each id and partition.
 */
import type { Clock, Random, Timer } from '@sluice/base';
import { SluiceError } from '@sluice/base';
import type { BatchStamp, Compressor, Decompress, RecordDraft } from '@sluice/record';
import { sequenceAfter } from '@sluice/record';
import type { PartitionMetadata } from '@sluice/wire';
import { Backoff } from './backoff.ts';
import { expired, isRetriable, withDefinite, withDetails } from './delivery-errors.ts';
import { Fifo } from './fifo.ts';
import { type Attempt, PendingBatch, type RecordOwner } from './pending-batch.ts';

export interface QueuePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly decompress: Decompress;
  /** There may be something to send to the present leader. */
  wake(queue: PartitionQueue): void;
  /** Bring a producer id: `begin` is called when it is there. `fresh`: one that no queue ever used. */
  requestProducerId(queue: PartitionQueue, fresh: boolean): void;
  refreshMetadata(topic: string): void;
  /** A batch is decided; `unheard` is the error if somebody must still be told. */
  onDecided(batch: PendingBatch, unheard: SluiceError | undefined): void;
  onRetry(queue: PartitionQueue, error: SluiceError): void;
  /** The first record after a time without any, and the last one decided. */
  onBusy(queue: PartitionQueue, busy: boolean): void;
  onThrown(thrown: unknown): void;
}

export interface QueueOptions {
  readonly topic: string;
  readonly topicId: string;
  readonly idempotent: boolean;
  readonly batchBytesMax: number;
  readonly lingerMs: number;
  readonly deliveryTimeoutMs: number;
  readonly compressor: Compressor | undefined;
}

/** One numbering (Q1). */
interface Series {
  readonly producerId: number;
  readonly producerEpoch: number;
  nextSequence: number;
}

/** Q3 */
export const windowBatchesMax = 5;
/**
 * With this much under way a batch that has room waits for more records, or for an answer: each batch costs three nodes
 * the same, however small. Measured on two cores: batches of 240 KiB instead of 182 at full speed. A trickle never
 * reaches it and waits for nothing; waiting for every answer instead took p50 at 10,000 records/s from 6.3 to 8.5 ms.
 */
const gatherAboveBytes = 16 * 1024;
const producerEpochMax = 0x7fff;
/** A leader that was elected so recently may not have heard of it yet, or not of its followers. */
const freshLeaderMs = 1_000;
const capacityBytesMin = 512;

export class PartitionQueue {
  readonly options: QueueOptions;
  readonly partition: number;
  readonly #ports: QueuePorts;
  /** How much of its time a record may lose to the batch that it joins. */
  readonly #joinMs: number;
  readonly #backoff: Backoff;
  /** Towards a leader that is about to serve: it takes milliseconds, so that is how long the pauses are. */
  readonly #freshLeaderBackoff: Backoff;
  readonly #window: PendingBatch[] = [];
  readonly #sealed = new Fifo<PendingBatch>();
  #open: PendingBatch | undefined;
  #series: Series | undefined;
  #epochsUsedUp = false;
  #leader: number;
  #leaderEpoch: number;
  #leaderSinceMs = Number.NEGATIVE_INFINITY;
  #blocked: Timer | undefined;
  #capacityBytes = capacityBytesMin;
  #busy = false;

  constructor(options: QueueOptions, metadata: PartitionMetadata, ports: QueuePorts) {
    this.options = options;
    this.partition = metadata.partition;
    this.#leader = metadata.leader;
    this.#leaderEpoch = metadata.leaderEpoch;
    this.#ports = ports;
    this.#backoff = new Backoff(ports.random, 40, 1_000);
    this.#freshLeaderBackoff = new Backoff(ports.random, 2, 1_000);
    this.#joinMs = Math.max(options.lingerMs, options.deliveryTimeoutMs / 16);
  }

  /** Node that the batches go to, 0 when there is none. */
  get leader(): number {
    return this.#leader;
  }

  get nextDeadlineMs(): number | undefined {
    const first = this.#window.find((batch) => !batch.decided) ?? this.#sealed.first ?? this.#open;
    return first?.deadlineMs;
  }

  /** Returns the batch that took the record, which is of this generation of `flush` if it is a new one. */
  append(record: RecordDraft, owner: RecordOwner, deadlineMs: number, generation: number): PendingBatch {
    const { batchBytesMax } = this.options;
    const open = this.#open;
    // A batch expires with its first record: nobody joins who would lose much of the own time by it.
    const inTime = open !== undefined && deadlineMs - open.deadlineMs <= this.#joinMs;
    if (inTime && open.append(record, owner, batchBytesMax)) return open;
    this.seal();
    const batch = this.#begin(deadlineMs, generation);
    batch.append(record, owner, batchBytesMax);
    this.#ports.wake(this);
    return batch;
  }

  /** What is open may go now, and takes no more records. */
  seal(): void {
    const batch = this.#open;
    if (batch === undefined) return;
    this.#capacityBytes = Math.max(capacityBytesMin, Math.min(batch.batchBytes, this.options.batchBytesMax));
    this.#open = undefined;
    this.#sealed.push(batch);
    this.#ports.wake(this);
  }

  /** The next batch for this node, encoded, marked as sent; undefined when there is none now (Q4). */
  takeFor(node: number): { readonly attempt: Attempt; readonly bytes: Uint8Array } | undefined {
    if (node !== this.#leader || this.#blocked !== undefined) return undefined;
    const batch = this.#nextToSend();
    if (batch === undefined) return undefined;
    const bytes = batch.encode(() => this.#stampFor(batch));
    const attempt: Attempt = { batch, sentMs: this.#ports.clock.monotonicMs(), leaderEpoch: this.#leaderEpoch };
    batch.state = 'sent';
    batch.attempt = attempt;
    return { attempt, bytes };
  }

  onDelivered(attempt: Attempt, baseOffset: number): void {
    if (attempt.batch.attempt !== attempt) return;
    this.#backoff.reset();
    this.#settle(attempt.batch, undefined, baseOffset);
    this.#advance();
  }

  onFailed(attempt: Attempt, error: SluiceError): void {
    const { batch } = attempt;
    if (batch.attempt !== attempt) return;
    batch.attempt = undefined;
    batch.state = 'waiting';
    batch.lastError = error;
    if (!error.definite) batch.maybeAppended = true;
    if (!this.options.idempotent) return this.#retryOrFail(batch, attempt, isRetriable(error) && error.definite);
    if (error.code !== 'OUT_OF_ORDER_SEQUENCE') return this.#retryOrFail(batch, attempt, isRetriable(error));
    const isOldest = this.#window[0] === batch;
    // Behind an undecided batch this says only that the other one is not there yet.
    if (!isOldest) return this.#ports.wake(this);
    if (!batch.certainlyAbsent) return this.#fail(batch, withDefinite(error, false));
    // The leader forgot this producer: it was idle for long, or lost what it had been told (I6).
    this.#endSeries(true, error);
    this.#ports.wake(this);
  }

  /** The node could not be reached, or will not have this client at all (`refused`): nothing was sent to it. */
  onUnsent(node: number, error: SluiceError, refused: boolean): void {
    if (node !== this.#leader) return;
    if (refused) return this.abandon(error);
    const oldest = this.#window.find((batch) => !batch.decided) ?? this.#sealed.first ?? this.#open;
    if (oldest === undefined) return;
    oldest.lastError = error;
    this.#ports.onRetry(this, error);
  }

  /** Metadata shows the partition. */
  onMetadata({ leader, leaderEpoch }: PartitionMetadata): boolean {
    const moved = leader !== this.#leader;
    if (leaderEpoch < this.#leaderEpoch || (!moved && leaderEpoch === this.#leaderEpoch)) return false;
    this.#leader = leader;
    this.#leaderEpoch = leaderEpoch;
    this.#leaderSinceMs = this.#ports.clock.monotonicMs();
    this.#freshLeaderBackoff.reset();
    // The old leader may never answer. Not so without numbers: there only its answer tells what happened.
    if (moved && leader !== 0 && this.options.idempotent) this.#abandonAttempts();
    this.#unblock();
    return moved;
  }

  /** A producer id that no one else has. */
  begin(producerId: number): void {
    if (this.#series !== undefined || !this.options.idempotent) return;
    this.#series = { producerId, producerEpoch: 0, nextSequence: 0 };
    this.#epochsUsedUp = false;
    this.#ports.wake(this);
  }

  /** Fails what is past its deadline. */
  expire(nowMs: number): void {
    for (;;) {
      const oldest = this.#window.find((batch) => !batch.decided);
      if (oldest === undefined || oldest.deadlineMs > nowMs) break;
      this.#fail(oldest, expired(oldest.certainlyAbsent, this.options.deliveryTimeoutMs, oldest.lastError));
    }
    for (;;) {
      const unsent = this.#sealed.first ?? this.#open;
      if (unsent === undefined || unsent.deadlineMs > nowMs) break;
      if (this.#sealed.shift() === undefined) this.#open = undefined;
      this.#settle(unsent, expired(true, this.options.deliveryTimeoutMs, unsent.lastError), -1);
    }
    this.#noticeIdle();
  }

  /** Fails everything, at once; what may be in the log as indefinite. */
  abandon(error: SluiceError): void {
    this.#blocked?.cancel();
    this.#blocked = undefined;
    const undecided = [...this.#window.filter((batch) => !batch.decided), ...this.#sealed.takeAll()];
    if (this.#open !== undefined) undecided.push(this.#open);
    const gap = this.#window.length > 0;
    this.#window.length = 0;
    this.#open = undefined;
    if (gap) this.#endSeries(false, error);
    for (const batch of undecided) this.#settle(batch, withDefinite(error, batch.certainlyAbsent), -1);
    this.#noticeIdle();
  }

  #begin(deadlineMs: number, generation: number): PendingBatch {
    const { clock } = this.#ports;
    const { lingerMs } = this.options;
    const dueMs = clock.monotonicMs() + lingerMs;
    const batch = new PendingBatch({ capacityBytes: this.#capacityBytes, deadlineMs, dueMs, generation });
    if (lingerMs > 0) clock.setTimer(lingerMs, () => this.#ports.wake(this));
    this.#open = batch;
    if (!this.#busy) {
      this.#busy = true;
      this.#ports.onBusy(this, true);
    }
    return batch;
  }

  #nextToSend(): PendingBatch | undefined {
    for (const batch of this.#window) {
      if (batch.state === 'failed' && this.options.idempotent) return undefined;
      if (batch.state === 'waiting') return batch.encoded || this.#hasSeries() ? batch : undefined;
    }
    if (this.#window.length >= windowBatchesMax) return undefined;
    const { clock } = this.#ports;
    const due = (this.#open?.dueMs ?? Infinity) <= clock.monotonicMs();
    if (this.#sealed.size === 0 && due && this.#bytesInFlight < gatherAboveBytes) this.seal();
    if (this.#sealed.size === 0 || !this.#hasSeries()) return undefined;
    const batch = this.#sealed.shift();
    if (batch !== undefined) this.#window.push(batch);
    return batch;
  }

  get #bytesInFlight(): number {
    let bytes = 0;
    for (const batch of this.#window) if (!batch.decided) bytes += batch.batchBytes;
    return bytes;
  }

  #hasSeries(): boolean {
    if (!this.options.idempotent || this.#series !== undefined) return true;
    this.#ports.requestProducerId(this, this.#epochsUsedUp);
    return this.#series !== undefined;
  }

  /** Q1 */
  #stampFor(batch: PendingBatch): BatchStamp {
    const { compressor } = this.options;
    const codec = compressor === undefined ? {} : { compressor };
    const series = this.#series;
    if (series === undefined) return { producerId: -1, producerEpoch: -1, baseSequence: -1, ...codec };
    const baseSequence = series.nextSequence;
    series.nextSequence = sequenceAfter(baseSequence, batch.recordCount);
    batch.series = series;
    return { producerId: series.producerId, producerEpoch: series.producerEpoch, baseSequence, ...codec };
  }

  #retryOrFail(batch: PendingBatch, attempt: Attempt, again: boolean): void {
    const error = batch.lastError ?? new SluiceError('INTERNAL');
    if (!again) return this.#fail(batch, withDefinite(error, batch.certainlyAbsent));
    this.#ports.onRetry(this, error);
    // A newer leader is known already, or the stream is gone and its node is waited for there.
    if (attempt.leaderEpoch < this.#leaderEpoch || error.code === 'CONNECTION_LOST') return this.#ports.wake(this);
    if (error.retry === 'refresh-metadata') this.#ports.refreshMetadata(this.options.topic);
    if (this.#blocked !== undefined) return;
    const backoff = this.#isSoonReady(error) ? this.#freshLeaderBackoff : this.#backoff;
    this.#blocked = this.#ports.clock.setTimer(backoff.nextMs(), () => this.#unblock());
  }

  /** The node that refused is the leader, and has not heard of that yet, or not of enough followers. */
  #isSoonReady({ code, details: { leaderEpoch } }: SluiceError): boolean {
    if (code === 'NOT_LEADER' && typeof leaderEpoch === 'number') return leaderEpoch < this.#leaderEpoch;
    // Without an epoch the node is still loading the partition.
    if (code !== 'NOT_ENOUGH_REPLICAS' && code !== 'NOT_LEADER') return false;
    return this.#ports.clock.monotonicMs() - this.#leaderSinceMs < freshLeaderMs;
  }

  #unblock(): void {
    this.#blocked?.cancel();
    this.#blocked = undefined;
    this.#ports.wake(this);
  }

  #abandonAttempts(): void {
    for (const batch of this.#window) {
      if (batch.state !== 'sent') continue;
      batch.state = 'waiting';
      batch.attempt = undefined;
      batch.maybeAppended = true;
    }
  }

  #fail(batch: PendingBatch, error: SluiceError): void {
    const certain = batch.certainlyAbsent;
    this.#settle(batch, error, -1);
    batch.maybeAppended = !certain;
    this.#advance();
  }

  /** Takes decided batches from the front of the window; the series ends with one that failed (Q5, Q6). */
  #advance(): void {
    for (let oldest = this.#window[0]; oldest?.decided === true; oldest = this.#window[0]) {
      this.#window.shift();
      const endsSeries = oldest.state === 'failed' && oldest.series !== undefined && oldest.series === this.#series;
      if (endsSeries) this.#endSeries(!oldest.maybeAppended, oldest.lastError);
    }
    this.#ports.wake(this);
    this.#noticeIdle();
  }

  /** Q5. `absent`: what came before the window in this series is certainly not in the log beyond what was decided. */
  #endSeries(absent: boolean, why: SluiceError | undefined): void {
    const old = this.#series;
    if (old === undefined) return;
    const nextEpoch = old.producerEpoch + 1;
    this.#epochsUsedUp = nextEpoch > producerEpochMax;
    this.#series = this.#epochsUsedUp
      ? undefined
      : { producerId: old.producerId, producerEpoch: nextEpoch, nextSequence: 0 };
    let certain = absent;
    for (const batch of this.#window) {
      if (batch.series !== old) continue;
      certain ||= batch.decided ? batch.state === 'failed' && !batch.maybeAppended : batch.certainlyAbsent;
      if (batch.decided) continue;
      if (certain) batch.unstamp(this.#ports.decompress);
      else this.#settleUnknown(batch, why);
    }
  }

  #settleUnknown(batch: PendingBatch, why: SluiceError | undefined): void {
    const cause = batch.lastError ?? why;
    const message =
      'The outcome of an earlier batch of this partition is unknown, and therefore of this one: ' +
      `it may or may not be in the log. ${cause?.message ?? ''}`;
    this.#settle(batch, new SluiceError('TIMEOUT', { message, cause }), -1);
    batch.maybeAppended = true;
  }

  #settle(batch: PendingBatch, error: SluiceError | undefined, baseOffset: number): void {
    const { topic } = this.options;
    const { partition } = this;
    const told = error === undefined ? undefined : withDetails(error, { topic, partition });
    const onThrown = (thrown: unknown): void => this.#ports.onThrown(thrown);
    const unheard = batch.settle({ error: told, partition, baseOffset, onThrown });
    this.#ports.onDecided(batch, unheard ? told : undefined);
  }

  #noticeIdle(): void {
    if (!this.#busy || this.#window.length > 0 || this.#sealed.size > 0 || this.#open !== undefined) return;
    this.#busy = false;
    this.#ports.onBusy(this, false);
  }
}
