/** When those who look at all partitions again and again, retention and compaction, do so next. */
import type { Random } from '@sluice/base';

/** Of the interval: nodes that started together do not go on looking together. */
const jitterPercent = 20;

export function nextLookMs(intervalMs: number, random: Random): number {
  const percent = 100 - jitterPercent / 2 + random.below(jitterPercent + 1);
  return (intervalMs * percent) / 100;
}
