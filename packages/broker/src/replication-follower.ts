/**
 * The following side of replication: one `LeaderLink` for each node that leads partitions with a replica here. It keeps
 * one stream to that node open while there is something to follow. Owned by `ReplicationService`.
 *
 * F1. A new stream carries no old position: every partition states its own again when the leader has said hello.
 * F2. Batches are checked against their CRC before the machine hears of them.
 * F3. Credit comes back when the node log has room: a slow disk slows the leader instead of filling memory. What came on
 *     one stream is never given back on the next, which begins with the whole window.
 *    While the disk is low none comes back, and a new stream begins without any: what this node leads is refused to
 *    producers then, and what it follows must not fill the rest. It leaves the ISRs as any that is behind.
 * F4. A stream speaks for one broker epoch: with a new one it is opened anew, or the leader would refuse all it says.
 * F5. A batch in parts is delivered with its last. A new position, or a push that does not continue it, voids what is
 *     there of it. All its bytes were taken from the leader's credit with the first part: one such batch at a time is
 *     granted again at once, so that other partitions need not wait for it.
 */
import {
  isSmallPosition,
  leaderEpoch,
  offset,
  sessionNumber,
  SluiceError,
  toSluiceError,
  OncePerTurn,
} from '@sluice/base';
import type { BrokerEpoch, Clock, Logger, NodeId, Timer } from '@sluice/base';
import { topicConfigTable } from '@sluice/metadata';
import type { FollowerAck, ReplicationMessage } from '@sluice/partition';
import { batchBytesMaxFor } from '@sluice/record';
import type { NodeLog } from '@sluice/storage';
import { decodeError, identityMessage, methods, PartAssembler, peerRefusal } from '@sluice/wire';
import type {
  ReplicaAck,
  ReplicaDivergence,
  ReplicaPosition,
  ReplicaPush,
  ReplicaRefusal,
  ReplicateResponse,
  RpcClient,
  StreamSender,
  ReplicateRequest,
} from '@sluice/wire';
import { checkedFacts } from './batch-facts.ts';
import type { NodeIdentity } from './node-identity.ts';
import type { HeardStream } from './node-liveness.ts';
import type { PartitionHost } from './partition-host.ts';

export interface LeaderLinkOptions {
  readonly leader: NodeId;
  /** Peer address of the leader, as far as metadata knows. */
  readonly address: () => string | undefined;
  readonly identity: NodeIdentity;
  readonly nodeLog: NodeLog;
  readonly rpc: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly windowBytes: number;
  readonly heartbeatMs: number;
  /** A leader that is silent for longer is taken for gone, and the stream opened anew. */
  readonly sessionTimeoutMs: number;
  /** A stream to the leader begins, as far as this node's liveness is concerned. */
  readonly openLiveness: () => HeardStream;
}

/** A batch of which parts are to come. */
interface Begun {
  readonly leaderEpoch: number;
  readonly session: number;
  readonly assembler: PartAssembler;
}

const retryMs = 50;
const noBytes = new Uint8Array(0);
/** No topic has larger ones. */
const batchBytesMax = batchBytesMaxFor(topicConfigTable.recordBytesMax.max);

export class LeaderLink {
  readonly #options: LeaderLinkOptions;
  readonly #slots = new Map<PartitionHost, number>();
  readonly #hosts = new Map<number, PartitionHost>();
  #slotCount = 0;
  #stream: StreamSender<ReplicateRequest> | undefined;
  #liveness: HeardStream | undefined;
  /** The leader has said hello on the stream. */
  #open = false;
  #attempt = 0;
  /** That the stream said hello with. */
  #epoch: BrokerEpoch | undefined;
  #timer: Timer | undefined;
  #lastHeardMs = 0;
  /** By slot. */
  readonly #positions = new Map<number, ReplicaPosition>();
  readonly #acks = new Map<number, ReplicaAck>();
  #released: number[] = [];
  #creditBytes = 0;
  /** By slot (F5). */
  readonly #begun = new Map<number, Begun>();
  /** The batch in parts whose bytes were granted again. */
  #apart: Begun | undefined;
  readonly #flushing: OncePerTurn;
  #stopped = false;

