/**
 * What one follower's stream pushes, and in which order: the slots that have something, each in one of three places, and
 * the credit. Owned by `FollowerSession`. The work of a turn goes by what is sent, never by how many slots there are.
 *
 * P1. First what is new and in memory, as long as there is credit, a run of each slot in turn.
 * P2. Then what takes no credit: a confirmed position, a moved high watermark, the next part of a batch that has begun.
 * P3. Then what is *behind*, on the disk: one read at a time, within the node's budget, with at most half of the window
 *     under way. Slots take turns: first those whose follower is in sync, since acks wait for it, and after three of them
 *     one of the others.
 * P4. A slot that is behind and found no credit left goes before P1 the next time: the head may take all that is granted,
 *     again and again.
 */
import { invariant, OncePerTurn, toSluiceError } from '@sluice/base';
import type { Clock, Logger, NodeId, SluiceError } from '@sluice/base';
import type { ReadResult } from '@sluice/storage';
import { BatchParts, partBytesMax, PartPacing, SendCredit } from '@sluice/wire';
import type { ReplicaPush, ReplicateResponse, StreamSender } from '@sluice/wire';
import { batchesFrom } from './batches-from.ts';
import type { CatchUpBudget } from './catch-up-budget.ts';
import type { Slot, SlotOwner } from './follower-slot.ts';

/** Most bytes of one partition in one push, so that others are not stuck behind it. */
const runBytesMax = 256 * 1024;
/** About the most bytes of batches in one message, and in one read behind the tail. */
const messageBytesMax = 512 * 1024;
const behindBytesMin = 16 * 1024;
/** Slots that acks wait for and that are read before one of the others. */
const awaitedTurnsMax = 3;
/** A moved high watermark or log start waits this long for a push to ride on. */
const marksDelayMs = 5;

/** Of all streams to followers of this node, since it started. */
export interface PushCounts {
  pushedBytes: number;
  catchUpBytes: number;
}

export interface FollowerPushesOptions {
  /** The follower. */
  readonly nodeId: NodeId;
  readonly sender: Pick<StreamSender<ReplicateResponse>, 'bufferedBytes' | 'whenDrained'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly budget: CatchUpBudget;
  readonly counts: PushCounts;
  /** With what else the session has to say. */
  readonly send: (pushes: readonly ReplicaPush[]) => void;
  /** The slot has stopped. */
  readonly refuse: (slot: Slot, failure: SluiceError) => void;
}

export class FollowerPushes implements SlotOwner {
  readonly #options: FollowerPushesOptions;
  readonly #credit = new SendCredit();
  readonly #pacing = new PartPacing();
  /** P1. Like the others: each slot once. */
  readonly #head = new Set<Slot>();
  /** P2 */
  readonly #free = new Set<Slot>();
  /** P3, without the one that is being read: those whose follower was in sync when they got here, and the others. */
  readonly #awaited = new Set<Slot>();
  readonly #behind = new Set<Slot>();
  /** Awaited ones that were read one after the other. */
  #awaitedTurns = 0;
  #coldRead: Slot | undefined;
  /** P4 */
  #isBehindDue = false;
  /** Slots whose marks moved since the timer was set. */
  readonly #moved = new Set<Slot>();
  readonly #pumping: OncePerTurn;
  readonly #pumpSoon = (): void => this.#pumping.soon();
  #gathered: ReplicaPush[] = [];
  #gatheredBytes = 0;
  #closed = false;

