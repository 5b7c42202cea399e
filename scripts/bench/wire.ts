/**
 * The way of a batch from a producer to a broker without broker and disk: messages one way, small acks the other, to a
 * second process over loopback. Both lanes of our transport, and below them what Node itself gives: HTTP/2 streams, TCP,
 * and copying in memory. Then the codecs of a produce request.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { methods } from '../../packages/wire/src/mod.ts';
import { methodCodec } from '../../packages/wire/src/proto-codec.ts';
import type { BenchFigure } from './figure.ts';
import { openLane, wireLanes } from './wire-lanes.ts';
import type { WireLane } from './wire-lanes.ts';
import type { SinkAddresses } from './wire-sink.ts';

const messageSizes = [256 * 1024, 16 * 1024, 1024] as const;
/** The lanes take turns, so that whatever else the machine does slows all of them; the first turn is the warm-up. */
const turns = 6;
const turnMs = 250;
const warmupMs = 200;
const measuredMs = 500;
/** Sent and not acked; a produce stream has about as much credit. */
const windowBytes = 4 * 1024 * 1024;

export async function* wire(): AsyncGenerator<BenchFigure, void, undefined> {
  const sink = fork(fileURLToPath(new URL('wire-sink.ts', import.meta.url)));
  try {
    const [addresses] = (await once(sink, 'message')) as [SinkAddresses];
    for (const messageBytes of messageSizes) {
      yield* laneFigures(addresses, messageBytes);
      yield copyFigure(messageBytes);
    }
  } finally {
    await ended(sink);
  }
  yield* codecFigures();
}

/** The median of the turns. */
async function* laneFigures(addresses: SinkAddresses, messageBytes: number): AsyncGenerator<BenchFigure, void> {
  const loads = wireLanes.map((lane) => ({
    lane,
    load: new LaneLoad(lane, addresses, messageBytes),
    counts: [] as Count[],
  }));
  try {
    for (let turn = 0; turn < turns; turn += 1) {
      for (const { load, counts } of loads) {
        const count = await load.run(turnMs);
        if (turn > 0) counts.push(count);
      }
    }
  } finally {
    for (const { load } of loads) load.close();
  }
  for (const { lane, counts } of loads) {
    const bySpeed = counts.toSorted((one, other) => one.messages / one.elapsedMs - other.messages / other.elapsedMs);
    const middle = bySpeed[Math.floor(bySpeed.length / 2)];
    if (middle !== undefined) yield throughput(`${lane} ${sizeName(messageBytes)}`, messageBytes, middle);
  }
}

interface Count {
  readonly messages: number;
  readonly elapsedMs: number;
}

const sizeName = (bytes: number): string => `${bytes / 1024} KiB`;

const throughput = (name: string, messageBytes: number, { messages, elapsedMs }: Count): BenchFigure => ({
  name,
  mbPerSecond: Number(((messages * messageBytes) / elapsedMs / 1000).toFixed(1)),
  messagesPerSecond: Math.round((messages * 1000) / elapsedMs),
});

/** Keeps the window full. */
class LaneLoad {
  readonly #message: Uint8Array;
  readonly #windowMessages: number;
  readonly #lane: ReturnType<typeof openLane>;
  #outstanding = 0;
  #acked = 0;
  #endMs = 0;
  #onAcked: () => void = () => undefined;
  #failed: (error: Error) => void = () => undefined;

  constructor(lane: WireLane, addresses: SinkAddresses, messageBytes: number) {
    this.#message = new Uint8Array(messageBytes).fill(0x61);
    this.#windowMessages = Math.max(1, windowBytes / messageBytes);
    this.#lane = openLane(lane, {
      addresses,
      messageBytes,
      onAcked: (messages) => {
        this.#acked += messages;
        this.#outstanding -= messages;
        this.#onAcked();
      },
      onFailed: (error) => this.#failed(error),
    });
  }

  /** Resolves with what was acked, when nothing is under way any more. */
  run(forMs: number): Promise<Count> {
    const startMs = performance.now();
    this.#endMs = startMs + forMs;
    this.#acked = 0;
    return new Promise((resolve, reject) => {
      this.#failed = reject;
      this.#onAcked = () => {
        if (performance.now() < this.#endMs) this.#fill();
        else if (this.#outstanding === 0) resolve({ messages: this.#acked, elapsedMs: performance.now() - startMs });
      };
      this.#fill();
    });
  }

  close(): void {
    this.#lane.close();
  }

  #fill(): void {
    const count = this.#windowMessages - this.#outstanding;
    this.#outstanding += count;
    this.#lane.send(this.#message, count);
  }
}

function copyFigure(messageBytes: number): BenchFigure {
  const source = new Uint8Array(messageBytes).fill(0x61);
  // Far more than the processor's caches, or it would be their speed.
  const target = new Uint8Array(64 * 1024 * 1024);
  const count = measured(() => {
    for (let at = 0; at < target.length; at += messageBytes) target.set(source, at);
    return target.length / messageBytes;
  });
  return throughput(`memory copy ${sizeName(messageBytes)}`, messageBytes, count);
}

function* codecFigures(): Generator<BenchFigure, void, undefined> {
  const { path, request } = methods.broker.produce;
  const codecs = {
    'by hand': request,
    'proto-loader': methodCodec<ReturnType<typeof request.decode>>(path, 'request'),
  };
  for (const batchBytes of [256 * 1024, 1024]) {
    for (const [name, codec] of Object.entries(codecs)) {
      const batch = { requestId: 12_345, topicId: '0b7f1d52-6a3c-4a55-9a0b-5d2f0f1c7a11', partition: 3 };
      const value = { batches: [{ ...batch, batch: new Uint8Array(batchBytes) }] };
      const encoded = codec.encode(value);
      const what = `produce request of ${sizeName(batchBytes)}, ${name}`;
      yield operations(
        `encode ${what}`,
        measured(() => repeat(() => codec.encode(value))),
      );
      yield operations(
        `decode ${what}`,
        measured(() => repeat(() => codec.decode(encoded))),
      );
    }
  }
}

const operations = (name: string, { messages, elapsedMs }: Count): BenchFigure => ({
  name,
  operationsPerSecond: Math.round((messages * 1000) / elapsedMs),
});

function repeat(step: () => unknown): number {
  for (let done = 0; done < 1000; done += 1) step();
  return 1000;
}

/** Runs `round`, which says how much it did, for the time of a measurement; what came before the warm-up's end is not counted. */
function measured(round: () => number): Count {
  let startMs = performance.now();
  for (const warmUntilMs = startMs + warmupMs; performance.now() < warmUntilMs; ) round();
  startMs = performance.now();
  let messages = 0;
  while (performance.now() < startMs + measuredMs) messages += round();
  return { messages, elapsedMs: performance.now() - startMs };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}