  constructor(options: LeaderLinkOptions) {
    this.#options = options;
    this.#flushing = new OncePerTurn(options.clock, () => this.#flush());
  }

  position(host: PartitionHost, message: Extract<ReplicationMessage, { kind: 'position' }>): void {
    let slot = this.#slots.get(host);
    if (slot === undefined) {
      this.#slotCount += 1;
      slot = this.#slotCount;
      this.#slots.set(host, slot);
      this.#hosts.set(slot, host);
    }
    if (this.#stream === undefined) this.#connectAfter(0);
    // When the leader says hello everything is stated anew (F1).
    if (!this.#open) return;
    this.#void(slot);
    this.#acks.delete(slot);
    this.#positions.set(slot, {
      slot,
      topicId: host.id.topicId,
      partition: host.id.partition,
      kind: host.id.kind,
      leaderEpoch: message.leaderEpoch,
      session: message.session,
      fetchOffset: message.fetchOffset,
      lastEpoch: message.lastEpoch ?? -1,
      durableOffset: message.durableOffset,
      durableStart: message.durableStart,
      partitionEpoch: message.partitionEpoch,
    });
    this.#flushing.soon();
  }

  ack(host: PartitionHost, ack: FollowerAck): void {
    const slot = this.#slots.get(host);
    if (slot === undefined || !this.#open) return;
    const { leaderEpoch: epoch, session, durableOffset, durableStart, ackOffset } = ack;
    this.#acks.set(slot, { slot, leaderEpoch: epoch, session, durableOffset, durableStart, ackOffset });
    this.#flushing.soon();
  }

  /** The host follows another node now, leads, or is gone. */
  release(host: PartitionHost): void {
    const slot = this.#slots.get(host);
    if (slot === undefined) return;
    this.#slots.delete(host);
    this.#hosts.delete(slot);
    this.#acks.delete(slot);
    this.#void(slot);
    this.#positions.delete(slot);
    if (this.#slots.size === 0) return this.#disconnect();
    if (!this.#open) return;
    this.#released.push(slot);
    this.#flushing.soon();
  }

  /** This broker was registered anew (F4). */
  onRegistered(): void {
    if (this.#stream === undefined || this.#epoch === this.#options.identity.brokerEpoch) return;
    this.#disconnect();
    this.#connectAfter(0);
  }

  stop(): void {
    this.#stopped = true;
    this.#disconnect();
  }

  #disconnect(): void {
    this.#attempt += 1;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#open = false;
    this.#positions.clear();
    this.#acks.clear();
    this.#released = [];
    this.#creditBytes = 0;
    this.#begun.clear();
    this.#apart = undefined;
    this.#stream?.close(new SluiceError('CANCELLED'));
    this.#stream = undefined;
    this.#liveness?.closed();
    this.#liveness = undefined;
  }

  #connectAfter(delayMs: number): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(delayMs, () => {
      this.#timer = undefined;
      if (this.#slots.size > 0) this.#connect();
    });
  }

  #reconnect(): void {
    this.#disconnect();
    this.#connectAfter(retryMs);
  }

