/**
 * Producers and consumers of one topic that write down what they do: numbered records, sessions that end and begin anew
 * while the old ones still send (zombies), consumers that are slow; in the end a read of everything. The same for
 * simulated clusters and for real ones.
 */
import { utf8Decode } from '@sluice/base';
import type { Random } from '@sluice/base';
import type { ConsumedBatch, Producer, Sluice } from '@sluice/client';
import type { HistoryRecorder } from './history-recorder.ts';
import type { Surroundings } from './surroundings.ts';
import { Trimmer } from './trimmer.ts';

export type { Surroundings };

export interface RecordClientsOptions {
  readonly topic: string;
  readonly partitions: number;
  readonly producers: number;
  readonly consumers: number;
  /** The mean time between two sends of one producer. */
  readonly everyMs: number;
  /** Of half of the sends: up to as many records of one key, which go in one batch. Default 1. */
  readonly recordsAtOnceMax?: number;
  readonly keys: number;
  /** One send in so many begins a new session of its producer; the old one goes on beside it. */
  readonly newSessionOneIn: number;
  readonly deliveryTimeoutMs: number;
  /** A slow consumer waits up to this long before it takes the next batch. */
  readonly slowMsMax: number;
  /** Between two trims, on average; absent: nothing is trimmed. A consumer that reads on from what is gone would fail. */
  readonly trimEveryMs?: number;
}

interface Session {
  readonly name: string;
  readonly producer: Producer;
}

const closeLimitMs = 60_000;

export class RecordClients {
  readonly #surroundings: Surroundings;
  readonly #recorder: HistoryRecorder;
  readonly #options: RecordClientsOptions;
  readonly #random: Random;
  readonly #sluices: Sluice[] = [];
  readonly #reading: Promise<void>[] = [];
  /** By partition. */
  readonly #ackedEnds = new Map<number, number>();
  readonly #trimmer: Trimmer | undefined;
  #sessions = 0;
  #sent = 0;
  #undecided = 0;
  #stopped = false;

