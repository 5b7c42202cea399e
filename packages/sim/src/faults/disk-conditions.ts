/**
 * What one machine's disk is like now: how slow, and which of its next operations fail. Changed by the fault driver, asked
 * by `MemoryDisk` for every operation.
 */
import type { Random } from '@sluice/base';
import type { DiskFault, DiskOperation, DiskOperationKind } from '@sluice/storage';

const calmMs = { flush: 1.5, other: 0.1 };
const flushes: ReadonlySet<DiskOperationKind> = new Set(['sync', 'syncDirectory', 'writeDurable']);

export interface ArmedFault {
  readonly kinds: readonly DiskOperationKind[];
  readonly fault: DiskFault;
  readonly onHit: () => void;
}

export class DiskConditions {
  /** Added to an operation, from nothing to twice this. */
  extraMeanMs = 0;
  readonly #random: Random;
  #armed: ArmedFault[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** The next operation of one of these kinds has this fault. */
  arm(fault: ArmedFault): void {
    this.#armed.push(fault);
  }

  /** What has not happened yet does not. */
  clear(): void {
    this.#armed = [];
  }

  delayMs({ kind }: DiskOperation): number {
    const calm = flushes.has(kind) ? calmMs.flush : calmMs.other;
    return this.extraMeanMs === 0 ? calm : calm + this.#random.below(2000 * this.extraMeanMs) / 1000;
  }

  faultOf({ kind }: DiskOperation): DiskFault {
    if (this.#armed.length === 0) return 'run';
    const at = this.#armed.findIndex(({ kinds }) => kinds.includes(kind));
    if (at < 0) return 'run';
    const [armed] = this.#armed.splice(at, 1);
    armed?.onHit();
    return armed?.fault ?? 'run';
  }
}
