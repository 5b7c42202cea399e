/** A worker process of `canaries`: loads the product only after the canary was planted. */
import { canaries } from '../packages/sim/src/canaries/canaries.ts';
import { watch, type Watched } from '../packages/sim/src/canaries/watch.ts';
import { watchUnhandled } from './unhandled.ts';
import { serveTasks } from './worker-tasks.ts';

export interface CanaryTask {
  readonly name: string;
  /** Without the canary: the seed that showed it shows nothing. */
  readonly isControl: boolean;
  readonly from: number;
  readonly seeds: number;
}

export type CanaryDone = Watched | { readonly error: string };

serveTasks(async ({ name, isControl, from, seeds }: CanaryTask, onSeed): Promise<CanaryDone> => {
  try {
    const canary = canaries.get(name);
    if (canary === undefined) return { error: `there is no canary ${name}` };
    return await watch({ canary: isControl ? undefined : canary, from, seeds, watchUnhandled }, onSeed);
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
});
