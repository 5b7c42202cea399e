/**
 * A producer and a reader of a simulated cluster: numbered, keyed records at an even rate, the producer's own book of
 * acks, and what is read back. `ledger.ts` counts one against the other.
 */
import { SluiceError, utf8Decode } from '@sluice/base';
import { Sluice } from '@sluice/client';
import type { Producer, ProducerOptions } from '@sluice/client';
import { MemoryTransport } from '@sluice/wire';
import type { PlacedRecord } from './ledger.ts';
import type { Surroundings } from './surroundings.ts';
import type { SimCluster } from './sim-cluster.ts';
import { SimClock } from './sim-clock.ts';

/** A client on a machine of its own. */
export function simClient(cluster: SimCluster, name: string): Sluice {
  const { simulation, network, bootstrap } = cluster;
  return new Sluice({
    bootstrap,
    clientId: name,
    ports: {
      transport: new MemoryTransport(network, name),
      clock: new SimClock(simulation, name),
      random: simulation.random.fork(name),
    },
  });
}

export function simSurroundings(cluster: SimCluster): Surroundings {
  const { simulation } = cluster;
  return {
    random: simulation.random,
    client: (name) => simClient(cluster, name),
    schedule: (delayUs, what, run) => void simulation.schedule(delayUs, what, run),
    until: (what, limitMs, isDone) => simulation.until(what, limitMs, isDone),
    settle: (what, limitMs, promise) => simulation.settle(what, limitMs, promise),
  };
}

export interface SimLoadOptions {
  readonly topic: string;
  readonly everyMs: number;
  /** Distinct keys, spread over the partitions. */
  readonly keys: number;
  /** Of each value; default: as many as its number has digits. */
  readonly valueBytes?: number;
  readonly producer?: ProducerOptions;
}

export class SimLoad {
  readonly acked: PlacedRecord[] = [];
  readonly failures: SluiceError[] = [];
  readonly producer: Producer;
  readonly #cluster: SimCluster;
  readonly #options: SimLoadOptions;
  readonly #sluice: Sluice;
  #sent = 0;
  #stopped = false;

  constructor(cluster: SimCluster, options: SimLoadOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#sluice = simClient(cluster, 'load');
    this.producer = this.#sluice.producer(options.producer ?? {});
    this.#sendLater();
  }

  /** Ids given out so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Sends no more, and runs until everything sent is decided. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#cluster.simulation.settle('all sends decided', 150_000, this.producer.flush());
    await this.#cluster.simulation.settle('client closed', 20_000, this.#sluice.close());
  }

  #sendLater(): void {
    this.#cluster.simulation.schedule(this.#options.everyMs * 1000, 'load', () => {
      if (this.#stopped) return;
      this.#send();
      this.#sendLater();
    });
  }

  #send(): void {
    const { topic, keys, valueBytes = 0 } = this.#options;
    const id = this.#sent;
    const taken = this.producer.post(
      topic,
      { key: `key-${id % keys}`, value: String(id).padStart(valueBytes, '0') },
      (error, delivery) => {
        if (error === undefined) this.acked.push({ id, partition: delivery.partition, offset: delivery.offset });
        else this.failures.push(error);
      },
    );
    if (taken) this.#sent += 1;
  }
}

/** Everything that can be read of a topic now, partition by partition in the order of reading. */
export async function readBack(cluster: SimCluster, topic: string, name = 'reader'): Promise<readonly PlacedRecord[]> {
  const { simulation } = cluster;
  const sluice = simClient(cluster, name);
  const bounds = await simulation.settle('bounds', 60_000, sluice.admin.listOffsets(topic));
  const consumed: PlacedRecord[] = [];
  const missing = new Set(bounds.filter((each) => each.highWatermark > each.logStart).map((each) => each.partition));
  const consumer = sluice.consumer({
    assignments: bounds.map(({ partition }) => ({ topic, partition, from: 'start' as const })),
  });
  const read = async (): Promise<void> => {
    if (missing.size === 0) return;
    for await (const batch of consumer.batches()) {
      for (const record of batch.records()) {
        consumed.push({ id: idOf(record.value), partition: batch.partition, offset: record.offset });
      }
      const end = bounds[batch.partition]?.highWatermark ?? 0;
      if (batch.nextOffset >= end) missing.delete(batch.partition);
      if (missing.size === 0) return;
    }
  };
  await simulation.settle('everything read back', 60_000, read());
  await simulation.settle('reader closed', 20_000, sluice.close());
  return consumed;
}

function idOf(value: Uint8Array | null): number {
  const text = value === null ? undefined : utf8Decode(value);
  if (text === undefined || !/^\d+$/.test(text))
    throw new SluiceError('CORRUPT_BATCH', { message: 'not a value of the load' });
  return Number(text);
}
