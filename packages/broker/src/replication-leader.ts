/**
 * The leading side of replication: one `FollowerSession` for each follower node's stream, for all partitions that it
 * follows here. Owned by `ReplicationService`.
 *
 * L1. Batches go out in log order of their partition, each once in a session, as the bytes that the log holds.
 * L2. No more bytes are under way than the follower granted; one push may overdraw the last of it.
 * L3. A slot pushes only between the machine's `startPush` and `stopPush`, under the epoch and session given there.
 * L4. A large batch goes in parts, one push each, between which other slots have their turn; its credit is taken with the
 *     first, and a slot that stops forgets the rest.
 * L5. A position whose replica is not here yet, or not loaded, waits for it unanswered.
 */
import { invariant, isIdentity, isSmallPosition, leaderEpoch, logKey, offset, OncePerTurn } from '@sluice/base';
import { partitionEpoch, sessionNumber, SluiceError, toSluiceError } from '@sluice/base';
import type { BrokerEpoch, Clock, LogId, Logger, NodeId, Offset } from '@sluice/base';
import type { ReplicationMessage, StartPush } from '@sluice/partition';
import type { ReadResult } from '@sluice/storage';
import { BatchParts, encodeError, partBytesMax, PartPacing, SendCredit } from '@sluice/wire';
import type {
  ReplicaDivergence,
  ReplicaPosition,
  ReplicaPush,
  ReplicaRefusal,
  ReplicateRequest,
  ReplicateResponse,
  StreamSender,
} from '@sluice/wire';
import { batchesFrom } from './batches-from.ts';
import { EarlyPositions, logOf } from './early-positions.ts';
import type { LogWatcher, PartitionHost } from './partition-host.ts';

/** Most bytes of one partition in one push, so that others are not stuck behind it. */
const runBytesMax = 256 * 1024;
/** About the most bytes of batches in one message. */
const messageBytesMax = 512 * 1024;
/** A moved high watermark or log start waits this long for a push to ride on. */
const marksDelayMs = 5;
/** Positions of one stream that wait for their replica; what comes beyond them is refused, and stated again. */
const earlyPositionsMax = 20_000;

export interface FollowerSessionOptions {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly sender: StreamSender<ReplicateResponse>;
  readonly findHost: (id: LogId) => PartitionHost | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class FollowerSession {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly #options: FollowerSessionOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #byHost = new Map<PartitionHost, Slot>();
  readonly #early = new EarlyPositions(earlyPositionsMax);
  readonly #credit = new SendCredit();
  readonly #pacing = new PartPacing();
  /** Slots with something to push, each once. */
  readonly #ready = new Set<Slot>();
  #outgoing: { divergences: ReplicaDivergence[]; refusals: ReplicaRefusal[] } = { divergences: [], refusals: [] };
  readonly #pumping: OncePerTurn;
  readonly #onDrained = (): void => this.#pumping.soon();
  #marksDue = false;
  #closed = false;

  constructor(options: FollowerSessionOptions) {
    this.#options = options;
    this.#pumping = new OncePerTurn(options.clock, () => {
      if (!this.#closed) this.#pump();
    });
    this.nodeId = options.nodeId;
    this.brokerEpoch = options.brokerEpoch;
  }

  /** Throws `INVALID_REQUEST`, which ends the stream. */
  onRequest(request: ReplicateRequest): void {
    checkNumbers(request);
    for (const slot of request.releasedSlots) {
      this.#early.release(slot);
      this.#release(slot);
    }
    for (const position of request.positions) this.#onPosition(position);
    for (const ack of request.acks) {
      const slot = this.#slots.get(ack.slot);
      slot?.host.step({
        kind: 'followerAck',
        replica: this.nodeId,
        brokerEpoch: this.#options.brokerEpoch,
        leaderEpoch: leaderEpoch(ack.leaderEpoch),
        session: sessionNumber(ack.session),
        ackOffset: offset(ack.ackOffset),
        durableOffset: offset(ack.durableOffset),
        durableStart: offset(ack.durableStart),
        nowMs: this.#options.clock.monotonicMs(),
      });
    }
    if (request.creditBytes > 0) {
      this.#credit.grant(request.creditBytes);
      this.#pumping.soon();
    }
  }