  constructor(options: FollowerPushesOptions) {
    this.#options = options;
    this.#pumping = new OncePerTurn(options.clock, () => {
      if (!this.#closed) this.#pump();
    });
  }

  /** Slots that are behind, the one that is being read among them. */
  get behindCount(): number {
    return this.#behind.size + this.#awaited.size + (this.#coldRead?.behind === true ? 1 : 0);
  }

  grant(bytes: number): void {
    if (bytes === 0) return;
    this.#credit.grant(bytes);
    this.#pumping.soon();
  }

  /** There is something to send that is no push. */
  soon(): void {
    this.#pumping.soon();
  }

  appended(slot: Slot, bytes: number): void {
    if (slot.behind) this.#options.budget.earn(bytes);
    this.wake(slot);
  }

  /** It rides on the next push, or goes alone after a moment. */
  marksMoved(slot: Slot): void {
    if (!slot.pushing || this.#closed) return;
    this.#moved.add(slot);
    if (this.#moved.size > 1) return;
    this.#options.clock.setTimer(marksDelayMs, () => {
      for (const moved of this.#moved) if (moved.pushing && !moved.knowsMarks) this.#place(moved);
      this.#moved.clear();
      this.#pumping.soon();
    });
  }

  /** The slot may have something to push. */
  wake(slot: Slot): void {
    if (!slot.pushing) return;
    this.#place(slot);
    this.#pumping.soon();
  }

  stop(slot: Slot): void {
    slot.pushing = false;
    slot.parts = undefined;
    slot.behind = false;
    slot.round += 1;
    this.#free.delete(slot);
    this.#head.delete(slot);
    this.#leaveBehind(slot);
  }

  /** The slots were stopped. */
  close(): void {
    this.#closed = true;
    this.#options.budget.forget(this.#pumpSoon);
  }

  /** Where what it has to push next belongs. */
  #place(slot: Slot): void {
    // Looked at again when the read is over.
    if (!slot.pushing || slot.reading) return;
    if (slot.parts !== undefined) {
      this.#free.add(slot);
      return;
    }
    slot.behind = slot.hasMore && !slot.isInTail;
    if (slot.behind) {
      this.#head.delete(slot);
      const [to, from] = slot.isAwaited(this.#options.nodeId)
        ? [this.#awaited, this.#behind]
        : [this.#behind, this.#awaited];
      from.delete(slot);
      to.add(slot);
      // The first push confirms the position; what the marks are after it its batches tell.
      if (slot.marksSent === undefined) this.#free.add(slot);
      return;
    }
    this.#leaveBehind(slot);
    if (!slot.hasMore) {
      if (!slot.knowsMarks) this.#free.add(slot);
      return;
    }
    // What the marks are its batches tell.
    this.#free.delete(slot);
    this.#head.add(slot);
  }

  #pump(): void {
    if (this.#isBehindDue) this.#readBehind();
    this.#pumpHead();
    this.#pumpFree();
    this.#readBehind();
    this.#flush();
  }

  /** P1 */
  #pumpHead(): void {
    for (const slot of this.#head) {
      if (!this.#credit.canSend) return;
      this.#head.delete(slot);
      const { log } = slot.host;
      const read = slot.isInTail ? log.read(slot.nextOffset, log.endOffset, runBytesMax) : undefined;
      invariant(!(read instanceof Promise), 'what is in the tail is read at once', { from: slot.nextOffset });
      if (read !== undefined) this.#push(slot, read);
      // It left the tail since it was placed, or has more.
      if (read === undefined || hasBatches(read)) this.#place(slot);
    }
  }

  /** P2 */
  #pumpFree(): void {
    let partWaits = false;
    const { sender } = this.#options;
    for (const slot of this.#free) {
      if (slot.parts !== undefined && !this.#pacing.take(sender.bufferedBytes + this.#gatheredBytes)) {
        partWaits = true;
        continue;
      }
      this.#free.delete(slot);
      if (slot.parts === undefined && slot.knowsMarks) continue;
      this.#gather(slot, this.#pushOf(slot, []));
      this.#place(slot);
    }
    if (partWaits) sender.whenDrained(partBytesMax, this.#pumpSoon);
  }

  /** P3 */
  #readBehind(): void {
    this.#isBehindDue = false;
    const slot = this.#nextBehind();
    if (slot === undefined || this.#coldRead !== undefined) return;
    if (!this.#credit.canSendBehind) {
      this.#isBehindDue = !this.#credit.canSend;
      return;
    }
    if (!this.#options.budget.mayRead(this.#pumpSoon)) return;
    this.#awaitedTurns = this.#awaited.has(slot) ? this.#awaitedTurns + 1 : 0;
    this.#leaveBehind(slot);
    this.#coldRead = slot;
    slot.reading = true;
    void this.#readCold(slot);
  }

  #leaveBehind(slot: Slot): void {
    this.#behind.delete(slot);
    this.#awaited.delete(slot);
  }

  #nextBehind(): Slot | undefined {
    const [awaited] = this.#awaited;
    const [other] = this.#behind;
    const isOthersTurn = this.#awaitedTurns >= awaitedTurnsMax;
    return isOthersTurn ? (other ?? awaited) : (awaited ?? other);
  }

  async #readCold(slot: Slot): Promise<void> {
    const { round } = slot;
    const { log } = slot.host;
    const bytesMax = Math.min(messageBytesMax, Math.max(behindBytesMin, this.#credit.windowBytes >> 2));
    let read: ReadResult | SluiceError;
    try {
      read = await log.read(slot.nextOffset, log.endOffset, bytesMax);
    } catch (error) {
      read = toSluiceError(error);
    }
    this.#coldRead = undefined;
    slot.reading = false;
    if (this.#closed) return;
    if ('kind' in read && read.kind === 'batches') this.#options.budget.charge(read.bytes);
    // A new position voids what was read for the old one (L3).
    if (slot.pushing && slot.round === round) this.#onCold(slot, read);
    this.#place(slot);
    this.#pumping.soon();
  }

  #onCold(slot: Slot, read: ReadResult | SluiceError): void {
    if ('kind' in read) {
      this.#push(slot, read);
      this.#flush();
      return;
    }
    // The other partitions of the stream are none the worse.
    this.#options.logger.error('follower read failed', { err: read, topic: slot.host.topicName });
    this.stop(slot);
    this.#options.refuse(slot, read);
  }

  #push(slot: Slot, read: ReadResult): void {
    if (read.kind === 'out-of-range') {
      this.stop(slot);
      this.#options.refuse(slot, slot.host.error('OFFSET_OUT_OF_RANGE'));
      return;
    }
    const { counts } = this.#options;
    counts.pushedBytes += read.bytes;
    if (slot.behind) {
      counts.catchUpBytes += read.bytes;
      this.#credit.takeBehind(read.bytes);
    } else {
      this.#credit.overdraw(read.bytes);
    }
    const batches = batchesFrom(read.batches, slot.nextOffset);
    slot.nextOffset = read.endOffset;
    slot.parts = BatchParts.ofLarge(batches);
    if (slot.parts === undefined) this.#pacing.onWhole(read.bytes);
    this.#gather(slot, this.#pushOf(slot, batches));
  }

  /** `batches` are whole, unless the slot has begun one in parts. */
  #pushOf(slot: Slot, batches: readonly Uint8Array[]): ReplicaPush {
    const { replica } = slot.host;
    invariant(replica !== undefined, 'L3: a pushing slot has a loaded replica');
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

  #gather(slot: Slot, push: ReplicaPush): void {
    invariant(slot.pushing, 'L3: only a slot that pushes is pushed', { slot: slot.number });
    this.#gathered.push(push);
    this.#gatheredBytes += push.batches.reduce((sum, batch) => sum + batch.byteLength, 0);
    if (this.#gatheredBytes >= messageBytesMax) this.#flush();
  }

  #flush(): void {
    const pushes = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    this.#options.send(pushes);
  }
}

const hasBatches = (read: ReadResult): boolean => read.kind === 'batches' && read.batches.length > 0;
