/** One measured thing of a micro-benchmark: its name, and figures under names with their units. */
export interface BenchFigure {
  readonly name: string;
  readonly [figure: string]: string | number | readonly number[];
}

export interface Benchmark {
  /** What `--only` takes; absent: it is all one. */
  readonly parts?: readonly string[];
  /** All of it, or one part. `behindGb`: of a node that catches up, where the benchmark has one. */
  run(part?: string, behindGb?: number): AsyncGenerator<BenchFigure, void, undefined>;
}

/** What two ways took in turn, so that what others do on the machine hits both. */
export interface Pairs {
  readonly ours: readonly number[];
  readonly other: readonly number[];
  /** Of `ours` and `other`. */
  readonly unit: string;
}

/** The median of ours by other, with the pairs that it comes from. */
export function ratioFigure(name: string, pairs: Pairs, goal: string): BenchFigure {
  const ratios = pairs.ours.map((value, at) => value / (pairs.other[at] ?? Number.NaN));
  const { ours, other, unit: pairUnit } = pairs;
  return { name, unit: 'ratio', value: rounded(median(ratios), 2), goal, ours, other, pairUnit };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Each of both `count` times, in turn, and every other time the other way round. */
export async function inTurn<T>(
  count: number,
  ours: () => Promise<T>,
  other: () => Promise<T>,
): Promise<readonly { readonly ours: T; readonly other: T }[]> {
  const pairs: { ours: T; other: T }[] = [];
  for (let at = 0; at < count; at += 1) {
    if (at % 2 === 0) {
      const first = await ours();
      pairs.push({ ours: first, other: await other() });
    } else {
      const first = await other();
      pairs.push({ ours: await ours(), other: first });
    }
  }
  return pairs;
}
