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
import { isIdentity, isSmallPosition, leaderEpoch, logKey, offset } from '@sluice/base';
import { partitionEpoch, sessionNumber, SluiceError } from '@sluice/base';
import type { BrokerEpoch, Clock, LogId, Logger, NodeId } from '@sluice/base';
import type { ReplicationMessage, StartPush } from '@sluice/partition';
import { encodeError } from '@sluice/wire';
import type {
  ReplicaDivergence,
  ReplicaPosition,
  ReplicaPush,
  ReplicaRefusal,
  ReplicateRequest,
  ReplicateResponse,
  StreamSender,
} from '@sluice/wire';
import type { CatchUpBudget } from './catch-up-budget.ts';
import { EarlyPositions, logOf } from './early-positions.ts';
import { FollowerPushes } from './follower-pushes.ts';
import type { PushCounts } from './follower-pushes.ts';
import { Slot } from './follower-slot.ts';
import type { PartitionHost } from './partition-host.ts';

/** Positions of one stream that wait for their replica; what comes beyond them is refused, and stated again. */
const earlyPositionsMax = 20_000;

export interface FollowerSessionOptions {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly sender: StreamSender<ReplicateResponse>;
  readonly findHost: (id: LogId) => PartitionHost | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the node, as are the counts. */
  readonly budget: CatchUpBudget;
  readonly counts: PushCounts;
}

export class FollowerSession {
  readonly nodeId: NodeId;
  readonly brokerEpoch: BrokerEpoch;
  readonly #options: FollowerSessionOptions;
  readonly #slots = new Map<number, Slot>();
  readonly #byHost = new Map<PartitionHost, Slot>();
  readonly #early = new EarlyPositions(earlyPositionsMax);
  readonly #pushes: FollowerPushes;
  #outgoing: { divergences: ReplicaDivergence[]; refusals: ReplicaRefusal[] } = { divergences: [], refusals: [] };
  #closed = false;

  constructor(options: FollowerSessionOptions) {
    this.#options = options;
    const { sender, clock, logger, budget, counts } = options;
    this.#pushes = new FollowerPushes({
      nodeId: options.nodeId,
      sender,
      clock,
      logger,
      budget,
      counts,
      send: (pushes) => this.#send(pushes),
      refuse: (slot, failure) => this.#refuse(slot, failure),
    });
    this.nodeId = options.nodeId;
    this.brokerEpoch = options.brokerEpoch;
  }

  /** Partitions that are read behind the tail for this follower. */
  get behindCount(): number {
    return this.#pushes.behindCount;
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
    this.#pushes.grant(request.creditBytes);
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
    this.#pushes.wake(slot);
  }

  stopPush(host: PartitionHost): void {
    const slot = this.#byHost.get(host);
    if (slot !== undefined) this.#pushes.stop(slot);
  }

  send(host: PartitionHost, message: Exclude<ReplicationMessage, { kind: 'position' }>): void {
    const slot = this.#byHost.get(host);
    if (slot === undefined) return;
    const { leaderEpoch: epoch, session } = message;
    if (message.kind === 'divergence') {
      const { epoch: largest = -1, endOffset } = message;
      this.#outgoing.divergences.push({ slot: slot.number, leaderEpoch: epoch, session, epoch: largest, endOffset });
    } else {
      const { logStart } = message;
      const error = encodeError(host.error(message.error));
      this.#outgoing.refusals.push({ slot: slot.number, leaderEpoch: epoch, session, error, logStart });
    }
    this.#pushes.soon();
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
    this.#pushes.close();
    this.#options.sender.close(error);
  }

  #onPosition(position: ReplicaPosition): void {
    const slot = this.#slotOf(position);
    if (slot === undefined) {
      if (!this.#early.keep(position)) this.#refuseEarly(position);
      return;
    }
    this.#early.release(position.slot);
    this.#pushes.stop(slot);
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
    const slot = new Slot(this.#pushes, host, position.slot);
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
    this.#pushes.soon();
  }

  #release(number: number): void {
    const slot = this.#slots.get(number);
    if (slot === undefined) return;
    this.#pushes.stop(slot);
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

  /** The slot has stopped; the follower asks again at its next tick. */
  #refuse(slot: Slot, failure: SluiceError): void {
    const { number, leaderEpoch: epoch, session, host } = slot;
    const logStart = host.replica?.logStart ?? 0;
    this.#outgoing.refusals.push({ slot: number, leaderEpoch: epoch, session, error: encodeError(failure), logStart });
    this.#pushes.soon();
  }

  #send(pushes: readonly ReplicaPush[]): void {
    const { divergences, refusals } = this.#outgoing;
    if (pushes.length === 0 && divergences.length === 0 && refusals.length === 0) return;
    this.#outgoing = { divergences: [], refusals: [] };
    this.#options.sender.send({ pushes, divergences, refusals });
  }
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