  /** The replica can be asked now. */
  onLoaded(host: PartitionHost): void {
    const position = this.#early.take(host.id);
    if (position !== undefined && !this.#closed) this.#onPosition(position);
  }

  startPush(host: PartitionHost, push: StartPush): void {
    const slot = this.#byHost.get(host);
    // The stream of this position may have closed since.
    if (slot === undefined || slot.session !== push.session) return;
    slot.pushing = true;
    slot.leaderEpoch = push.leaderEpoch;
    slot.nextOffset = push.from;
    slot.parts = undefined;
    slot.round += 1;
    // The first push confirms the position, also when it is empty.
    slot.marksSent = undefined;
    this.wake(slot);
  }

  stopPush(host: PartitionHost): void {
    const slot = this.#byHost.get(host);
    if (slot !== undefined) this.#stop(slot);
  }

  send(host: PartitionHost, message: Exclude<ReplicationMessage, { kind: 'position' }>): void {
    const slot = this.#byHost.get(host);
    if (slot === undefined) return;
    const { leaderEpoch: epoch, session } = message;
    if (message.kind === 'divergence') {
      const { epoch: largest, endOffset } = message;
      this.#outgoing.divergences.push({ slot: slot.number, leaderEpoch: epoch, session, epoch: largest, endOffset });
    } else {
      const { logStart } = message;
      const error = encodeError(host.error(message.error));
      this.#outgoing.refusals.push({ slot: slot.number, leaderEpoch: epoch, session, error, logStart });
    }
    this.#pumping.soon();
  }

  /** The slot has something to push. */
  wake(slot: Slot): void {
    if (!slot.pushing) return;
    this.#ready.add(slot);
    this.#pumping.soon();
  }

  /** A slot's high watermark or log start moved: it rides on the next push, or goes alone after a moment. */
  wakeForMarks(): void {
    if (this.#marksDue || this.#closed) return;
    this.#marksDue = true;
    this.#options.clock.setTimer(marksDelayMs, () => {
      this.#marksDue = false;
      for (const slot of this.#slots.values()) if (slot.pushing && !slot.knowsMarks) this.#ready.add(slot);
      this.#pumping.soon();
    });
  }

  /** An idle stream shows that this side lives. */
  beat(): void {
    if (!this.#closed) this.#options.sender.send({});
  }

  close(error?: SluiceError): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#early.clear();
    for (const number of this.#slots.keys()) this.#release(number);
    this.#options.sender.close(error);
  }

  #onPosition(position: ReplicaPosition): void {
    const slot = this.#slotOf(position);
    if (slot === undefined) {
      if (!this.#early.keep(position)) this.#refuseEarly(position);
      return;
    }
    this.#early.release(position.slot);
    this.#stop(slot);
    slot.session = position.session;
    slot.host.step({
      kind: 'followerPosition',
      replica: this.nodeId,
      brokerEpoch: this.#options.brokerEpoch,
      leaderEpoch: leaderEpoch(position.leaderEpoch),
      session: sessionNumber(position.session),
      fetchOffset: offset(position.fetchOffset),
      durableOffset: offset(position.durableOffset),
      durableStart: offset(position.durableStart),
      partitionEpoch: partitionEpoch(position.partitionEpoch),
      lastEpoch: position.lastEpoch < 0 ? undefined : leaderEpoch(position.lastEpoch),
      nowMs: this.#options.clock.monotonicMs(),
    });
  }

  #slotOf(position: ReplicaPosition): Slot | undefined {
    const known = this.#slots.get(position.slot);
    const id = logOf(position);
    if (known !== undefined) {
      if (logKey(known.host.id) === logKey(id)) return known;
      this.#release(position.slot);
    }
    const host = this.#options.findHost(id);
    if (host?.replica === undefined) return undefined;
    const other = this.#byHost.get(host);
    if (other !== undefined) this.#release(other.number);
    const slot = new Slot(this, host, position.slot);
    this.#slots.set(position.slot, slot);
    this.#byHost.set(host, slot);
    host.watch(slot);
    return slot;
  }

  /** The follower asks again at its next tick. */
  #refuseEarly(position: ReplicaPosition): void {
    const error = encodeError(new SluiceError('UNKNOWN_LEADER_EPOCH'));
    const { slot, leaderEpoch: epoch, session } = position;
    this.#outgoing.refusals.push({ slot, leaderEpoch: epoch, session, error, logStart: 0 });
    this.#pumping.soon();
  }

