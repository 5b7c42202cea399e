/**
 * Positions that came before this node has the replica that they ask: metadata names it a moment later, or its log is
 * being read. Each waits, unanswered, until the replica is loaded, and is then judged as if it came now. Owned by one
 * `FollowerSession`: what the stream carried ends with it.
 *
 * One for each slot, and for each log: a later statement voids the one before.
 */
import { LogKind, logKey, partitionIndex, topicId } from '@sluice/base';
import type { LogId } from '@sluice/base';
import type { ReplicaPosition } from '@sluice/wire';

/** The partition that a position names, whose numbers were checked. */
export const logOf = (position: ReplicaPosition): LogId => ({
  topicId: topicId(position.topicId),
  partition: partitionIndex(position.partition),
  kind: LogKind.data,
});

export class EarlyPositions {
  readonly #countMax: number;
  readonly #bySlot = new Map<number, ReplicaPosition>();
  readonly #slotOf = new Map<string, number>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#bySlot.size;
  }

  /** False when there is no room for one more. */
  keep(position: ReplicaPosition): boolean {
    const key = logKey(logOf(position));
    this.release(position.slot);
    const other = this.#slotOf.get(key);
    if (other !== undefined) this.release(other);
    if (this.#bySlot.size >= this.#countMax) return false;
    this.#bySlot.set(position.slot, position);
    this.#slotOf.set(key, position.slot);
    return true;
  }

  release(slot: number): void {
    const position = this.#bySlot.get(slot);
    if (position === undefined) return;
    this.#bySlot.delete(slot);
    this.#slotOf.delete(logKey(logOf(position)));
  }

  /** The replica is there now. */
  take(log: LogId): ReplicaPosition | undefined {
    const slot = this.#slotOf.get(logKey(log));
    if (slot === undefined) return undefined;
    const position = this.#bySlot.get(slot);
    this.release(slot);
    return position;
  }

  clear(): void {
    this.#bySlot.clear();
    this.#slotOf.clear();
  }
}
