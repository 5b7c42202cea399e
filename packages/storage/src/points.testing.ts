/** Every point of a workload, one after the other: crashes (`crash-points.testing.ts`) and failures (`failure-points.testing.ts`). */
import {
  crashAt,
  type CrashMode,
  crashModes,
  operationsOf,
  type Point,
  type Verdict,
  type Wrap,
} from './crash-points.testing.ts';
import type { Workload } from './crash-history.testing.ts';
import { failureAt, type FailureMode, failureModes } from './failure-points.testing.ts';

export type PointMode = CrashMode | FailureMode;

/** `crash`: the power goes there, or the process is killed. `failure`: the operation fails, once. */
export const pointKinds = { crash: crashModes, failure: failureModes } as const satisfies Record<
  string,
  readonly PointMode[]
>;

export type PointKind = keyof typeof pointKinds;

export function verdictAt(workload: Workload, point: Point<PointMode>, wrap?: Wrap): Promise<Verdict> {
  const { mode } = point;
  return isFailure(mode) ? failureAt(workload, { ...point, mode }) : crashAt(workload, { ...point, mode }, wrap);
}

const isFailure = (mode: PointMode): mode is FailureMode => failureModes.some((known) => known === mode);

/** Enough: a workload that fails by itself never gets beyond its last operation. */
const problemsMax = 50;

export interface Problems {
  readonly found: readonly string[];
  readonly points: number;
}

export interface Enumeration {
  readonly kind?: PointKind;
  readonly wrap?: Wrap;
  /** Where there are more, those that are looked at lie evenly from the first operation to the last. */
  readonly pointsMax?: number;
  /** After each operation, with the points so far. */
  readonly onProgress?: (points: number) => void;
}

/** The points of the workload with this seed, in their order. */
export async function pointProblems(workload: Workload, seed: number, how: Enumeration = {}): Promise<Problems> {
  const { kind = 'crash', wrap, pointsMax = Number.POSITIVE_INFINITY, onProgress } = how;
  const modes = pointKinds[kind];
  const stride = await strideOf(workload, seed, { modes: modes.length, pointsMax });
  const found: string[] = [];
  let points = 0;
  for (let place = 0; found.length < problemsMax && points < pointsMax; place += stride) {
    const mode = modes[place % modes.length] ?? modes[0];
    const verdict = await verdictAt(workload, { seed, at: Math.floor(place / modes.length), mode }, wrap);
    if (verdict === 'beyond') break;
    if (verdict === 'same') continue;
    points += 1;
    if (verdict !== 'fine') found.push(verdict.problem);
    onProgress?.(points);
  }
  return { found, points };
}

/** No multiple of the modes, so that each of them has its turn. */
async function strideOf(
  workload: Workload,
  seed: number,
  { modes, pointsMax }: { readonly modes: number; readonly pointsMax: number },
): Promise<number> {
  if (pointsMax === Number.POSITIVE_INFINITY) return 1;
  const stride = Math.max(1, Math.floor(((await operationsOf(workload, seed)) * modes) / pointsMax));
  return stride % modes === 0 ? stride + 1 : stride;
}
