/**
 * One node that is all a client needs to believe in a cluster: it leads every partition of one topic, answers each batch
 * at once and keeps nothing; whoever fetches gets the same batch again and again, as fast as credit allows.
 */
import { offset, leaderEpoch, SeededRandom, silentLogger, topicId } from '../../packages/base/src/mod.ts';
import { Sluice } from '../../packages/client/src/mod.ts';
import { patchBatch, readBatchHeader } from '../../packages/record/src/mod.ts';
import {
  defaultLimits,
  Dispatcher,
  MemoryNetwork,
  MemoryTransport,
  methods,
  SendCredit,
  SystemClock,
} from '../../packages/wire/src/mod.ts';
import type {
  FetchRequest,
  FetchResponse,
  ProduceRequest,
  ProduceResponse,
  StreamSender,
} from '../../packages/wire/src/mod.ts';

export const stubTopic = 'bench';
export const stubPartitions = 6;
const address = 'stub:7650';
const id = topicId('1'.repeat(32));
const creditBytes = 8 * 1024 * 1024;
const runsPerTurn = 8;
const endless = 2 ** 40;

const partitions = Array.from({ length: stubPartitions }, (_, partition) => ({
  partition,
  leader: 1,
  leaderEpoch: 1,
  replicas: [1],
  isr: [1],
  elr: [],
  partitionEpoch: 1,
}));

const update = {
  clusterId: 'c'.repeat(32),
  metadataIndex: 1,
  controllerLeader: 1,
  nodes: [{ nodeId: 1, address, rack: '', up: true }],
  topics: [{ topicId: id, name: stubTopic, config: { recordBytesMax: '1048576' }, partitions }],
};

/** A client in this process, and the stub that it talks to. `fetched` is what a consumer gets. */
export async function stubClient(fetched: Uint8Array): Promise<Sluice> {
  const clock = new SystemClock();
  const network = new MemoryNetwork({ clock });
  const dispatcher = new Dispatcher({
    face: 'client',
    listener: 'main',
    limits: defaultLimits.client,
    logger: silentLogger,
    clock,
    authorize: () => true,
  });
  dispatcher.stream(methods.admin.watchMetadata, (_call, sender) => ({
    onMessage: () => sender.send(update),
    onClose: () => undefined,
  }));
  dispatcher.unary(methods.broker.initProducer, async () => ({ producerId: 1, producerEpoch: 0 }));
  dispatcher.stream(methods.broker.produce, (_call, sender) => new StubLeader(sender));
  dispatcher.stream(methods.broker.fetch, (_call, sender) => new StubReader(sender, fetched, clock));
  await new MemoryTransport(network, 'stub').listen(address, dispatcher.accept);
  const random = new SeededRandom(1);
  return new Sluice({
    bootstrap: [address],
    ports: { transport: new MemoryTransport(network, 'client'), clock, random },
  });
}

class StubLeader {
  readonly #sender: StreamSender<ProduceResponse>;
  readonly #ends = Array.from({ length: stubPartitions }, () => 0);

  constructor(sender: StreamSender<ProduceResponse>) {
    this.#sender = sender;
  }

  onMessage({ open, batches }: ProduceRequest): void {
    if (open !== null) this.#sender.send({ opened: { nodeId: 1, batchBytesMax: creditBytes }, creditBytes });
    if (batches.length === 0) return;
    let bytes = 0;
    const results = batches.map(({ requestId, partition, batch }) => {
      bytes += batch.length;
      const header = readBatchHeader(batch);
      const baseOffset = this.#ends[partition] ?? 0;
      this.#ends[partition] = baseOffset + (header.ok ? header.value.recordCount : 0);
      return { requestId, baseOffset };
    });
    this.#sender.send({ results, creditBytes: bytes });
  }

  onClose(): void {}
}

class StubReader {
  readonly #sender: StreamSender<FetchResponse>;
  readonly #batch: Uint8Array;
  readonly #records: number;
  readonly #credit = new SendCredit();
  readonly #clock: SystemClock;
  readonly #next = new Map<number, number>();
  #pumping = false;
  #over = false;

  constructor(sender: StreamSender<FetchResponse>, batch: Uint8Array, clock: SystemClock) {
    this.#sender = sender;
    this.#batch = batch;
    this.#clock = clock;
    const header = readBatchHeader(batch);
    this.#records = header.ok ? header.value.recordCount : 1;
  }

  onMessage(request: FetchRequest): void {
    for (const { subscription, fromOffset } of request.start) this.#next.set(subscription, fromOffset);
    for (const subscription of request.stop) this.#next.delete(subscription);
    this.#credit.grant(request.creditBytes);
    this.#pump();
  }

  onClose(): void {
    this.#over = true;
  }

  #pump(): void {
    if (this.#pumping || this.#over || !this.#credit.canSend) return;
    this.#pumping = true;
    this.#clock.defer(() => {
      this.#pumping = false;
      if (this.#over) return;
      for (let sent = 0; sent < runsPerTurn; sent += 1) {
        for (const [subscription, next] of this.#next) if (this.#credit.canSend) this.#send(subscription, next);
      }
      this.#pump();
    });
  }

  #send(subscription: number, baseOffset: number): void {
    const nextOffset = baseOffset + this.#records;
    const batch = this.#batch.slice();
    patchBatch(batch, 0, { baseOffset: offset(baseOffset), leaderEpoch: leaderEpoch(1) });
    this.#credit.take(batch.length);
    this.#next.set(subscription, nextOffset);
    this.#sender.send({ runs: [{ subscription, batches: [batch], nextOffset, highWatermark: endless, logStart: 0 }] });
  }
}
