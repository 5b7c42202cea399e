/**
 * The fetch stream: pushes committed batches of the partitions that a client asked for, within the bytes it granted.
 * Under the push lies a pull from the log (from, upTo, bytesMax); consumers at the head read the tail in memory.
 *
 * C1. Nothing at or above `readableEnd` leaves the node (D3, G4).
 * C2. Runs of a subscription go out in offset order, each batch once.
 * C3. No more bytes are under way than the client granted, and no more of them wait in this node for a client that does
 *     not read than the server's window; one run may overdraw the last of either, and one large batch in parts may wait
 *     beside them.
 * C4. Subscription numbers grow on a stream: what is under way for an ended one is never taken for another's.
 * C5. A client that takes parts gets a large batch in several runs, between which other subscriptions have their turn;
 *     its credit is taken with the first, and a subscription that ends forgets the rest.
 */
import { offset, SluiceError, toSluiceError, OncePerTurn } from '@sluice/base';
import type { Clock, Logger, Offset } from '@sluice/base';
import type { ReadResult } from '@sluice/storage';
import { BatchParts, encodeError, messageBytes, methods, partBytesMax, PartPacing, SendCredit } from '@sluice/wire';
import type {
  Dispatcher,
  FetchedRun,
  FetchFailure,
  FetchRequest,
  FetchResponse,
  FetchStart,
  StreamReceiver,
  StreamSender,
} from '@sluice/wire';
import type { NodeIdentity } from './node-identity.ts';
import type { LogWatcher, PartitionHost } from './partition-host.ts';
import type { PartitionHosts } from './partition-hosts.ts';

export interface FetchServiceOptions {
  readonly identity: NodeIdentity;
  readonly hosts: PartitionHosts;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly windowBytesMax: number;
  readonly subscriptionsMax: number;
}

const runBytesDefault = 256 * 1024;
const messageBytesMax = 512 * 1024;

export class FetchService {
  readonly #options: FetchServiceOptions;

  constructor(options: FetchServiceOptions) {
    this.#options = options;
  }