  /** The topic exists. */
  constructor(surroundings: Surroundings, recorder: HistoryRecorder, options: RecordClientsOptions) {
    this.#surroundings = surroundings;
    this.#recorder = recorder;
    this.#options = options;
    this.#random = surroundings.random.fork(`clients of ${options.topic}`);
    const { trimEveryMs, topic } = options;
    if (trimEveryMs !== undefined) {
      const trims = { topic, everyMs: trimEveryMs, ackedEnds: this.#ackedEnds };
      this.#trimmer = new Trimmer(surroundings, this.#random.fork('trimmer'), trims);
    }
    for (let producer = 1; producer <= options.producers; producer += 1) {
      const random = this.#random.fork(`producer ${producer}`);
      this.#sendLater(producer, random, [this.#session(producer)]);
    }
    for (let consumer = 1; consumer <= options.consumers; consumer += 1) {
      this.#reading.push(this.#consume(`consumer-${consumer}`, this.#random.fork(`consumer ${consumer}`)));
    }
  }

  get sent(): number {
    return this.#sent;
  }

  get trims(): number {
    return this.#trimmer?.count ?? 0;
  }

  /** Sends no more; every send is decided, and everything open is closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const surroundings = this.#surroundings;
    const decidedMs = this.#options.deliveryTimeoutMs + 30_000;
    await surroundings.until('all sends are decided', decidedMs, () => this.#undecided === 0);
    await this.#trimmer?.stop(closeLimitMs);
    const closing = this.#sluices.map((sluice) => sluice.close());
    await surroundings.settle('clients close', closeLimitMs, Promise.all(closing));
    await surroundings.settle('consumers end', closeLimitMs, Promise.all(this.#reading));
  }

  /** After `stop`, on a whole cluster: a read of everything by a client of its own. */
  async readInTheEnd(limitMs: number): Promise<void> {
    const surroundings = this.#surroundings;
    const sluice = surroundings.client(`final-${this.#options.topic}`);
    await surroundings.settle('everything is read in the end', limitMs, this.#readAll(sluice));
    await surroundings.settle('the final reader closes', closeLimitMs, sluice.close());
  }

  #session(producer: number): Session {
    this.#sessions += 1;
    const name = `producer-${producer}.${this.#sessions}`;
    const sluice = this.#surroundings.client(name);
    this.#sluices.push(sluice);
    const made = sluice.producer({ deliveryTimeoutMs: this.#options.deliveryTimeoutMs });
    return { name, producer: made };
  }

  /** `sessions`: the newest, and the one before it, which does not know that it was replaced. */
  #sendLater(producer: number, random: Random, sessions: readonly Session[]): void {
    this.#surroundings.schedule(random.below(2 * this.#options.everyMs * 1000), `producer-${producer}`, () => {
      if (this.#stopped) return;
      const isRenewed = random.below(this.#options.newSessionOneIn) === 0;
      const now = isRenewed ? [this.#session(producer), ...sessions.slice(0, 1)] : sessions;
      const session = now[random.below(now.length)];
      const count = this.#drawCount(random);
      if (session !== undefined) this.#sendAll(session, count);
      this.#sendLater(producer, random, now);
    });
  }

  #drawCount(random: Random): number {
    const { recordsAtOnceMax = 1 } = this.#options;
    return recordsAtOnceMax === 1 || random.below(2) === 0 ? 1 : 1 + random.below(recordsAtOnceMax);
  }

  #sendAll(session: Session, count: number): void {
    const key = `key-${(this.#sent + 1) % this.#options.keys}`;
    for (let at = 0; at < count; at += 1) this.#send(session, key);
  }

  #send({ name, producer }: Session, key: string): void {
    const { topic } = this.#options;
    this.#sent += 1;
    const value = String(this.#sent);
    const operation = this.#recorder.invoke({ action: 'send', client: name, topic, value });
    this.#undecided += 1;
    const taken = producer.post(topic, { key, value }, (error, delivery) => {
      this.#undecided -= 1;
      if (error !== undefined) return this.#recorder.failed(operation, error);
      const { partition, offset } = delivery;
      this.#ackedEnds.set(partition, Math.max(offset + 1, this.#ackedEnds.get(partition) ?? 0));
      return this.#recorder.acknowledged(operation, partition, offset);
    });
    if (taken) return;
    this.#undecided -= 1;
    this.#recorder.refused(operation, 'BUFFER_FULL');
  }

  async #consume(name: string, random: Random): Promise<void> {
    const { topic, partitions, slowMsMax } = this.#options;
    const sluice = this.#surroundings.client(name);
    this.#sluices.push(sluice);
    const all = Array.from({ length: partitions }, (_, partition) => partition);
    for (const partition of all) this.#recorder.assigned({ client: name, topic, partition, offset: 0 });
    const assignments = all.map((partition) => ({ topic, partition, from: 'start' as const }));
    const consumer = sluice.consumer({ assignments });
    for await (const batch of consumer.batches()) {
      this.#record(name, batch);
      if (slowMsMax > 0) await this.#pause(random.below(slowMsMax));
    }
  }

  #record(client: string, batch: ConsumedBatch): void {
    const { topic, partition } = batch;
    const operation = this.#recorder.invoke({ action: 'poll', client, topic, partition });
    const records = [...batch.records()];
    this.#recorder.succeeded(operation, {
      offsets: records.map(({ offset }) => offset),
      values: records.map(({ value }) => textOf(value)),
    });
  }

  async #readAll(sluice: Sluice): Promise<void> {
    const { topic } = this.#options;
    for (const { partition, logStart, highWatermark } of await sluice.admin.listOffsets(topic)) {
      const client = `final-${partition}`;
      const operation = this.#recorder.invoke({ action: 'poll', client, topic, partition, final: true });
      const read: { offsets: number[]; values: string[] } = { offsets: [], values: [] };
      if (highWatermark > logStart) {
        const consumer = sluice.consumer({ assignments: [{ topic, partition, from: 'start' }] });
        for await (const batch of consumer.batches()) {
          for (const { offset, value } of batch.records()) {
            read.offsets.push(offset);
            read.values.push(textOf(value));
          }
          if (batch.nextOffset >= highWatermark) break;
        }
        await consumer.close();
      }
      const undone = logStart < (this.#trimmer?.doneBelow(partition) ?? 0);
      if (undone) throw new Error(`${topic}/${partition} was trimmed further than ${logStart}, where it starts`);
      // What is gone and was asked of nobody is lost, wherever the log starts.
      const asked = this.#trimmer?.askedBelow(partition) ?? 0;
      this.#recorder.succeeded(
        operation,
        asked === 0 ? read : { ...read, logStart: Math.min(logStart, asked), trimAskedBelow: asked },
      );
    }
  }

  #pause(forMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#surroundings.schedule(forMs * 1000, 'slow consumer', resolve);
    });
  }
}

const textOf = (value: Uint8Array | null): string => (value === null ? undefined : utf8Decode(value)) ?? '';
