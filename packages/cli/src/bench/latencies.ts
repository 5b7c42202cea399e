/** How long records took. One addition to an array a call, so that a million calls a second cost the load nothing. */
import { build } from 'hdr-histogram-js';
import type { Histogram } from 'hdr-histogram-js';

export interface LatencyMs {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Microseconds: longer than any delivery may take. */
const longestUs = 600_000_000;

export class Latencies {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: 3,
  });

  get count(): number {
    return this.#histogram.totalCount;
  }

  /** `records` of them took `ms` each. */
  record(ms: number, records = 1): void {
    const us = Math.min(longestUs, Math.max(1, Math.round(ms * 1000)));
    this.#histogram.recordValueWithCount(us, records);
  }

  /** Undefined when nothing was recorded. */
  summary(): LatencyMs | undefined {
    if (this.count === 0) return undefined;
    const maxUs = this.#histogram.maxValue;
    // A quantile is the upper edge of its bucket, which may lie above the largest value in it.
    const at = (percent: number): number => Math.min(maxUs, this.#histogram.getValueAtPercentile(percent)) / 1000;
    return { p50: at(50), p90: at(90), p99: at(99), p999: at(99.9), max: maxUs / 1000 };
  }
}