  serve(clients: Dispatcher): void {
    clients.stream(methods.broker.fetch, (_call, sender) => new FetchStream(this.#options, sender));
  }
}

class FetchStream implements StreamReceiver<FetchRequest> {
  readonly #options: FetchServiceOptions;
  readonly #sender: StreamSender<FetchResponse>;
  readonly #subscriptions = new Map<number, Subscription>();
  readonly #ready = new Set<Subscription>();
  readonly #credit = new SendCredit();
  #lastSubscription = -1;
  #failures: FetchFailure[] = [];
  readonly #pumping: OncePerTurn;
  readonly #onDrained = (): void => this.#pumping.soon();
  readonly #pacing = new PartPacing();
  /** Those that are half through a large batch, oldest first. */
  readonly #inParts = new Set<Subscription>();
  #takesParts = false;
  #open = false;
  #closed = false;

  constructor(options: FetchServiceOptions, sender: StreamSender<FetchResponse>) {
    this.#options = options;
    this.#pumping = new OncePerTurn(options.clock, () => {
      if (!this.#closed) this.#pump();
    });
    this.#sender = sender;
  }

  onMessage(request: FetchRequest): void {
    if (!this.#open) {
      if (request.open === null) {
        throw new SluiceError('INVALID_REQUEST', { message: 'The first message of a fetch stream opens it.' });
      }
      this.#open = true;
      this.#takesParts = request.open.takesParts;
      this.#sender.send({ nodeId: this.#options.identity.nodeId });
    }
    for (const number of request.stop) this.#stop(number);
    for (const start of request.start) this.#start(start);
    // All of it counts: a client grants again only what it received, so what is left out here would never come back.
    this.#credit.grant(request.creditBytes);
    this.#pumping.soon();
  }

  onEnd(): void {
    this.#sender.end();
  }

  onClose(): void {
    this.#closed = true;
    for (const number of this.#subscriptions.keys()) this.#stop(number);
  }

  wake(subscription: Subscription): void {
    this.#ready.add(subscription);
    this.#pumping.soon();
  }

  fail(subscription: Subscription, error: SluiceError): void {
    this.#stop(subscription.number);
    this.#failures.push({ subscription: subscription.number, error: encodeError(error) });
    this.#pumping.soon();
  }

  #start(start: FetchStart): void {
    const refuse = (error: SluiceError): void => {
      this.#failures.push({ subscription: start.subscription, error: encodeError(error) });
    };
    if (start.subscription <= this.#lastSubscription) {
      throw new SluiceError('INVALID_REQUEST', {
        message: `Subscription ${start.subscription} was used before, or is below ${this.#lastSubscription}, the last one; number them upwards.`,
      });
    }
    this.#lastSubscription = start.subscription;
    if (this.#subscriptions.size >= this.#options.subscriptionsMax) {
      return refuse(new SluiceError('LIMIT_EXCEEDED', { message: 'Too many subscriptions on this stream.' }));
    }
    const host = this.#options.hosts.leadingNamed(start.topicId, start.partition);
    if (host instanceof SluiceError) return refuse(host);
    const known = host.replica?.leaderEpoch ?? 0;
    if (start.leaderEpoch >= 0 && start.leaderEpoch !== known) {
      return refuse(host.error(start.leaderEpoch < known ? 'FENCED_LEADER_EPOCH' : 'UNKNOWN_LEADER_EPOCH'));
    }
    const code = host.replica?.readError(offset(start.fromOffset));
    if (code !== undefined) return refuse(host.error(code));
    const subscription = new Subscription(this, host, start);
    this.#subscriptions.set(start.subscription, subscription);
    host.watch(subscription);
    this.#ready.add(subscription);
  }

  #stop(number: number): void {
    const subscription = this.#subscriptions.get(number);
    if (subscription === undefined) return;
    this.#subscriptions.delete(number);
    this.#ready.delete(subscription);
    this.#inParts.delete(subscription);
    subscription.stopped = true;
    subscription.host.unwatch(subscription);
  }

