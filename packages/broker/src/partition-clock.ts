/**
 * The clock of all partitions of this node: steps each replica with the time, once an interval. Owned by `BrokerNode`.
 *
 * So many in a turn, then others have theirs: 10,000 replicas in one turn would hold up every ack for as long.
 */
import type { Clock, Timer } from '@sluice/base';
import type { PartitionEvent } from '@sluice/partition';

export interface PartitionClockOptions {
  /** May change while it is walked. */
  readonly hosts: Iterable<{ step(event: PartitionEvent): void }>;
  readonly clock: Clock;
  readonly intervalMs: number;
}

export const ticksATurn = 256;
const turnMs = 1;

export class PartitionClock {
  readonly #options: PartitionClockOptions;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: PartitionClockOptions) {
    this.#options = options;
  }

  start(): void {
    this.#after(this.#options.intervalMs, () => this.#round());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #round(): void {
    const { hosts, clock, intervalMs } = this.#options;
    const beganMs = clock.monotonicMs();
    const left = hosts[Symbol.iterator]();
    const turn = (): void => {
      const nowMs = clock.monotonicMs();
      for (let count = 0; count < ticksATurn; count += 1) {
        const next = left.next();
        if (next.done === true) return this.#after(beganMs + intervalMs - nowMs, () => this.#round());
        next.value.step({ kind: 'tick', nowMs });
      }
      this.#after(turnMs, turn);
    };
    turn();
  }

  #after(delayMs: number, run: () => void): void {
    // What a step led to may have stopped the node.
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(Math.max(0, delayMs), run);
  }
}
