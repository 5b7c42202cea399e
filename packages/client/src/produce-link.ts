/**
 * The produce stream to one node, opened when there is something to send and again after it broke. Owns the stream, its
 * credit and the attempts under way on it. Owned by `Producer`; queues come by `offer`.
 *
 * L1 No batch is sent without credit, so none is sent before the server answered the opening.
 * L2 Batches of one partition go out in the order in which its queue gives them; a message holds one of each at most.
 * L3 Every attempt ends by its result or with the stream, whichever is first.
 * L4 A large batch goes in parts, in turn with those of others and behind whatever is whole; its queue gives nothing
 *    else before the last part is on its way (L2).
 */
import type { Timer } from '@sluice/base';
import { SluiceError, OncePerTurn } from '@sluice/base';
import type {
  ProduceBatch,
  ProduceRequest,
  ProduceResponse,
  ProduceResult,
  RpcClient,
  StreamSender,
} from '@sluice/wire';
import {
  Acks,
  BatchParts,
  decodeError,
  methods,
  partBytesMax,
  PartPacing,
  SendCredit,
  wholeBytesMax,
} from '@sluice/wire';
import { Backoff } from './backoff.ts';
import { connectionLost, isRefusal } from './delivery-errors.ts';
import type { PartitionQueue } from './partition-queue.ts';
import type { Attempt } from './pending-batch.ts';
import type { ClientPorts } from './ports.ts';
import type { AcksName } from './producer-options.ts';

export interface ProduceLinkOptions {
  readonly node: number;
  readonly clientId: string;
  readonly acks: AcksName;
  readonly requestTimeoutMs: number;
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  /** Undefined while metadata has none for the node. */
  readonly address: () => string | undefined;
}

interface UnderWay {
  readonly queue: PartitionQueue;
  readonly attempt: Attempt;
}

interface InParts {
  readonly requestId: number;
  readonly parts: BatchParts;
}

interface OpenStream {
  readonly sender: StreamSender<ProduceRequest>;
  readonly credit: SendCredit;
  /** By request id, oldest first. */
  readonly underWay: Map<number, UnderWay>;
  /** Batches of which parts are to be sent, by their queue (L4). */
  readonly inParts: Map<PartitionQueue, InParts>;
  readonly pacing: PartPacing;
  readonly sinceMs: number;
  opened: boolean;
}

/** Design §4: messages of 128 to 512 KiB. */
const messageBytesMax = wholeBytesMax;

export class ProduceLink {
  readonly #options: ProduceLinkOptions;
  readonly #backoff: Backoff;
  /** Queues that may have something to send, each once, in turn. */
  readonly #ready = new Set<PartitionQueue>();
  #stream: OpenStream | undefined;
  #retry: Timer | undefined;
  #watchdog: Timer | undefined;
  readonly #pumping: OncePerTurn;
  readonly #onDrained = (): void => this.#pumping.soon();
  #requestId = 0;
  #closed = false;