  #pump(): void {
    let runs: FetchedRun[] = [];
    let bytes = 0;
    for (const subscription of this.#ready) {
      const inParts = subscription.parts !== undefined;
      const behind = !inParts && subscription.nextOffset < subscription.readableEnd;
      if (inParts && !this.#canSendPart(bytes)) continue;
      if (behind && !this.#canSend(bytes)) continue;
      this.#ready.delete(subscription);
      if (subscription.reading) continue;
      const read = behind ? subscription.read() : undefined;
      if (read instanceof Promise) {
        this.#readLater(subscription, read);
        continue;
      }
      const run = this.#runOf(subscription, read);
      if (run === undefined) continue;
      runs.push(run);
      bytes += messageBytes(run.batches);
      const isBehind = run.moreBytes > 0 || subscription.nextOffset < subscription.readableEnd;
      if (run.batches.length > 0 && isBehind) this.#ready.add(subscription);
      if (bytes >= messageBytesMax) {
        this.#send(runs);
        runs = [];
        bytes = 0;
      }
    }
    this.#send(runs);
  }

  /** `gatheredBytes` are about to be sent. */
  #canSend(gatheredBytes: number): boolean {
    if (!this.#credit.canSend) return false;
    let roomBytes = this.#options.windowBytesMax;
    let isFirst = true;
    for (const { parts } of this.#inParts) {
      if (!isFirst) roomBytes -= parts?.leftBytes ?? 0;
      isFirst = false;
    }
    if (this.#sender.bufferedBytes + gatheredBytes < roomBytes) return true;
    // Where parts alone fill the window, each look sends one more: an empty transport takes it.
    this.#sender.whenDrained(Math.max(1, roomBytes), this.#onDrained);
    return false;
  }

  #canSendPart(gatheredBytes: number): boolean {
    if (this.#pacing.take(this.#sender.bufferedBytes + gatheredBytes)) return true;
    this.#sender.whenDrained(partBytesMax, this.#onDrained);
    return false;
  }

  #readLater(subscription: Subscription, read: Promise<ReadResult>): void {
    subscription.reading = true;
    const upTo = subscription.readableEnd;
    read
      .then((result) => {
        subscription.reading = false;
        if (this.#closed || subscription.stopped) return;
        const run = this.#runOf(subscription, result);
        if (run !== undefined) this.#send([run]);
        // A batch that compaction has made may have reached over the readable end, which may have moved since.
        const isMoved = subscription.readableEnd > upTo;
        if (run === undefined || run.batches.length > 0 || isMoved) this.wake(subscription);
      })
      .catch((error: unknown) => {
        subscription.reading = false;
        this.#options.logger.error('consumer read failed', { err: error, topic: subscription.host.topicName });
        if (!subscription.stopped) this.fail(subscription, toSluiceError(error));
      });
  }

  #runOf(subscription: Subscription, read: ReadResult | undefined): FetchedRun | undefined {
    const replica = subscription.host.replica;
    if (replica === undefined) return undefined;
    if (read?.kind === 'out-of-range') {
      this.fail(subscription, subscription.host.error('OFFSET_OUT_OF_RANGE'));
      return undefined;
    }
    if (read !== undefined) {
      this.#credit.overdraw(read.bytes);
      subscription.nextOffset = read.endOffset;
      this.#beginParts(subscription, read.batches);
      if (subscription.parts === undefined) this.#pacing.onWhole(read.bytes);
    } else if (subscription.confirmed && subscription.parts === undefined) {
      return undefined;
    }
    // The first run says that the subscription stands, also when there is nothing to read yet.
    subscription.confirmed = true;
    const part = subscription.parts?.next();
    if (part?.moreBytes === 0) this.#endParts(subscription);
    return {
      subscription: subscription.number,
      batches: part === undefined ? (read?.batches ?? []) : [part.bytes],
      nextOffset: subscription.nextOffset,
      highWatermark: replica.highWatermark,
      logStart: replica.logStart,
      moreBytes: part?.moreBytes ?? 0,
      continues: part?.continues ?? false,
    };
  }

  /** C5. */
  #beginParts(subscription: Subscription, batches: readonly Uint8Array[]): void {
    if (this.#takesParts) subscription.parts = BatchParts.ofLarge(batches);
    if (subscription.parts !== undefined) this.#inParts.add(subscription);
  }

  #endParts(subscription: Subscription): void {
    subscription.parts = undefined;
    this.#inParts.delete(subscription);
  }

  #send(runs: readonly FetchedRun[]): void {
    const failures = this.#failures;
    if (runs.length === 0 && failures.length === 0) return;
    this.#failures = [];
    this.#sender.send({ runs, failures });
  }
}

class Subscription implements LogWatcher {
  readonly host: PartitionHost;
  readonly number: number;
  readonly #owner: FetchStream;
  readonly #runBytesMax: number;
  nextOffset: Offset;
  reading = false;
  stopped = false;
  confirmed = false;
  /** The batch that is half sent (C5); `nextOffset` lies behind it. */
  parts: BatchParts | undefined;

  constructor(owner: FetchStream, host: PartitionHost, start: FetchStart) {
    this.#owner = owner;
    this.host = host;
    this.number = start.subscription;
    this.nextOffset = offset(start.fromOffset);
    this.#runBytesMax = start.runBytesMax > 0 ? Math.min(start.runBytesMax, messageBytesMax) : runBytesDefault;
  }

  get readableEnd(): Offset {
    return this.host.replica?.readableEnd ?? offset(0);
  }

  read(): ReadResult | Promise<ReadResult> {
    return this.host.log.read(this.nextOffset, this.readableEnd, this.#runBytesMax);
  }

  onAppended(): void {}

  onReadable(): void {
    this.#owner.wake(this);
  }

  /** Who reads below the new start is told when it reads on. */
  onTrimmed(): void {}

  onLeadershipEnd(): void {
    this.#owner.fail(this, this.host.error('NOT_LEADER'));
  }
}
