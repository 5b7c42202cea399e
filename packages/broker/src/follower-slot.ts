/** One partition on one follower's stream: where its push stands. Owned by its `FollowerSession`. */
import { offset } from '@sluice/base';
import type { NodeId, Offset } from '@sluice/base';
import type { BatchParts } from '@sluice/wire';
import type { LogWatcher, PartitionHost } from './partition-host.ts';

/** Whom a slot tells that there is something to push. */
export interface SlotOwner {
  /** Data was appended. */
  appended(slot: Slot, bytes: number): void;
  /** The high watermark or the log start moved. */
  marksMoved(slot: Slot): void;
}

export class Slot implements LogWatcher {
  readonly host: PartitionHost;
  readonly number: number;
  readonly #owner: SlotOwner;
  pushing = false;
  reading = false;
  /** What comes next is not in memory any more: it waits for its turn to be read (P3). */
  behind = false;
  leaderEpoch = 0;
  session = 0;
  nextOffset: Offset = offset(0);
  /** Goes up when what is being read or sent is void. */
  round = 0;
  /** What the follower was told last in this session. */
  marksSent: { readonly highWatermark: Offset; readonly logStart: Offset } | undefined;
  /** The batch that is half pushed (L4); `nextOffset` lies behind it. */
  parts: BatchParts | undefined;

  constructor(owner: SlotOwner, host: PartitionHost, number: number) {
    this.#owner = owner;
    this.host = host;
    this.number = number;
  }

  get knowsMarks(): boolean {
    const { replica } = this.host;
    const { marksSent } = this;
    return replica?.highWatermark === marksSent?.highWatermark && replica?.logStart === marksSent?.logStart;
  }

  /** There are bytes to be read and pushed. */
  get hasMore(): boolean {
    return this.nextOffset < this.host.log.endOffset;
  }

  /** What comes next is in memory. */
  get isInTail(): boolean {
    return this.nextOffset >= this.host.log.tailStart;
  }

  /** Acks wait for this follower. */
  isAwaited(follower: NodeId): boolean {
    return this.host.replica?.maximalIsr.includes(follower) === true;
  }

  onAppended(bytes: number): void {
    this.#owner.appended(this, bytes);
  }

  onReadable(): void {
    this.#owner.marksMoved(this);
  }

  /** An idle partition pushes nothing that could tell of it. */
  onTrimmed(): void {
    this.#owner.marksMoved(this);
  }

  /** The machine sends `stopPush` itself. */
  onLeadershipEnd(): void {}
}
