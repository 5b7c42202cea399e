/** What a fault costs producers. */
import type { Load } from './load.ts';
import { until } from './until.ts';

/** Acks that were on their way when the fault struck arrive within this time. */
const settleMs = 20;

export interface PauseOptions {
  readonly partitions: number;
  readonly timeoutMs: number;
  /** For the message when some partition is never acked again. */
  readonly standing?: () => string;
}

/**
 * The longest pause of acks on a partition that `fault` caused. Resolves when `fault` is done and every partition was
 * acked since.
 */
export async function ackPause(
  { gaps }: Load,
  fault: () => Promise<void>,
  { partitions, timeoutMs, standing = () => '' }: PauseOptions,
): Promise<number> {
  const all = Array.from({ length: partitions }, (_, partition) => partition);
  const beganMs = performance.now();
  await fault();
  const struckMs = performance.now();
  const silent = (): readonly number[] => gaps.silentSince(struckMs + settleMs, all);
  return until(() => (silent().length > 0 ? undefined : gaps.longestMs(all, beganMs)), {
    what: 'acks on every partition after the fault',
    timeoutMs,
    standing: () => `(silent: ${silent().join(', ')}) ${standing()}`,
  });
}
