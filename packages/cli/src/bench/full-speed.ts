/** As many records as a producer takes, in chunks that are settled and counted as one: little is done per record. */
import type { SluiceError } from '@sluice/base';
import { toSluiceError } from '@sluice/base';
import type { Producer, ProducerRecord } from '@sluice/client';

export interface FullSpeedLoad {
  readonly producer: Producer;
  readonly topic: string;
  /** Values to take in turn, all of one size. */
  readonly payloads: readonly Uint8Array[];
  /** Stops after this many, or when `endMs` of `performance.now()` is over, or when interrupted. */
  readonly records: number;
  readonly endMs: number;
  readonly stop: AbortSignal;
  /** `records` were acked `tookMs` after they were handed over. */
  onAcked(records: number, tookMs: number): void;
}

const chunkBytes = 256 * 1024;
const chunkRecordsMax = 1000;
/** Undecided at once; below what a producer buffers, so that nothing but this waits for room. */
const outstandingBytesMax = 32 * 1024 * 1024;

/** Resolves when everything that was sent is acked; rejects with the first failure. */
export async function sendAtFullSpeed(load: FullSpeedLoad): Promise<void> {
  const { producer, topic } = load;
  const chunks = chunksOf(load.payloads);
  const outstanding = new Outstanding(Math.max(1, Math.floor(outstandingBytesMax / sizeOf(load.payloads))));
  let sent = 0;
  for (let at = 0; sent < load.records && performance.now() < load.endMs && !load.stop.aborted; at += 1) {
    const whole = chunks[at % chunks.length] ?? [];
    const chunk = whole.length <= load.records - sent ? whole : whole.slice(0, load.records - sent);
    await outstanding.room(chunk.length);
    const fromMs = performance.now();
    outstanding.add(
      chunk.length,
      producer.sendMany(topic, chunk).then(() => load.onAcked(chunk.length, performance.now() - fromMs)),
    );
    sent += chunk.length;
    // Acks and the producer's own writes get their turn between chunks.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await producer.flush();
  await outstanding.none();
}

const sizeOf = (payloads: readonly Uint8Array[]): number => payloads[0]?.length ?? 1;

function chunksOf(payloads: readonly Uint8Array[]): readonly (readonly ProducerRecord[])[] {
  const records = payloads.map((value): ProducerRecord => ({ value }));
  const size = Math.max(1, Math.min(chunkRecordsMax, records.length, Math.floor(chunkBytes / sizeOf(payloads))));
  return Array.from({ length: Math.floor(records.length / size) }, (_, at) =>
    records.slice(at * size, (at + 1) * size),
  );
}

/** Counts what is undecided, and lets one caller wait for it to fall. */
class Outstanding {
  readonly #recordsMax: number;
  #records = 0;
  #failure: SluiceError | undefined;
  #wake: () => void = () => undefined;

  constructor(recordsMax: number) {
    this.#recordsMax = recordsMax;
  }

  add(records: number, decided: Promise<void>): void {
    this.#records += records;
    decided
      .catch((error: unknown) => {
        this.#failure ??= toSluiceError(error);
      })
      .finally(() => {
        this.#records -= records;
        this.#wake();
      });
  }

  /** Resolves when `records` more are within the limit, or nothing is undecided. */
  room(records: number): Promise<void> {
    return this.#fallsTo(Math.max(0, this.#recordsMax - records));
  }

  none(): Promise<void> {
    return this.#fallsTo(0);
  }

  async #fallsTo(records: number): Promise<void> {
    while (this.#records > records && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}
