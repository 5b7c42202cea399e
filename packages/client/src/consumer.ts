/**
 * The consumer of assigned partitions. Owns their readers, the links to the nodes that lead them and the queue of what
 * was read and not handed out. Made by `Sluice.consumer`.
 *
 * X1 What was read is handed out in the order in which it was read; of one partition that is offset order.
 * X2 Credit returns when the application takes a batch: what waits for it is bounded, however fast the cluster is.
 * X3 After an iteration ends, however it ends, no stream and no timer is left.
 */
import { SluiceError } from '@sluice/base';
import type { RpcClient } from '@sluice/wire';
import type { Assignment, ConsumerOptions, SignalOption, StartPosition } from './consumer-options.ts';
import { FetchLink } from './fetch-link.ts';
import type { ConsumedBatch } from './fetched-batch.ts';
import { Fifo } from './fifo.ts';
import type { Metadata } from './metadata.ts';
import type { NodeCalls } from './node-calls.ts';
import { PartitionReader, type ReadItem, type ReaderPorts } from './partition-reader.ts';
import type { ClientPorts } from './ports.ts';
import type { OnStatus } from './status.ts';
import { onAbort } from './waiting.ts';

export interface ConsumerContext {
  readonly clientId: string;
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  readonly metadata: Metadata;
  readonly calls: NodeCalls;
  readonly onStatus: OnStatus;
  readonly onClosed: (consumer: Consumer) => void;
}

const creditBytesDefault = 8 * 1024 * 1024;
/** Below it a stream would run in steps of single batches. */
const windowBytesMin = 64 * 1024;

export class Consumer implements AsyncDisposable {
  readonly #context: ConsumerContext;
  readonly #creditBytes: number;
  readonly #readers: readonly PartitionReader[];
  readonly #links = new Map<number, FetchLink>();
  readonly #read = new Fifo<ReadItem>();
  readonly #unsubscribe: () => void;
  #subscription = 0;
  #iterating = false;
  #failure: SluiceError | undefined;
  #wake: () => void = () => undefined;
  #closed = false;

  /** Throws `INVALID_CONFIG`. */
  constructor(context: ConsumerContext, options: ConsumerOptions) {
    checkAssignments(options.assignments);
    this.#context = context;
    this.#creditBytes = options.creditBytes ?? creditBytesDefault;
    if (!(this.#creditBytes > 0)) throw invalid(`creditBytes must be more than 0, this is ${this.#creditBytes}`);
    const ports = this.#readerPorts();
    this.#readers = options.assignments.map((assignment) => new PartitionReader(assignment, ports));
    this.#unsubscribe = context.metadata.subscribe({
      onTopic: (topic) => this.#forTopic(topic.name, (reader) => reader.onMetadata(topic)),
      onTopicDeleted: (topic) => this.#forTopic(topic.name, (reader) => reader.onTopicDeleted(topic)),
      onNodes: () => {
        for (const reader of this.#readers) reader.onNodes();
      },
    });
  }

  /**
   * One iteration at a time. `break` releases everything, and another iteration goes on at `position`. Ends when the
   * consumer is closed; throws `OFFSET_OUT_OF_RANGE`, `UNKNOWN_TOPIC`, `UNKNOWN_PARTITION`, `CORRUPT_BATCH`, `CANCELLED`.
   */
  async *batches(options: SignalOption = {}): AsyncGenerator<ConsumedBatch, void, undefined> {
    if (this.#iterating) throw invalid('another iteration of this consumer is under way');
    const { signal } = options;
    let aborted: SluiceError | undefined;
    const forget = onAbort(signal, (error) => {
      aborted = error;
      this.#wake();
    });
    this.#iterating = true;
    try {
      if (!this.#closed) for (const reader of this.#readers) reader.start();
      while (!this.#closed) {
        if (aborted !== undefined) throw aborted;
        const item = this.#read.shift();
        if (item !== undefined) {
          item.reader.onHandedOut(item);
          item.link.release(item.bytes);
          if (item.batch !== undefined) yield item.batch;
        } else if (this.#failure !== undefined) {
          throw this.#failure;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      forget();
      this.#iterating = false;
      this.#release();
    }
  }

  /** The offset after the last batch handed out; undefined until the start is known. */
  position(topic: string, partition: number): number | undefined {
    return this.#readers.find((reader) => reader.topic === topic && reader.partition === partition)?.position;
  }

  /** Ends the iteration at once, also while it waits or reconnects. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    this.#release();
    this.#wake();
    this.#context.onClosed(this);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #release(): void {
    for (const reader of this.#readers) reader.stop();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    this.#read.takeAll();
    this.#failure = undefined;
  }

  #forTopic(name: string, run: (reader: PartitionReader) => void): void {
    for (const reader of this.#readers) if (reader.topic === name) run(reader);
    this.#closeIdleLinks();
  }

  #readerPorts(): ReaderPorts {
    const { ports, metadata, calls, onStatus } = this.#context;
    return {
      ports,
      metadata,
      calls,
      onStatus,
      link: (node) => this.#link(node),
      onRead: (item) => {
        this.#read.push(item);
        this.#wake();
      },
      onFailed: (error) => {
        this.#failure ??= error;
        this.#wake();
      },
    };
  }

  #link(node: number): FetchLink | undefined {
    const known = this.#links.get(node);
    if (known !== undefined) return known;
    const { clientId, ports, rpc, metadata } = this.#context;
    const address = metadata.view.addressOf(node);
    if (address === undefined) return undefined;
    const link = new FetchLink({
      address,
      clientId,
      ports,
      rpc,
      windowBytes: () => this.#windowBytes(),
      nextSubscription: () => {
        this.#subscription += 1;
        return this.#subscription;
      },
      onLost: (lost) => {
        if (this.#links.get(node) === lost) this.#links.delete(node);
      },
    });
    this.#links.set(node, link);
    return link;
  }

  /** Each node gets the same share. */
  #windowBytes(): number {
    const leaders = new Set(this.#readers.map((reader) => reader.leader).filter((leader) => leader !== 0));
    return Math.max(windowBytesMin, Math.floor(this.#creditBytes / Math.max(1, leaders.size)));
  }

  /** A node that leads nothing of this consumer any more. */
  #closeIdleLinks(): void {
    for (const [node, link] of this.#links) {
      if (link.subscriptions > 0) continue;
      this.#links.delete(node);
      link.close();
    }
  }
}

function checkAssignments(assignments: readonly Assignment[]): void {
  if (assignments.length === 0) throw invalid('at least one assignment is needed');
  const seen = new Set<string>();
  for (const { topic, partition, from = 'start' } of assignments) {
    if (!Number.isSafeInteger(partition) || partition < 0) throw invalid(`partition ${partition} is no number from 0`);
    const key = `${partition} ${topic}`;
    if (seen.has(key)) throw invalid(`partition ${partition} of ${topic} is assigned twice`);
    seen.add(key);
    const count = countOf(from);
    if (!Number.isSafeInteger(count) || count < 0) throw invalid(`${JSON.stringify(from)} is no place to begin`);
  }
}

function countOf(from: StartPosition): number {
  if (typeof from === 'number') return from;
  if (typeof from === 'string') return 0;
  if ('sinceMs' in from) return from.sinceMs;
  return 'last' in from ? from.last : from.after;
}

const invalid = (what: string): SluiceError => new SluiceError('INVALID_CONFIG', { message: `Consumer: ${what}.` });
