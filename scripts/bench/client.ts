/**
 * What the client costs by itself: a producer and a consumer over the memory transport to a stub of a cluster in the same
 * process. The stub's share is in the figures, so each is a lower bound.
 */
import type { ConsumedBatch, Producer, ProducerRecord } from '../../packages/client/src/mod.ts';
import { BatchBuilder, RecordDraft, unstamped } from '../../packages/record/src/mod.ts';
import { stubClient, stubPartitions, stubTopic } from './client-stub.ts';
import type { BenchFigure } from './figure.ts';

const warmupMs = 500;
const measuredMs = 1500;
const chunkRecords = 1000;
const undecidedMax = 50_000;
const recordBytes = 100;

type SendChunk = (producer: Producer, records: readonly ProducerRecord[]) => Promise<unknown>;

/** What makes least garbage first: who comes next pays for it. */
const ways: readonly { readonly name: string; readonly send: SendChunk }[] = [
  { name: 'sendMany', send: (producer, records) => producer.sendMany(stubTopic, records) },
  { name: 'post', send: (producer, records) => posted(producer, records) },
  { name: 'send', send: (producer, records) => Promise.all(records.map((each) => producer.send(stubTopic, each))) },
];

export async function* client(): AsyncGenerator<BenchFigure, void, undefined> {
  await using sluice = await stubClient(encoded());
  const value = new Uint8Array(recordBytes).fill(7);
  const keyless = Array.from({ length: chunkRecords }, () => ({ value }));
  const keyed = Array.from({ length: chunkRecords }, (_, at) => ({ key: `key-${at}`, value }));
  for (const { name, send } of ways) {
    for (const [kind, records] of [['without keys', keyless] as const, ['with keys', keyed] as const]) {
      await using producer = sluice.producer();
      await produced(producer, send, { records, forMs: warmupMs });
      const figure = await produced(producer, send, { records, forMs: measuredMs });
      yield { name: `${name}, ${recordBytes} B ${kind}`, ...figure };
    }
  }
  const assignments = Array.from({ length: stubPartitions }, (_, partition) => ({
    topic: stubTopic,
    partition,
    from: 0,
  }));
  for (const [kind, count] of [['batches', counted] as const, ['records', decoded] as const]) {
    await using consumer = sluice.consumer({ assignments });
    await consumed(consumer.batches(), count, warmupMs);
    yield { name: `consume ${kind}, ${recordBytes} B`, ...(await consumed(consumer.batches(), count, measuredMs)) };
  }
}

/** With one callback a record, which is what it is for. */
const posted: SendChunk = (producer, records) =>
  new Promise((resolve, reject) => {
    let left = records.length;
    for (const record of records) {
      producer.post(stubTopic, record, (error) => {
        left -= 1;
        if (error !== undefined) reject(error);
        else if (left === 0) resolve(undefined);
      });
    }
  });

async function produced(
  producer: Producer,
  send: SendChunk,
  { records, forMs }: { readonly records: readonly ProducerRecord[]; readonly forMs: number },
): Promise<Pick<BenchFigure, string>> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  let undecided = 0;
  let delivered = 0;
  let wake: () => void = () => undefined;
  const fallsBelow = async (limit: number): Promise<void> => {
    while (undecided >= limit) await new Promise<void>((resolve) => (wake = resolve));
  };
  while (performance.now() - startMs < forMs) {
    await fallsBelow(undecidedMax);
    undecided += records.length;
    void send(producer, records).then(() => {
      undecided -= records.length;
      delivered += records.length;
      wake();
    });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await fallsBelow(1);
  return rate(delivered, startMs, before);
}

async function consumed(
  batches: AsyncGenerator<ConsumedBatch, void, undefined>,
  count: (batch: ConsumedBatch) => number,
  forMs: number,
): Promise<Pick<BenchFigure, string>> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  let records = 0;
  for await (const batch of batches) {
    records += count(batch);
    if (performance.now() - startMs >= forMs) break;
  }
  return rate(records, startMs, before);
}

const counted = ({ baseOffset, nextOffset }: ConsumedBatch): number => nextOffset - baseOffset;

function decoded(batch: ConsumedBatch): number {
  let records = 0;
  let bytes = 0;
  for (const { value } of batch.records()) {
    records += 1;
    bytes += value?.length ?? 0;
  }
  if (bytes !== records * recordBytes) throw new Error('the stub sends other records');
  return records;
}

function rate(records: number, startMs: number, before: NodeJS.CpuUsage): Pick<BenchFigure, string> {
  const elapsedMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(before);
  return {
    recordsPerSecond: Math.round((records * 1000) / elapsedMs),
    cpuNsPerRecord: Number((((user + system) * 1000) / Math.max(1, records)).toFixed(1)),
  };
}

function encoded(): Uint8Array {
  const builder = new BatchBuilder();
  const draft = new RecordDraft().take({ value: new Uint8Array(recordBytes).fill(7) }, 1_700_000_000_000);
  while (builder.append(draft, 256 * 1024) >= 0);
  return builder.build(unstamped);
}
