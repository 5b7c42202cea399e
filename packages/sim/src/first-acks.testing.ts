/** How long after a fault each partition is acked again. */
import type { SimLoad } from './sim-load.ts';
import type { Simulation } from './simulation.ts';

export interface FirstAcks {
  readonly partitions: readonly number[];
  /** Of the fault. */
  readonly sinceMs: number;
  /** So long after it acks may have been on the way before; default 0. */
  readonly ignoredMs?: number;
  readonly limitMs: number;
}

/** By partition, in the order that was asked for. */
export async function pausesUntilAcked(
  simulation: Simulation,
  load: SimLoad,
  { partitions, sinceMs, ignoredMs = 0, limitMs }: FirstAcks,
): Promise<readonly number[]> {
  const ackedMs = new Map<number, number>();
  let seen = load.acked.length;
  await simulation.until('acks on every partition', limitMs, () => {
    if (ignoredMs === 0 || simulation.nowMs - sinceMs > ignoredMs) {
      for (const { partition } of load.acked.slice(seen)) {
        if (!ackedMs.has(partition)) ackedMs.set(partition, simulation.nowMs);
      }
    }
    seen = load.acked.length;
    return partitions.every((partition) => ackedMs.has(partition));
  });
  return partitions.map((partition) => (ackedMs.get(partition) ?? Number.NaN) - sinceMs);
}
