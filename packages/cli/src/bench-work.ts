/** Names of works, as the other systems' figures have them, so that lines stand side by side in one table. */
export interface ProduceWork {
  readonly recordBytes: number;
  readonly rate: number | undefined;
  /** True when batch size or linger differ from the client's own. */
  readonly tuned: boolean;
}

export function produceWorkName({ recordBytes, rate, tuned }: ProduceWork): string {
  const base = rate === undefined ? `produce-max ${recordBytes} B` : `produce ${rate}/s ${recordBytes} B`;
  return tuned ? `${base}, tuned` : base;
}

export interface LatencyMs {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** From a histogram of microseconds. */
export function latencyMs(histogram: { percentile(percent: number): number; readonly max: number }): LatencyMs {
  const at = (percent: number): number => histogram.percentile(percent) / 1000;
  return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: histogram.max / 1000 };
}