  #connect(): void {
    const { address, rpc, identity, clock, logger, leader } = this.#options;
    const to = address();
    if (to === undefined) return this.#connectAfter(retryMs);
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#lastHeardMs = clock.monotonicMs();
    this.#epoch = identity.brokerEpoch;
    this.#liveness = this.#options.openLiveness();
    this.#stream = rpc.stream(methods.replication.replicate, to, {
      onMessage: (response) => {
        if (attempt === this.#attempt) this.#onResponse(response);
      },
      onClose: (error) => {
        if (attempt !== this.#attempt) return;
        logger.debug('replication stream closed', { leader, err: error });
        this.#reconnect();
      },
    });
    const { nodeLog, windowBytes } = this.#options;
    const isLow = nodeLog.disk.isLow;
    this.#stream.send({ identity: identityMessage(identity), creditBytes: isLow ? 0 : windowBytes });
    if (isLow) this.#grantLater(windowBytes, attempt);
    this.#beatLater(attempt);
  }

  #beatLater(attempt: number): void {
    const { clock, heartbeatMs, sessionTimeoutMs } = this.#options;
    clock.setTimer(heartbeatMs, () => {
      if (attempt !== this.#attempt) return;
      if (clock.monotonicMs() - this.#lastHeardMs > sessionTimeoutMs) return this.#reconnect();
      this.#stream?.send({});
      this.#beatLater(attempt);
    });
  }

  #onResponse(response: ReplicateResponse): void {
    const problem = this.#open ? numberProblem(response) : this.#helloProblem(response);
    if (problem !== undefined) return this.#onProblem(problem);
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    this.#liveness?.heard();
    if (!this.#open) {
      this.#open = true;
      for (const host of this.#slots.keys()) host.step({ kind: 'restate' });
      return;
    }
    for (const refusal of response.refusals) this.#onRefusal(refusal);
    for (const divergence of response.divergences) this.#onDivergence(divergence);
    const attempt = this.#attempt;
    for (const push of response.pushes) {
      if (attempt !== this.#attempt) return;
      if (push.moreBytes === 0 && !push.continues && this.#begun.size === 0) this.#onPush(push);
      else this.#onMaybePart(push);
    }
  }

  #onProblem(problem: SluiceError): void {
    this.#options.logger.warn('leader not understood', { leader: this.#options.leader, err: problem });
    this.#reconnect();
  }

  /** The address may be another node's by now. */
  #helloProblem({ identity }: ReplicateResponse): SluiceError | undefined {
    const { identity: self, leader } = this.#options;
    const refusal = peerRefusal(self, identity);
    if (refusal !== undefined || identity?.nodeId === leader) return refusal;
    return new SluiceError('WRONG_IDENTITY', {
      message: `Node ${identity?.nodeId} answers where node ${leader} should.`,
    });
  }

  #onPush(push: ReplicaPush, begun?: Begun): void {
    const host = this.#hosts.get(push.slot);
    const bytes = push.batches.reduce((sum, batch) => sum + batch.byteLength, 0);
    const attempt = this.#attempt;
    if (host !== undefined) this.#deliver(host, push);
    if (bytes === 0) return;
    const { nodeLog } = this.#options;
    nodeLog.whenRoom(() =>
      nodeLog.whenDiskRoom(() => {
        if (attempt !== this.#attempt) return;
        if (begun === undefined) this.#release(bytes);
        else this.#releaseBegun(begun);
      }),
    );
  }

  /** Also when the leader has not said hello yet: then with the positions. */
  #grantLater(bytes: number, attempt: number): void {
    this.#options.nodeLog.whenDiskRoom(() => {
      if (attempt !== this.#attempt) return;
      this.#creditBytes += bytes;
      this.#flushing.soon();
    });
  }

  /** Any push, while a batch is begun (F5). */
  #onMaybePart(push: ReplicaPush): void {
    const { slot, leaderEpoch: epoch, session, moreBytes, continues } = push;
    const before = this.#begun.get(slot);
    // What goes on after a new position is the rest of a batch that is void.
    if (continues && before === undefined) return;
    if (!continues) this.#void(slot);
    if (!continues && moreBytes === 0) return this.#onPush(push);
    const part = { bytes: push.batches[0] ?? noBytes, moreBytes };
    // Released meanwhile: the leader stops when it hears of it, perhaps before the last part.
    if (!this.#hosts.has(slot)) return this.#release(part.bytes.byteLength + moreBytes);
    try {
      if (push.batches.length !== 1) throw new SluiceError('INVALID_REQUEST', { message: 'A push holds one part.' });
      const begun = continues && before !== undefined ? before : this.#begin(push, part);
      if (begun.leaderEpoch !== epoch || begun.session !== session) {
        throw new SluiceError('INVALID_REQUEST', { message: 'A part is of another session than what it continues.' });
      }
      const whole = begun.assembler.add(part);
      if (whole === undefined) return;
      this.#begun.delete(slot);
      this.#onPush({ ...push, batches: [whole] }, begun);
    } catch (error) {
      const problem = toSluiceError(error);
      if (problem.code !== 'INVALID_REQUEST') throw error;
      this.#onProblem(problem);
    }
  }

  #begin({ slot, leaderEpoch: epoch, session }: ReplicaPush, part: { bytes: Uint8Array; moreBytes: number }): Begun {
    const begun = { leaderEpoch: epoch, session, assembler: new PartAssembler(part, batchBytesMax) };
    this.#begun.set(slot, begun);
    if (this.#apart === undefined) {
      this.#apart = begun;
      this.#release(begun.assembler.batchBytes);
    }
    return begun;
  }

  #void(slot: number): void {
    const begun = this.#begun.get(slot);
    if (begun === undefined) return;
    this.#begun.delete(slot);
    this.#releaseBegun(begun);
  }

  #releaseBegun(begun: Begun): void {
    if (this.#apart === begun) this.#apart = undefined;
    else this.#release(begun.assembler.batchBytes);
  }

  #deliver(host: PartitionHost, push: ReplicaPush): void {
    try {
      const batches = push.batches.map((bytes) => ({ bytes, facts: checkedFacts(bytes) }));
      host.pushed(
        {
          leaderEpoch: leaderEpoch(push.leaderEpoch),
          session: sessionNumber(push.session),
          highWatermark: offset(push.highWatermark),
          logStart: offset(push.logStart),
        },
        batches,
      );
    } catch (error) {
      const failure = toSluiceError(error);
      if (failure.code !== 'CORRUPT_BATCH' && failure.code !== 'INVALID_BATCH') throw error;
      this.#options.logger.error('damaged batch from the leader, asking again', {
        topic: host.topicName,
        partition: host.id.partition,
        leader: this.#options.leader,
        err: failure,
      });
      // Not at once: a leader whose bytes are damaged would send them again as fast as it is asked.
      host.step({
        kind: 'positionRefused',
        leaderEpoch: leaderEpoch(push.leaderEpoch),
        session: sessionNumber(push.session),
        error: failure.code,
        logStart: offset(0),
      });
    }
  }

  #onDivergence(divergence: ReplicaDivergence): void {
    this.#hosts.get(divergence.slot)?.step({
      kind: 'diverged',
      leaderEpoch: leaderEpoch(divergence.leaderEpoch),
      session: sessionNumber(divergence.session),
      epoch: divergence.epoch === -1 ? undefined : leaderEpoch(divergence.epoch),
      endOffset: offset(divergence.endOffset),
    });
  }

  #onRefusal(refusal: ReplicaRefusal): void {
    const host = this.#hosts.get(refusal.slot);
    if (host === undefined || refusal.error === null) return;
    const failure = decodeError(refusal.error);
    host.step({
      kind: 'positionRefused',
      leaderEpoch: leaderEpoch(refusal.leaderEpoch),
      session: sessionNumber(refusal.session),
      error: failure.code,
      logStart: offset(refusal.logStart),
    });
  }

  /** Bytes are dealt with; small amounts wait for the next message. */
  #release(bytes: number): void {
    if (!this.#open) return;
    this.#creditBytes += bytes;
    if (this.#creditBytes * 4 >= this.#options.windowBytes) this.#flushing.soon();
  }

  #flush(): void {
    if (this.#stream === undefined || !this.#open) return;
    const message = {
      positions: [...this.#positions.values()],
      acks: [...this.#acks.values()],
      creditBytes: this.#creditBytes,
      releasedSlots: this.#released,
    };
    this.#positions.clear();
    this.#acks.clear();
    this.#creditBytes = 0;
    this.#released = [];
    this.#stream.send(message);
  }
}

/** What a leader sends is checked before it is branded: another node's bug must not stop this one. */
function numberProblem({ pushes, divergences, refusals }: ReplicateResponse): SluiceError | undefined {
  const whole =
    [...pushes, ...refusals].every((one) => isSmallPosition(one.leaderEpoch)) &&
    divergences.every((one) => isSmallPosition(one.leaderEpoch) && (one.epoch === -1 || isSmallPosition(one.epoch)));
  return whole ? undefined : new SluiceError('INVALID_REQUEST', { message: 'A leader epoch is 0 to 2^31 − 1.' });
}
