/** Of a few exact values, such as one pause a round: nearest rank, so that each is a value that was measured. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Undefined when there are no values. */
export function percentiles(values: readonly number[]): Percentiles | undefined {
  const sorted = values.toSorted((one, other) => one - other);
  const max = sorted.at(-1);
  if (max === undefined) return undefined;
  const at = (percent: number): number => sorted[Math.ceil((percent / 100) * sorted.length) - 1] ?? max;
  return { p50: at(50), p90: at(90), p99: at(99), max };
}

export const percentilesText = (found: Percentiles | undefined): string =>
  found === undefined ? '-' : `p50 ${found.p50}, p90 ${found.p90}, p99 ${found.p99}, max ${found.max} ms`;
