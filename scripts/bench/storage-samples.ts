/** What a run over a disk measured, as figures. */
import { rounded } from './figure.ts';

export interface Sample {
  readonly latenciesMs: number[];
  readonly bytes: number;
  readonly elapsedMs: number;
  /** Of this process, its thread pool included. */
  readonly cpuUs: number;
}

export interface LatencyFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mbPerSecond: number;
  readonly operationsPerSecond: number;
  readonly cpuUsPerOperation: number;
  readonly cpuSecondsPerGb: number;
}

export function latencyFigures({ latenciesMs, bytes, elapsedMs, cpuUs }: Sample): LatencyFigures {
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (part: number): number => rounded(quantile(sorted, part), 3);
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    mbPerSecond: rounded(bytes / elapsedMs / 1000, 1),
    operationsPerSecond: Math.round((sorted.length * 1000) / elapsedMs),
    cpuUsPerOperation: rounded(cpuUs / Math.max(1, sorted.length), 1),
    cpuSecondsPerGb: rounded((cpuUs / Math.max(1, bytes)) * 1000, 2),
  };
}

export function together(samples: readonly Sample[]): Sample {
  const sum = (of: (sample: Sample) => number): number => samples.reduce((total, sample) => total + of(sample), 0);
  return {
    latenciesMs: samples.flatMap(({ latenciesMs }) => latenciesMs),
    bytes: sum(({ bytes }) => bytes),
    elapsedMs: sum(({ elapsedMs }) => elapsedMs),
    cpuUs: sum(({ cpuUs }) => cpuUs),
  };
}

/** Of values in their order. */
export const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.floor(sorted.length * part)] ?? 0;
