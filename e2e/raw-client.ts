/**
 * Calls as no well-behaved client makes them: any batch, any bytes, any order. For tests that show what a node answers
 * to bad input; a stream that the node closes rejects whoever waits on it.
 */
import { SluiceError, toSluiceError } from '@sluice/base';
import type { TransportStream } from '@sluice/base';
import { Acks, decodeError, GrpcTransport, methods, RpcClient, SystemClock } from '@sluice/wire';
import type {
  ErrorDetail,
  FetchedRun,
  FetchRequest,
  FetchResponse,
  Partially,
  ProduceBatch,
  ProduceRequest,
  ProduceResponse,
  ProduceResult,
  StreamSender,
} from '@sluice/wire';
import { batchOf } from './raw-batch.ts';
import { until } from './until.ts';

const answerTimeoutMs = 10_000;

export class RawClient implements Disposable {
  readonly transport = new GrpcTransport({ clock: new SystemClock(), messageBytesMax: 64 * 1024 * 1024 });
  readonly rpc = new RpcClient(this.transport);

  produce(address: string, acks: Acks = Acks.all): RawProduce {
    const stream = this.unopened(address);
    stream.send({ open: { clientId: 'raw', acks } });
    return stream;
  }

  /** A produce stream on which nothing was said yet. */
  unopened(address: string): RawProduce {
    return new RawProduce(this.rpc, address);
  }

  fetch(address: string): RawFetch {
    return new RawFetch(this.rpc, address);
  }

  /** Sends messages that need not be any, and resolves with how the call ended; undefined: with success. */
  bytes(address: string, path: string, messages: readonly Uint8Array[]): Promise<SluiceError | undefined> {
    return new Promise((resolve) => {
      const handlers = { onMessage: () => undefined, onEnd: () => undefined, onClose: resolve };
      const stream: TransportStream = this.transport.open(address, path, handlers, { timeoutMs: answerTimeoutMs });
      for (const message of messages) stream.send([message]);
      stream.end();
    });
  }

  [Symbol.dispose](): void {
    this.transport.close();
  }
}

/**
 * Writes past a client's retries, one batch after the other, to a partition that the node leads. Resolves when the first
 * was acked; `refusal` is what ended it.
 */
export async function sendUntilRefused(
  address: string,
  topicId: string,
  partition: number,
): Promise<{ readonly refusal: Promise<SluiceError> }> {
  await using open = new AsyncDisposableStack();
  const raw = open.use(new RawClient());
  const stream = raw.produce(address);
  const send = (): Promise<number> => stream.append(topicId, partition, batchOf(['unread']));
  await send();
  const owned = open.move();
  const untilRefused = async (): Promise<SluiceError> => {
    await using _ = owned;
    for (;;) {
      try {
        await send();
      } catch (error) {
        return toSluiceError(error);
      }
    }
  };
  return { refusal: untilRefused() };
}

export class RawProduce {
  /** In the order of their arrival. */
  readonly results: ProduceResult[] = [];
  /** Granted and not used up; the raw side may go on when it is negative. */
  creditBytes = 0;
  batchBytesMax = 0;
  readonly #ending = new Ending();
  readonly #sender: StreamSender<ProduceRequest>;
  #requestId = 0;

  constructor(rpc: RpcClient, address: string) {
    this.#sender = rpc.stream(methods.broker.produce, address, {
      onMessage: (response: ProduceResponse) => {
        this.results.push(...response.results);
        this.creditBytes += response.creditBytes;
        this.batchBytesMax = response.opened?.batchBytesMax ?? this.batchBytesMax;
      },
      onClose: (error) => this.#ending.close(error),
    });
  }

  send(request: Partially<ProduceRequest>): void {
    this.#sender.send(request);
  }

  /** Resolves with the base offset, rejects with the error of the batch or of the stream. */
  async append(topicId: string, partition: number, batch: Uint8Array): Promise<number> {
    this.#requestId += 1;
    const requestId = this.#requestId;
    return this.appendAs({ requestId, topicId, partition, batch });
  }

  async appendAs(batch: Omit<ProduceBatch, 'moreBytes'>): Promise<number> {
    this.send({ batches: [batch] });
    return this.result(batch.requestId);
  }

  async result(requestId: number, timeoutMs = answerTimeoutMs): Promise<number> {
    const result = await this.#ending.unless(
      () => this.results.find((one) => one.requestId === requestId),
      `an answer to batch ${requestId}`,
      timeoutMs,
    );
    if (result.error !== null) throw decodeError(result.error);
    return result.baseOffset;
  }

  /** What the node closed the stream with. */
  closed(): Promise<SluiceError | undefined> {
    return this.#ending.inTime();
  }

  get isClosed(): boolean {
    return this.#ending.isClosed;
  }

  close(): void {
    this.#sender.close(new SluiceError('CANCELLED'));
  }
}

export class RawFetch {
  readonly runs: FetchedRun[] = [];
  readonly failures = new Map<number, ErrorDetail>();
  readonly #ending = new Ending();
  readonly #sender: StreamSender<FetchRequest>;

  constructor(rpc: RpcClient, address: string) {
    this.#sender = rpc.stream(methods.broker.fetch, address, {
      onMessage: (response: FetchResponse) => {
        this.runs.push(...response.runs);
        for (const { subscription, error } of response.failures) {
          if (error !== null) this.failures.set(subscription, error);
        }
      },
      onClose: (error) => this.#ending.close(error),
    });
  }

  send(request: Partially<FetchRequest>): void {
    this.#sender.send(request);
  }

  /** The first run of a subscription; rejects with its failure. */
  async run(subscription: number): Promise<FetchedRun> {
    const look = (): FetchedRun | ErrorDetail | undefined =>
      this.failures.get(subscription) ?? this.runs.find((run) => run.subscription === subscription);
    const found = await this.#ending.unless(look, `a run of subscription ${subscription}`, answerTimeoutMs);
    if ('code' in found) throw decodeError(found);
    return found;
  }

  closed(): Promise<SluiceError | undefined> {
    return this.#ending.inTime();
  }

  close(): void {
    this.#sender.close(new SluiceError('CANCELLED'));
  }
}

/** The end of a stream, for those who wait for something else of it. */
class Ending {
  isClosed = false;
  #error: SluiceError | undefined;

  close(error: SluiceError | undefined): void {
    this.isClosed = true;
    this.#error = error;
  }

  async inTime(): Promise<SluiceError | undefined> {
    await until(() => this.isClosed || undefined, { what: 'the end of the stream', timeoutMs: answerTimeoutMs });
    return this.#error;
  }

  async unless<Value>(look: () => Value | undefined, what: string, timeoutMs: number): Promise<Value> {
    const found = await until(() => look() ?? (this.isClosed ? ('closed' as const) : undefined), {
      what,
      timeoutMs,
      everyMs: 2,
    });
    if (found !== 'closed') return found;
    throw this.#error ?? new SluiceError('CLOSED', { message: `The stream ended before ${what}.` });
  }
}
