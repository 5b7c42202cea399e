/**
 * The produce stream: checks batches, hands them to their partitions, answers when the acks asked for are there.
 *
 * P1. A batch's bytes count against the stream's credit from its arrival to its answer: what is parked is bounded.
 * P2. Results of one turn travel in one message.
 * P3. A bad batch fails alone; a broken stream rule (no open, credit overrun, parts that do not add up) ends the stream.
 * P4. A batch in parts is charged whole with its first part, and takes its place in its partition with its last.
 * P5. A batch of a compacted topic waits until its keys were looked at, and what comes after it for its partition waits too.
 */
import { SluiceError, OncePerTurn, toSluiceError } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { isCompacted, topicConfigTable } from '@sluice/metadata';
import type { MetadataFeed } from '@sluice/metadata';
import type { Acks } from '@sluice/partition';
import { batchBytesMaxFor, batchError, batchSizeProblem, checkProduceBatch } from '@sluice/record';
import type { BatchHeader, Compression } from '@sluice/record';
import { Acks as WireAcks, encodeError, methods } from '@sluice/wire';
import type {
  CreditBudget,
  Dispatcher,
  ProduceBatch,
  ProduceRequest,
  ProduceResponse,
  ProduceResult,
  ReceiveCredit,
  StreamReceiver,
  StreamSender,
} from '@sluice/wire';
import type { NodeLog } from '@sluice/storage';
import { HalfSentBatches, HalfSentRoom } from './half-sent-batches.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHost } from './partition-host.ts';
import type { PartitionHosts } from './partition-hosts.ts';
import { RecordKeys } from './record-keys.ts';
import type { StageTimes } from './stage-times.ts';

export interface ProduceServiceOptions {
  readonly identity: NodeIdentity;
  readonly feed: MetadataFeed;
  readonly hosts: PartitionHosts;
  readonly nodeLog: NodeLog;
  readonly clock: Clock;
  readonly budget: CreditBudget;
  readonly windowBytesMax: number;
  /** A batch that waits longer for its replicas is answered TIMEOUT (indefinite). */
  readonly ackTimeoutMs: number;
  readonly stages: StageTimes;
  readonly compression: Compression;
}

/** No topic takes more. */
const batchBytesMax = batchBytesMaxFor(topicConfigTable.recordBytesMax.max);

const acksOf = (acks: WireAcks): Acks => {
  if (acks === WireAcks.leader) return 'leader';
  return acks === WireAcks.none ? 'none' : 'all';
};

export class ProduceService {
  readonly #options: ProduceServiceOptions;
  readonly #room: HalfSentRoom;
  readonly #keys: RecordKeys;

  constructor(options: ProduceServiceOptions) {
    this.#options = options;
    this.#room = new HalfSentRoom(options.budget.totalBytes);
    this.#keys = new RecordKeys(options);
  }

  serve(clients: Dispatcher): void {
    clients.stream(
      methods.broker.produce,
      (_call, sender) => new ProduceStream(this.#options, sender, { room: this.#room, keys: this.#keys }),
    );
  }
}

interface Target {
  readonly host: PartitionHost;
  readonly batchBytesMax: number;
  /** Every record needs a key. */
  readonly keyed: boolean;
}

class ProduceStream implements StreamReceiver<ProduceRequest> {
  readonly #options: ProduceServiceOptions;
  readonly #sender: StreamSender<ProduceResponse>;
  readonly #keys: RecordKeys;
  readonly #credit: ReceiveCredit;
  #acks: Acks | undefined;
  #results: ProduceResult[] = [];
  #creditBytes = 0;
  readonly #flushing: OncePerTurn;
  readonly #halfSent: HalfSentBatches;
  /** The newest batch of each partition whose keys are being looked at (P5). */
  readonly #looking = new Map<PartitionHost, Promise<void>>();
  #parkedCount = 0;
  #ended = false;
  #closed = false;