  #release(number: number): void {
    const slot = this.#slots.get(number);
    if (slot === undefined) return;
    this.#stop(slot);
    this.#slots.delete(number);
    this.#byHost.delete(slot.host);
    slot.host.unwatch(slot);
    slot.host.step({
      kind: 'followerGone',
      replica: this.nodeId,
      brokerEpoch: this.#options.brokerEpoch,
      session: sessionNumber(slot.session),
    });
  }

  #stop(slot: Slot): void {
    slot.pushing = false;
    slot.parts = undefined;
    slot.round += 1;
    this.#ready.delete(slot);
  }

  /** Gathers what is ready into messages until nothing is ready or the credit is used up. */
  #pump(): void {
    let pushes: ReplicaPush[] = [];
    let bytes = 0;
    let partWaits = false;
    for (const slot of this.#ready) {
      if (slot.parts !== undefined && !this.#pacing.take(this.#options.sender.bufferedBytes + bytes)) {
        partWaits = true;
        continue;
      }
      const behind = slot.nextOffset < slot.host.log.endOffset;
      if (behind && slot.parts === undefined && !this.#credit.canSend) continue;
      this.#ready.delete(slot);
      if (slot.reading || !slot.pushing) continue;
      const read = behind && slot.parts === undefined ? this.#read(slot) : undefined;
      if (read instanceof Promise) {
        this.#readLater(slot, read);
        continue;
      }
      const push = this.#pushOf(slot, read);
      if (push === undefined) continue;
      pushes.push(push);
      bytes += bytesOf(push);
      const isBehind = slot.parts !== undefined || slot.nextOffset < slot.host.log.endOffset;
      if (push.batches.length > 0 && isBehind) this.#ready.add(slot);
      if (bytes >= messageBytesMax) {
        this.#send(pushes);
        pushes = [];
        bytes = 0;
      }
    }
    this.#send(pushes);
    if (partWaits) this.#options.sender.whenDrained(partBytesMax, this.#onDrained);
  }

  #read(slot: Slot): ReadResult | Promise<ReadResult> {
    const { log } = slot.host;
    return log.read(slot.nextOffset, log.endOffset, runBytesMax);
  }

  #readLater(slot: Slot, read: Promise<ReadResult>): void {
    const round = slot.round;
    slot.reading = true;
    read
      .then((result) => {
        slot.reading = false;
        if (this.#closed || !slot.pushing) return;
        // A new position voids what was read for the old one (L3).
        const push = slot.round === round ? this.#pushOf(slot, result) : undefined;
        if (push !== undefined) this.#send([push]);
        if (push === undefined || push.batches.length > 0) this.wake(slot);
      })
      .catch((error: unknown) => {
        slot.reading = false;
        const failure = toSluiceError(error);
        this.#options.logger.error('follower read failed', { err: failure, topic: slot.host.topicName });
        // The other partitions of the stream are none the worse.
        if (this.#closed || !slot.pushing) return;
        // A read for an earlier position says nothing of this one.
        if (slot.round === round) this.#refuse(slot, failure);
        else this.wake(slot);
      });
  }

  /** The follower asks again at its next tick. */
  #refuse(slot: Slot, failure: SluiceError): void {
    this.#stop(slot);
    const { number, leaderEpoch: epoch, session, host } = slot;
    const logStart = host.replica?.logStart ?? 0;
    this.#outgoing.refusals.push({ slot: number, leaderEpoch: epoch, session, error: encodeError(failure), logStart });
    this.#pumping.soon();
  }

  #pushOf(slot: Slot, read: ReadResult | undefined): ReplicaPush | undefined {
    const replica = slot.host.replica;
    invariant(replica !== undefined, 'L3: a pushing slot has a loaded replica');
    if (read?.kind === 'out-of-range') {
      this.#refuse(slot, slot.host.error('OFFSET_OUT_OF_RANGE'));
      return undefined;
    }
    const batches = read === undefined ? [] : batchesFrom(read.batches, slot.nextOffset);
    if (read !== undefined) {
      this.#credit.overdraw(read.bytes);
      slot.nextOffset = read.endOffset;
      slot.parts = BatchParts.ofLarge(batches);
      if (slot.parts === undefined) this.#pacing.onWhole(read.bytes);
    } else if (slot.parts === undefined && slot.knowsMarks) {
      return undefined;
    }
    slot.marksSent = { highWatermark: replica.highWatermark, logStart: replica.logStart };
    const part = slot.parts?.next();
    if (part?.moreBytes === 0) slot.parts = undefined;
    return {
      slot: slot.number,
      leaderEpoch: slot.leaderEpoch,
      session: slot.session,
      batches: part === undefined ? batches : [part.bytes],
      highWatermark: replica.highWatermark,
      logStart: replica.logStart,
      moreBytes: part?.moreBytes ?? 0,
      continues: part?.continues ?? false,
    };
  }

  #send(pushes: readonly ReplicaPush[]): void {
    const { divergences, refusals } = this.#outgoing;
    if (pushes.length === 0 && divergences.length === 0 && refusals.length === 0) return;
    this.#outgoing = { divergences: [], refusals: [] };
    this.#options.sender.send({ pushes, divergences, refusals });
  }
}

