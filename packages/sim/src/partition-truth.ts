/**
 * What is so of one partition, as the run has seen it: how far it is committed, by which leaders, what lies at each offset
 * and who has to have it. Written by `partition-invariants` alone.
 */
import { batchesIn } from '@sluice/record';
import { mustHold } from './violation.ts';

export interface Membership {
  readonly partitionEpoch: number;
  readonly leaderEpoch: number;
  readonly isr: readonly number[];
  readonly elr: readonly number[];
}

/** Of one replica, when its node was last seen alive: its disk holds as much when it is dead. */
export interface LastSeen {
  /** What it answers for. */
  end: number;
  /** The same of the life before: acks of that life may be under way. */
  endBefore: number;
}

export class PartitionTruth {
  readonly name: string;
  /** The newest that anybody knows. */
  members: Membership | undefined;
  readonly lastSeen = new Map<number, LastSeen>();
  readonly #leaderOf = new Map<number, number>();
  /** By leader epoch: the highest high watermark of its leader. */
  readonly #committed = new Map<number, number>();
  #committedEnd = 0;
  /** By base offset, of what was below a high watermark. */
  readonly #batches = new Map<number, string>();

  constructor(name: string) {
    this.name = name;
  }

  get committedEnd(): number {
    return this.#committedEnd;
  }

  /** By leaders of earlier epochs: what a leader of this one must have. */
  committedBefore(leaderEpoch: number): number {
    let end = 0;
    for (const [epoch, committed] of this.#committed) if (epoch < leaderEpoch && committed > end) end = committed;
    return end;
  }

  /** PI8. True when it is news. */
  leads(node: number, leaderEpoch: number): boolean {
    const known = this.#leaderOf.get(leaderEpoch);
    mustHold(known === undefined || known === node, 'one-leader-an-epoch', 'two nodes lead in one leader epoch', {
      partition: this.name,
      leaderEpoch,
      nodes: [known, node],
    });
    this.#leaderOf.set(leaderEpoch, node);
    return known === undefined;
  }

  /** Undefined before it was seen to lead. */
  leaderOf(leaderEpoch: number | undefined): number | undefined {
    return leaderEpoch === undefined ? undefined : this.#leaderOf.get(leaderEpoch);
  }

  commits(leaderEpoch: number, end: number): void {
    if (end > (this.#committed.get(leaderEpoch) ?? 0)) this.#committed.set(leaderEpoch, end);
    if (end > this.#committedEnd) this.#committedEnd = end;
  }

  /** Where durability is `replicated` and all who had it stopped at once. */
  lost(end: number): void {
    this.#committedEnd = end;
    for (const [epoch, committed] of this.#committed) this.#committed.set(epoch, Math.min(committed, end));
    for (const base of this.#batches.keys()) if (base >= end) this.#batches.delete(base);
  }

  /** PI4. `parts`: whole batches below a high watermark of `node`. */
  holds(node: number, parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      // Their checksums were checked when they came.
      for (const found of batchesIn(part, 'skip')) {
        mustHold(found.ok, 'one-value-an-offset', 'a log holds a batch that is none', { partition: this.name, node });
        const { baseOffset, lastOffsetDelta, leaderEpoch, crc } = found.header;
        const held = `${lastOffsetDelta + 1} records of leader epoch ${leaderEpoch}, crc ${crc}`;
        const known = this.#batches.get(baseOffset);
        const seen = { partition: this.name, node, baseOffset, held, known };
        mustHold(
          known === undefined || known === held,
          'one-value-an-offset',
          'two values at a committed offset',
          seen,
        );
        this.#batches.set(baseOffset, held);
      }
    }
  }
}
