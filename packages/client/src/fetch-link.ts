/**
 * The fetch stream to one node, for all partitions of one consumer that it leads. Owns the stream, its credit and its
 * subscriptions. Made and dropped by `Consumer`; a lost link is not opened again, its readers find their way.
 *
 * K1 A subscription number is used once per consumer: what arrives for an ended one finds nobody.
 * K2 Every reader that started here hears of the end of its subscription, once, unless it stopped it itself.
 * K3 A batch that comes in parts reaches its reader whole. Parts for which nobody asks any more are charged with the
 *    first of them, and given back at once.
 */
import { SluiceError, OncePerTurn, toSluiceError } from '@sluice/base';
import type { FetchedRun, FetchRequest, FetchResponse, FetchStart, RpcClient, StreamSender } from '@sluice/wire';
import { decodeError, messageBytes, methods, PartAssembler } from '@sluice/wire';
import { connectionLost } from './delivery-errors.ts';
import { FetchCredit } from './fetch-credit.ts';
import type { ClientPorts } from './ports.ts';

export interface Subscriber {
  /** `run.batches` are charged to `link.credit`: the subscriber releases them. */
  onRun(run: FetchedRun, link: FetchLink): void;
  /** The subscription is over. */
  onEnded(error: SluiceError): void;
}

export interface FetchLinkOptions {
  readonly address: string;
  readonly clientId: string;
  readonly ports: ClientPorts;
  readonly rpc: RpcClient;
  readonly windowBytes: () => number;
  readonly nextSubscription: () => number;
  readonly onLost: (link: FetchLink) => void;
}

/** Far above what any topic takes: a bound on what one server can make this client hold. */
const batchBytesMax = 64 * 1024 * 1024;
const noBytes = new Uint8Array(0);

export class FetchLink {
  readonly #options: FetchLinkOptions;
  readonly #credit: FetchCredit;
  readonly #subscribers = new Map<number, Subscriber>();
  /** Batches of which parts are to come, by subscription (K3). */
  readonly #begun = new Map<number, PartAssembler>();
  readonly #sender: StreamSender<FetchRequest>;
  #start: FetchStart[] = [];
  #stop: number[] = [];
  #opened = false;
  readonly #flushing: OncePerTurn;
  #over = false;

  constructor(options: FetchLinkOptions) {
    this.#options = options;
    this.#flushing = new OncePerTurn(options.ports.clock, () => {
      if (!this.#over) this.#flush();
    });
    this.#credit = new FetchCredit(options.windowBytes);
    this.#sender = options.rpc.stream(methods.broker.fetch, options.address, {
      onMessage: (response) => this.#onResponse(response),
      onClose: (error) => this.#onClosed(error),
    });
  }

  get subscriptions(): number {
    return this.#subscribers.size;
  }

  start(subscriber: Subscriber, start: Omit<FetchStart, 'subscription' | 'runBytesMax'>): number {
    const subscription = this.#options.nextSubscription();
    this.#subscribers.set(subscription, subscriber);
    this.#start.push({ ...start, subscription, runBytesMax: 0 });
    this.#flushing.soon();
    return subscription;
  }

  stop(subscription: number): void {
    if (!this.#subscribers.delete(subscription)) return;
    this.#void(subscription);
    this.#stop.push(subscription);
    this.#flushing.soon();
  }

  release(bytes: number): void {
    this.#credit.release(bytes);
    this.#flushing.soon();
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#subscribers.clear();
    this.#sender.close(new SluiceError('CLOSED'));
  }

  #flush(): void {
    const start = this.#start;
    const stop = this.#stop;
    const creditBytes = this.#credit.take();
    this.#start = [];
    this.#stop = [];
    if (start.length === 0 && stop.length === 0 && creditBytes === 0) return;
    const open = this.#opened ? {} : { open: { clientId: this.#options.clientId, takesParts: true } };
    this.#opened = true;
    this.#sender.send({ ...open, start, stop, creditBytes });
  }

  #onResponse(response: FetchResponse): void {
    if (this.#over) return;
    for (const run of response.runs) {
      if (run.moreBytes > 0 || run.continues) {
        if (this.#onPart(run)) continue;
        return;
      }
      const bytes = messageBytes(run.batches);
      this.#credit.received(bytes);
      const subscriber = this.#subscribers.get(run.subscription);
      if (subscriber === undefined) this.release(bytes);
      else subscriber.onRun(run, this);
    }
    for (const { subscription, error } of response.failures) {
      const subscriber = this.#subscribers.get(subscription);
      this.#subscribers.delete(subscription);
      this.#void(subscription);
      subscriber?.onEnded(error === null ? new SluiceError('INTERNAL') : decodeError(error));
    }
  }

  /** False: the server does not keep to the protocol, and the link is over. */
  #onPart(run: FetchedRun): boolean {
    const { subscription, batches, moreBytes, continues } = run;
    const part = { bytes: batches[0] ?? noBytes, moreBytes };
    const subscriber = this.#subscribers.get(subscription);
    if (subscriber === undefined) return this.#onUnwanted(run);
    let whole: Uint8Array | undefined;
    try {
      if (batches.length !== 1) throw new SluiceError('INVALID_REQUEST', { message: 'A run holds one part.' });
      const assembler = continues ? this.#begun.get(subscription) : this.#begin(subscription, part);
      if (assembler === undefined) throw new SluiceError('INVALID_REQUEST', { message: 'A part continues nothing.' });
      whole = assembler.add(part);
    } catch (error) {
      const problem = toSluiceError(error);
      if (problem.code !== 'INVALID_REQUEST') throw error;
      this.#sender.close(problem);
      this.#onClosed(connectionLost(problem));
      return false;
    }
    if (whole === undefined) return true;
    this.#begun.delete(subscription);
    this.#credit.over(whole.byteLength);
    subscriber.onRun({ ...run, batches: [whole] }, this);
    return true;
  }

  #onUnwanted({ batches, moreBytes, continues }: FetchedRun): boolean {
    // The rest was given back when the subscription ended.
    if (continues) return true;
    const bytes = messageBytes(batches) + moreBytes;
    this.#credit.received(bytes);
    this.release(bytes);
    return true;
  }

  #begin(subscription: number, part: { readonly bytes: Uint8Array; readonly moreBytes: number }): PartAssembler {
    if (this.#begun.has(subscription)) {
      throw new SluiceError('INVALID_REQUEST', { message: 'A batch begins before the one in parts is whole.' });
    }
    const assembler = new PartAssembler(part, batchBytesMax);
    this.#begun.set(subscription, assembler);
    this.#credit.begun(assembler.batchBytes);
    this.#flushing.soon();
    return assembler;
  }

  /** The server forgets the rest of it. */
  #void(subscription: number): void {
    const batchBytes = this.#begun.get(subscription)?.batchBytes;
    if (batchBytes === undefined) return;
    this.#begun.delete(subscription);
    this.#credit.over(batchBytes);
    this.release(batchBytes);
  }

  #onClosed(error: SluiceError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.onLost(this);
    const subscribers = [...this.#subscribers.values()];
    this.#subscribers.clear();
    for (const subscriber of subscribers) subscriber.onEnded(error ?? connectionLost(undefined));
  }
}