/** One partition on one follower's stream. */
class Slot implements LogWatcher {
  readonly host: PartitionHost;
  readonly number: number;
  readonly #owner: FollowerSession;
  pushing = false;
  reading = false;
  leaderEpoch = 0;
  session = 0;
  nextOffset: Offset = offset(0);
  /** Goes up when what is being read or sent is void. */
  round = 0;
  /** What the follower was told last in this session. */
  marksSent: { readonly highWatermark: Offset; readonly logStart: Offset } | undefined;
  /** The batch that is half pushed (L4); `nextOffset` lies behind it. */
  parts: BatchParts | undefined;

  constructor(owner: FollowerSession, host: PartitionHost, number: number) {
    this.#owner = owner;
    this.host = host;
    this.number = number;
  }

  get knowsMarks(): boolean {
    const { replica } = this.host;
    const { marksSent } = this;
    return replica?.highWatermark === marksSent?.highWatermark && replica?.logStart === marksSent?.logStart;
  }

  onAppended(): void {
    this.#owner.wake(this);
  }

  onReadable(): void {
    this.#owner.wakeForMarks();
  }

  /** An idle partition pushes nothing that could tell of it. */
  onTrimmed(): void {
    this.#owner.wakeForMarks();
  }

  /** The machine sends `stopPush` itself. */
  onLeadershipEnd(): void {}
}

function checkNumbers({ positions, acks }: ReplicateRequest): void {
  const whole =
    acks.every((ack) => isSmallPosition(ack.leaderEpoch)) &&
    positions.every(
      ({ topicId: topic, ...position }) =>
        isIdentity(topic) && [position.partition, position.leaderEpoch, position.partitionEpoch].every(isSmallPosition),
    );
  if (!whole)
    throw new SluiceError('INVALID_REQUEST', {
      message: 'A position names a partition, and an epoch from 0 to 2^31 − 1.',
    });
}

const bytesOf = (push: ReplicaPush): number => push.batches.reduce((sum, batch) => sum + batch.byteLength, 0);