  constructor(options: ProduceLinkOptions) {
    this.#options = options;
    this.#pumping = new OncePerTurn(options.ports.clock, () => {
      if (!this.#closed) this.#pump();
    });
    this.#backoff = new Backoff(options.ports.random, 20, 1_000);
  }

  /** What gathers in one turn is sent together. */
  offer(queue: PartitionQueue): void {
    this.#ready.add(queue);
    this.#pumping.soon();
  }

  /** The node may be reachable now: no reason to wait any longer. */
  retryNow(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#pumping.soon();
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
    this.#watchdog?.cancel();
    this.#ready.clear();
    this.#stream?.sender.close(new SluiceError('CLOSED'));
    this.#stream = undefined;
  }

  #pump(): void {
    const stream = this.#stream;
    if (stream === undefined) return this.#ready.size === 0 ? undefined : this.#open();
    while (this.#ready.size > 0 && stream.credit.canSend) this.#sendMessage(stream);
    if (stream.inParts.size > 0) this.#sendParts(stream);
    this.#watch(stream);
  }

  /** One message: a batch of each ready queue, until it is large enough or credit is used up. */
  #sendMessage(stream: OpenStream): void {
    const batches: ProduceBatch[] = [];
    let bytes = 0;
    // Those that go to the end of the line have had their turn in this message.
    const turn = [...this.#ready];
    for (const queue of turn) {
      if (bytes >= messageBytesMax || !stream.credit.canSend) break;
      this.#ready.delete(queue);
      if (stream.inParts.has(queue)) continue;
      const taken = queue.takeFor(this.#options.node);
      if (taken === undefined) continue;
      stream.credit.take(taken.bytes.byteLength);
      this.#requestId += 1;
      stream.underWay.set(this.#requestId, { queue, attempt: taken.attempt });
      if (taken.bytes.byteLength > wholeBytesMax) {
        stream.inParts.set(queue, { requestId: this.#requestId, parts: new BatchParts(taken.bytes) });
        continue;
      }
      bytes += taken.bytes.byteLength;
      const { topicId } = queue.options;
      batches.push({
        requestId: this.#requestId,
        topicId,
        partition: queue.partition,
        batch: taken.bytes,
        moreBytes: 0,
      });
      // To the end of the line: it may have more.
      this.#ready.add(queue);
    }
    stream.pacing.onWhole(bytes);
    if (batches.length > 0) stream.sender.send({ batches });
  }

  /** A part of each large batch in turn, as far as the transport takes them at once (L4). */
  #sendParts(stream: OpenStream): void {
    for (const [queue, inParts] of stream.inParts) {
      const { requestId, parts } = inParts;
      if (!stream.pacing.take(stream.sender.bufferedBytes)) {
        return stream.sender.whenDrained(partBytesMax, this.#onDrained);
      }
      const { bytes: batch, moreBytes, continues } = parts.next();
      const target = continues ? {} : { topicId: queue.options.topicId, partition: queue.partition };
      stream.sender.send({ batches: [{ requestId, ...target, batch, moreBytes }] });
      // To the end of the line, which this loop reaches again.
      stream.inParts.delete(queue);
      if (moreBytes > 0) stream.inParts.set(queue, inParts);
      else this.offer(queue);
    }
  }

  #open(): void {
    const address = this.#options.address();
    if (this.#retry !== undefined || address === undefined) return;
    const { rpc, clientId, acks, ports } = this.#options;
    const sender = rpc.stream(methods.broker.produce, address, {
      onMessage: (response) => {
        if (this.#stream === stream) this.#onResponse(stream, response);
      },
      onClose: (error) => this.#onLost(stream, error),
    });
    const stream: OpenStream = {
      sender,
      credit: new SendCredit(),
      underWay: new Map(),
      inParts: new Map(),
      pacing: new PartPacing(),
      sinceMs: ports.clock.monotonicMs(),
      opened: false,
    };
    this.#stream = stream;
    sender.send({ open: { clientId, acks: Acks[acks] } });
    this.#watch(stream);
  }

  #onResponse(stream: OpenStream, response: ProduceResponse): void {
    stream.opened = true;
    stream.credit.grant(response.creditBytes);
    for (const result of response.results) this.#onResult(stream, result);
    this.#pumping.soon();
  }

  #onResult(stream: OpenStream, result: ProduceResult): void {
    const found = stream.underWay.get(result.requestId);
    if (found === undefined) return;
    stream.underWay.delete(result.requestId);
    this.#backoff.reset();
    const { queue, attempt } = found;
    if (result.error === null) queue.onDelivered(attempt, result.baseOffset);
    else queue.onFailed(attempt, decodeError(result.error));
  }

  #onLost(stream: OpenStream, error: SluiceError | undefined): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    this.#retry = this.#options.ports.clock.setTimer(this.#backoff.nextMs(), () => this.retryNow());
    const lost = connectionLost(error);
    for (const queue of stream.inParts.keys()) this.#ready.add(queue);
    for (const { queue, attempt } of stream.underWay.values()) queue.onFailed(attempt, lost);
    if (stream.opened) return;
    for (const queue of this.#ready) queue.onUnsent(this.#options.node, error ?? lost, isRefusal(error));
  }

  /** A node that neither answers nor closes is left for lost; whoever leads then is found by metadata. */
  #watch(stream: OpenStream): void {
    if (this.#watchdog !== undefined || this.#stream !== stream) return;
    const dueMs = this.#unansweredSinceMs(stream) + this.#options.requestTimeoutMs;
    if (dueMs === Infinity) return;
    const { clock } = this.#options.ports;
    this.#watchdog = clock.setTimer(Math.max(0, dueMs - clock.monotonicMs()), () => {
      this.#watchdog = undefined;
      const sinceMs = this.#unansweredSinceMs(stream);
      if (clock.monotonicMs() - sinceMs < this.#options.requestTimeoutMs) return this.#watch(stream);
      const message = `Node ${this.#options.node} left a request unanswered for ${this.#options.requestTimeoutMs} ms.`;
      const error = new SluiceError('CONNECTION_LOST', { message });
      stream.sender.close(error);
      this.#onLost(stream, error);
    });
  }

  /** Infinity when nothing waits for an answer. */
  #unansweredSinceMs(stream: OpenStream): number {
    if (!stream.opened) return stream.sinceMs;
    for (const { attempt } of stream.underWay.values()) return attempt.sentMs;
    return Infinity;
  }
}
