/**
 * The topic of another kind that most runs have beside `orders`. What is acked there may be lost in some runs, by what the
 * topic was made to promise: then nobody reads it, and it is held to the invariants alone.
 */
import type { Random } from '@sluice/base';
import { damagingKinds, type Fault } from './faults/fault.ts';

export interface SideTopic {
  readonly replicas: number;
  readonly minIsr: number;
  readonly durability: 'fsync' | 'replicated';
  /** Between two trims, on average; undefined: nothing is trimmed. */
  readonly trimEveryMs: number | undefined;
}

export const sideTopic = 'side';

interface Circumstances {
  readonly brokers: number;
  readonly faults: readonly Fault[];
  /** Gone in the end. */
  readonly absent: readonly number[];
}

/** Undefined in a run without. */
export function drawSideTopic(random: Random, { brokers, faults, absent }: Circumstances): SideTopic | undefined {
  const draw = random.below(100);
  const replicas = Math.min(3, brokers);
  const made = { replicas, minIsr: 2, durability: 'fsync', trimEveryMs: undefined } as const;
  // The one that is gone in the end may be the only one that is known to be complete: the partition waits for it.
  if (draw < 35 && absent.length === 0) return { ...made, durability: 'replicated' };
  if (draw < 60) return { ...made, trimEveryMs: 200 + random.below(1500) };
  // The one replica that has what was acked must not be gone in the end.
  const mayBeAlone = absent.length === 0 && !faults.some(takesFromDisk);
  if (draw < 75) return mayBeAlone ? { ...made, minIsr: 1 } : undefined;
  if (draw < 90) return absent.length === 0 ? { ...made, replicas: 2 } : undefined;
  return undefined;
}

/** One of two copies on a disk that is lost is there still: `minIsr` 2 promises as much. */
const takesFromDisk = (fault: Fault): boolean =>
  damagingKinds.has(fault.kind) || (fault.kind === 'disk-error' && fault.operation === 'read');
