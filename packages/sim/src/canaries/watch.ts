/**
 * Runs seeds with a canary planted until one shows it. For a process of its own, which has loaded nothing of the product:
 * what runs is the default distribution under the usual judges, and knows of no canary.
 */
import type { SeedOptions } from '../run-seed.ts';
import type { Canary } from './canary.ts';
import { plant } from './plant.ts';

export interface Sighting {
  readonly seed: number;
  /** The invariant, anomaly or phase that saw it. */
  readonly by: string;
  readonly text: string;
  readonly atMs: number;
}

export interface Watched {
  /** How many were run, the one that showed it included. */
  readonly seeds: number;
  readonly wallMs: number;
  readonly sighting: Sighting | undefined;
}

export interface Watch extends Pick<SeedOptions, 'watchUnhandled'> {
  /** Undefined: as the product is. */
  readonly canary: Canary | undefined;
  readonly from: number;
  readonly seeds: number;
}

/** Throws when an edit of the canary was not made. `onSeed`: how many are done. */
export async function watch(
  { canary, from, seeds, ...options }: Watch,
  onSeed: (done: number) => void,
): Promise<Watched> {
  const assertPlanted = canary === undefined ? undefined : plant(canary);
  const { runSeed } = await import('../run-seed.ts');
  assertPlanted?.();
  const startedMs = performance.now();
  const wallMs = (): number => Math.round(performance.now() - startedMs);
  for (let done = 0; done < seeds; done += 1) {
    const seed = from + done;
    const { result } = await runSeed(seed, options);
    const [violation] = result.violations;
    if (violation !== undefined) {
      const { invariant, text, atMs } = violation;
      return { seeds: done + 1, wallMs: wallMs(), sighting: { seed, by: invariant, text, atMs: Math.round(atMs) } };
    }
    onSeed(done + 1);
  }
  return { seeds, wallMs: wallMs(), sighting: undefined };
}
