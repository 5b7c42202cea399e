/** One measured thing of a micro-benchmark: its name, and figures under names with their units. */
export interface BenchFigure {
  readonly name: string;
  readonly [figure: string]: string | number;
}

export type Benchmark = () => AsyncGenerator<BenchFigure, void, undefined>;
