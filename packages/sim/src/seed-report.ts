/** A failing seed with what a person needs: the shortest list of faults that fails so, and what happened around it. */
import { faultText } from './faults/fault.ts';
import type { Fault } from './faults/fault.ts';
import { runSeed, type SeedOptions, type SeedResult, type ViolationReport } from './run-seed.ts';
import { shrink } from './shrink.ts';

export interface SeedReport {
  /** Positions in the plan that the seed draws. */
  readonly kept: readonly number[];
  readonly planned: number;
  readonly faults: readonly string[];
  readonly trace: string;
}

const linesAround = 60;

export interface ReportOptions extends Pick<SeedOptions, 'watchUnhandled'> {
  readonly runsMax: number;
  /** After each run. */
  readonly onRun: () => void;
}

export async function reportOf(failed: SeedResult, options: ReportOptions): Promise<SeedReport> {
  const { runsMax, onRun, ...seedOptions } = options;
  const [violation] = failed.violations;
  const { scenario } = await runSeed(failed.seed, seedOptions);
  const isSame = async (faults: readonly Fault[]): Promise<boolean> => {
    const { result } = await runSeed(failed.seed, { ...seedOptions, faults });
    onRun();
    return violation !== undefined && result.violations.some((other) => isSameViolation(other, violation));
  };
  const { kept } = await shrink(scenario.faults, isSame, runsMax);
  const faults = kept.flatMap((at) => scenario.faults[at] ?? []);
  const { result, timeline } = await runSeed(failed.seed, { ...seedOptions, faults, stacks: true });
  const atMs = result.violations[0]?.atMs ?? result.simulatedMs;
  return {
    kept,
    planned: scenario.faults.length,
    faults: faults.map(faultText),
    trace: timeline.around(atMs, linesAround),
  };
}

/** By name and by what is said of it, without numbers and details: one invariant may be broken in unlike ways. */
export const isSameViolation = (one: ViolationReport, other: ViolationReport): boolean =>
  one.invariant === other.invariant && sentence(one.text) === sentence(other.text);

const sentence = (text: string): string => (text.split(/[{\n]/)[0] ?? '').replaceAll(/\d+/g, '');
