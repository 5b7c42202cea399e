/**
 * The produce stream: checks batches, hands them to their partitions, answers when the acks asked for are there.
 *
 * P1. A batch's bytes count against the stream's credit from its arrival to its answer: what is parked is bounded.
 * P2. Results of one turn travel in one message.
 * P3. A bad batch fails alone; a broken stream rule (no open, credit overrun) ends the stream.
 */
import { SluiceError, OncePerTurn } from '@sluice/base';
import type { Clock } from '@sluice/base';
import { topicConfigTable } from '@sluice/metadata';
import type { MetadataFeed } from '@sluice/metadata';
import type { Acks } from '@sluice/partition';
import { batchBytesMaxFor, batchError, checkProduceBatch } from '@sluice/record';
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
import type { NodeIdentity } from './node-identity.ts';
import type { PartitionHosts } from './partition-hosts.ts';
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
}

/** No topic takes more. */
const batchBytesMax = batchBytesMaxFor(topicConfigTable.recordBytesMax.max);

const acksOf = (acks: WireAcks): Acks => {
  if (acks === WireAcks.leader) return 'leader';
  return acks === WireAcks.none ? 'none' : 'all';
};

export class ProduceService {
  readonly #options: ProduceServiceOptions;

  constructor(options: ProduceServiceOptions) {
    this.#options = options;
  }

  serve(clients: Dispatcher): void {
    clients.stream(methods.broker.produce, (_call, sender) => new ProduceStream(this.#options, sender));
  }
}

class ProduceStream implements StreamReceiver<ProduceRequest> {
  readonly #options: ProduceServiceOptions;
  readonly #sender: StreamSender<ProduceResponse>;
  readonly #credit: ReceiveCredit;
  #acks: Acks | undefined;
  #results: ProduceResult[] = [];
  #creditBytes = 0;
  readonly #flushing: OncePerTurn;
  #parkedCount = 0;
  #ended = false;
  #closed = false;

  constructor(options: ProduceServiceOptions, sender: StreamSender<ProduceResponse>) {
    this.#options = options;
    this.#flushing = new OncePerTurn(options.clock, () => this.#flush());
    this.#sender = sender;
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
    for (const batch of request.batches) this.#append(batch, atMs);
  }

  /** What was accepted is still answered. */
  onEnd(): void {
    this.#ended = true;
    this.#endWhenAnswered();
  }

  onClose(): void {
    this.#closed = true;
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

  #append(request: ProduceBatch, atMs: number): void {
    const { requestId, batch } = request;
    // Throws on overrun: the stream ends (P3).
    this.#credit.onReceived(batch.byteLength);
    this.#parkedCount += 1;
    const refused = (error: SluiceError): void => this.#answer(batch.byteLength, failed(requestId, error));
    const host = this.#options.hosts.leadingNamed(request.topicId, request.partition);
    if (host instanceof SluiceError) return refused(host);
    const topic = this.#options.feed.image.topic(host.id.topicId);
    const limit = batchBytesMaxFor(topic?.config.recordBytesMax ?? 0);
    const checked = checkProduceBatch(batch, { batchBytesMax: limit });
    if (!checked.ok) return refused(batchError(checked.problem));
    const header = checked.value;
    if (header.producerId >= this.#options.feed.image.nextProducerId) {
      return refused(new SluiceError('UNKNOWN_PRODUCER_ID', { details: { producerId: header.producerId } }));
    }
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
