/** A client's ends of the produce and fetch streams, without any cleverness: what is sent and heard is the test's. */
import type { SluiceError, TopicId } from '@sluice/base';
import { BatchBuilder, batchesIn, draftOf, unstamped } from '@sluice/record';
import type { BatchStamp } from '@sluice/record';
import { Acks, decodeError, methods } from '@sluice/wire';
import type { FetchedRun, FetchRequest, Partially, ProduceRequest, StreamSender } from '@sluice/wire';
import { clientAddress } from './broker-cluster.testing.ts';
import type { BrokerCluster } from './broker-cluster.testing.ts';

/** A batch as a producer sends it. */
export function producedBatch(
  options: { valueBytes?: number; records?: number; stamp?: BatchStamp; timestampMs?: number } = {},
): Uint8Array {
  const { valueBytes = 10, records = 1, stamp = unstamped, timestampMs = 1_700_000_000_000 } = options;
  const builder = new BatchBuilder();
  for (let at = 0; at < records; at += 1) {
    const value = new Uint8Array(valueBytes).fill(at);
    builder.append(draftOf({ timestamp: timestampMs, key: null, value, headers: [] }));
  }
  return builder.build(stamp);
}

export class ProduceClient {
  /** By request id: the offset, or the code of the error. */
  readonly results = new Map<number, number | string>();
  readonly definite = new Map<number, boolean>();
  creditBytes = 0;
  sentBytes = 0;
  messages = 0;
  closed: SluiceError | 'success' | undefined;
  readonly #sender: StreamSender<ProduceRequest>;
  #count = 0;

  constructor(cluster: BrokerCluster, id: number, acks: Acks = Acks.all) {
    this.#sender = cluster.rpc.stream(methods.broker.produce, clientAddress(id), {
      onMessage: (response) => {
        this.messages += 1;
        this.creditBytes += response.creditBytes;
        for (const { requestId, baseOffset, error } of response.results) {
          const failure = error === null ? undefined : decodeError(error);
          if (failure !== undefined) this.definite.set(requestId, failure.definite);
          this.results.set(requestId, failure?.code ?? baseOffset);
        }
      },
      onClose: (error) => {
        this.closed = error ?? 'success';
      },
    });
    this.#sender.send({ open: { clientId: 'test', acks } });
  }

  /** Returns the request id. */
  send(topicId: TopicId | string, batch: Uint8Array, partition = 0): number {
    this.#count += 1;
    this.sentBytes += batch.byteLength;
    this.#sender.send({ batches: [{ requestId: this.#count, topicId, partition, batch }] });
    return this.#count;
  }

  /** Anything; returns nothing and counts nothing. */
  sendRaw(batches: Partially<ProduceRequest>['batches']): void {
    this.#sender.send({ batches });
  }

  sendMany(topicId: TopicId, batches: readonly Uint8Array[]): void {
    this.#sender.send({
      batches: batches.map((batch) => {
        this.#count += 1;
        return { requestId: this.#count, topicId, partition: 0, batch };
      }),
    });
  }

  end(): void {
    this.#sender.end();
  }

  close(): void {
    this.#sender.close();
  }
}

export class FetchClient {
  readonly runs: FetchedRun[] = [];
  readonly failures = new Map<number, string>();
  receivedBytes = 0;
  closed: SluiceError | 'success' | undefined;
  readonly #sender: StreamSender<FetchRequest>;

  constructor(cluster: BrokerCluster, id: number, takesParts = false) {
    this.#sender = cluster.rpc.stream(methods.broker.fetch, clientAddress(id), {
      onMessage: (response) => {
        for (const run of response.runs) {
          this.runs.push(run);
          for (const batch of run.batches) this.receivedBytes += batch.byteLength;
        }
        for (const { subscription, error } of response.failures) {
          this.failures.set(subscription, error === null ? 'none' : decodeError(error).code);
        }
      },
      onClose: (error) => {
        this.closed = error ?? 'success';
      },
    });
    this.#sender.send({ open: { clientId: 'test', takesParts } });
  }

  send(request: Partially<FetchRequest>): void {
    this.#sender.send(request);
  }

  read(topicId: TopicId, subscription: number, creditBytes: number, fromOffset = 0): void {
    this.send({ start: [{ subscription, topicId, partition: 0, fromOffset, leaderEpoch: -1 }], creditBytes });
  }

  /** Base offsets of all batches of a subscription, in the order in which they came. */
  offsets(subscription: number): readonly number[] {
    return this.runs
      .filter((run) => run.subscription === subscription)
      .flatMap((run) =>
        run.batches.flatMap((bytes) => [...batchesIn(bytes)].map((found) => (found.ok ? found.header.baseOffset : -1))),
      );
  }

  close(): void {
    this.#sender.close();
  }
}