  constructor(
    options: ProduceServiceOptions,
    sender: StreamSender<ProduceResponse>,
    shared: { readonly room: HalfSentRoom; readonly keys: RecordKeys },
  ) {
    this.#options = options;
    this.#keys = shared.keys;
    this.#flushing = new OncePerTurn(options.clock, () => this.#flush());
    this.#sender = sender;
    this.#halfSent = new HalfSentBatches({
      room: shared.room,
      clock: options.clock,
      onOverdue: (error) => sender.close(error),
    });
    this.#credit = options.budget.open({
      windowBytesMax: options.windowBytesMax,
      onGrant: (bytes) => {
        this.#creditBytes += bytes;
        this.#flushing.soon();
      },
    });
  }

  onMessage(request: ProduceRequest): void {
    if (this.#acks === undefined) this.#open(request);
    const atMs = this.#options.clock.monotonicMs();
    for (const batch of request.batches) {
      if (batch.moreBytes > 0 || this.#halfSent.size > 0) this.#onPart(batch, atMs);
      else this.#append(batch, atMs);
    }
  }

  /** What was accepted is still answered. */
  onEnd(): void {
    this.#ended = true;
    const error = new SluiceError('INVALID_REQUEST', {
      message: 'The stream ended before the last part of the batch.',
    });
    for (const { requestId, batchBytes } of this.#halfSent.clear()) this.#answer(batchBytes, failed(requestId, error));
    this.#endWhenAnswered();
  }

  onClose(): void {
    this.#closed = true;
    this.#halfSent.clear();
    this.#credit.close();
  }

  #open(request: ProduceRequest): void {
    if (request.open === null) {
      throw new SluiceError('INVALID_REQUEST', { message: 'The first message of a produce stream opens it.' });
    }
    this.#acks = acksOf(request.open.acks);
    this.#sender.send({
      opened: { nodeId: this.#options.identity.nodeId, batchBytesMax },
      creditBytes: this.#credit.initialBytes,
    });
  }

  /** Any batch, while one is half sent (P4). Throws when a stream rule is broken (P3). */
  #onPart(request: ProduceBatch, atMs: number): void {
    const { requestId, topicId, partition, moreBytes } = request;
    if (this.#halfSent.has(requestId)) {
      const whole = this.#halfSent.add(request);
      if (whole !== undefined) this.#hand(whole, atMs);
      return;
    }
    if (moreBytes === 0) return this.#append(request, atMs);
    const bytes = request.batch.byteLength + moreBytes;
    // Not charged either: what is charged is granted again.
    if (bytes > batchBytesMax) {
      throw new SluiceError('INVALID_REQUEST', {
        message: `The batch of request ${requestId} would have ${bytes} bytes; no topic takes more than ${batchBytesMax}.`,
      });
    }
    this.#creditBytes += this.#credit.onFirstPart(bytes);
    this.#flushing.soon();
    this.#parkedCount += 1;
    const refusal = this.#halfSent.begin(request, () => this.#refusalOf(topicId, partition, bytes));
    if (refusal !== undefined) this.#answer(bytes, failed(requestId, refusal));
  }

  /** Before there is memory for the batch. */
  #refusalOf(topicId: string, partition: number, batchBytes: number): SluiceError | undefined {
    const target = this.#targetOf(topicId, partition);
    if (target instanceof SluiceError) return target;
    const problem = batchSizeProblem(batchBytes, target);
    return problem === undefined ? undefined : batchError(problem);
  }

  #append({ requestId, topicId, partition, batch }: ProduceBatch, atMs: number): void {
    // Throws on overrun: the stream ends (P3).
    this.#credit.onReceived(batch.byteLength);
    this.#parkedCount += 1;
    this.#hand({ requestId, topicId, partition, batch }, atMs);
  }

  #targetOf(id: string, partition: number): Target | SluiceError {
    const host = this.#options.hosts.leadingNamed(id, partition);
    if (host instanceof SluiceError) return host;
    const topic = this.#options.feed.image.topic(host.id.topicId);
    const keyed = topic !== undefined && isCompacted(topic.config);
    return { host, keyed, batchBytesMax: batchBytesMaxFor(topic?.config.recordBytesMax ?? 0) };
  }

  /** A whole batch that is charged. */
  #hand(request: Omit<ProduceBatch, 'moreBytes'>, atMs: number): void {
    const { requestId, batch } = request;
    const refused = (error: SluiceError): void => this.#answer(batch.byteLength, failed(requestId, error));
    const target = this.#targetOf(request.topicId, request.partition);
    if (target instanceof SluiceError) return refused(target);
    const checked = checkProduceBatch(batch, target);
    if (!checked.ok) return refused(batchError(checked.problem));
    const header = checked.value;
    if (header.producerId >= this.#options.feed.image.nextProducerId) {
      return refused(new SluiceError('UNKNOWN_PRODUCER_ID', { details: { producerId: header.producerId } }));
    }
    const { host } = target;
    const take = (): void => this.#take(host, { requestId, batch, header }, atMs);
    if (!target.keyed) return take();
    this.#inTurn(host, this.#keys.problemOf(batch, header), (problem) => {
      if (problem === undefined) take();
      else refused(problem);
    });
  }

  /** Goes on when the partition's batches before are taken and the look at the keys of this one is over (P5). */
  #inTurn(
    host: PartitionHost,
    looked: SluiceError | undefined | Promise<SluiceError | undefined>,
    goOn: (problem: SluiceError | undefined) => void,
  ): void {
    const before = this.#looking.get(host);
    if (before === undefined && !(looked instanceof Promise)) return goOn(looked);
    const turn = Promise.all([looked, before])
      .then(([problem]) => goOn(problem))
      .catch((thrown: unknown) => this.#sender.close(toSluiceError(thrown)))
      .finally(() => {
        if (this.#looking.get(host) === turn) this.#looking.delete(host);
      });
    this.#looking.set(host, turn);
  }

  #take(
    host: PartitionHost,
    {
      requestId,
      batch,
      header,
    }: { readonly requestId: number; readonly batch: Uint8Array; readonly header: BatchHeader },
    atMs: number,
  ): void {
    const { clock, stages, ackTimeoutMs } = this.#options;
    const acks = this.#acks ?? 'all';
    const appendedMs = clock.monotonicMs();
    host.append({
      batch,
      header,
      acks,
      timeoutMs: ackTimeoutMs,
      done: (outcome) => {
        const nowMs = clock.monotonicMs();
        if (acks === 'all') stages.observe('replicate', nowMs - appendedMs);
        stages.observe('ack', nowMs - atMs);
        const result = 'error' in outcome ? failed(requestId, outcome.error) : done(requestId, outcome.baseOffset);
        this.#answer(batch.byteLength, result);
      },
    });
  }

  #answer(bytes: number, result: ProduceResult): void {
    this.#parkedCount -= 1;
    if (this.#closed) return;
    this.#results.push(result);
    this.#flushing.soon();
    // A disk that falls behind is felt as credit that does not come back.
    this.#options.nodeLog.whenRoom(() => {
      if (this.#closed) return;
      this.#creditBytes += this.#credit.release(bytes);
      this.#flushing.soon();
    });
  }

  #flush(): void {
    if (this.#closed || this.#acks === undefined) return;
    const results = this.#results;
    const creditBytes = this.#creditBytes + (results.length > 0 ? this.#credit.flush() : 0);
    this.#results = [];
    this.#creditBytes = 0;
    if (results.length > 0 || creditBytes > 0) this.#sender.send({ results, creditBytes });
    this.#endWhenAnswered();
  }

  #endWhenAnswered(): void {
    if (this.#ended && this.#parkedCount === 0 && this.#results.length === 0) this.#sender.end();
  }
}

const done = (requestId: number, baseOffset: number): ProduceResult => ({ requestId, baseOffset, error: null });

const failed = (requestId: number, error: SluiceError): ProduceResult => ({
  requestId,
  baseOffset: 0,
  error: encodeError(error),
});
