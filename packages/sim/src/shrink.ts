/**
 * Makes the list of faults of a failing run short: delta debugging over the plan, within a budget of runs. A shorter list
 * counts when the run violates the same invariant.
 */
import type { Fault } from './faults/fault.ts';

export interface Shrunk {
  /** Positions in the plan of those that are needed. */
  readonly kept: readonly number[];
  readonly runs: number;
}

export async function shrink(
  faults: readonly Fault[],
  fails: (faults: readonly Fault[]) => Promise<boolean>,
  runsMax: number,
): Promise<Shrunk> {
  let kept = faults.map((_, at) => at);
  let runs = 0;
  const failsWith = (positions: readonly number[]): Promise<boolean> => {
    runs += 1;
    const chosen = new Set(positions);
    return fails(faults.filter((_, at) => chosen.has(at)));
  };
  if (runsMax > 0 && (await failsWith([]))) return { kept: [], runs };
  for (let parts = 2; runs < runsMax && kept.length > 1; ) {
    const size = Math.ceil(kept.length / parts);
    let found = false;
    for (let from = 0; from < kept.length && runs < runsMax; ) {
      const rest = kept.filter((_, at) => at < from || at >= from + size);
      if (rest.length > 0 && (await failsWith(rest))) {
        kept = rest;
        found = true;
      } else from += size;
    }
    if (found) parts = Math.max(2, parts - 1);
    else if (size === 1) break;
    else parts = Math.min(kept.length, parts * 2);
  }
  return { kept, runs };
}
