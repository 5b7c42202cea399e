/**
 * What retention may remove of a topic, given how far the wall clock is to be believed: pure, asked by `Retention`.
 *
 * D1. Since the process started the wall clock went on as the monotonic clock did, give or take an hour.
 * D2. The controller leader has heard all brokers of late, and their wall clocks lie within an hour of each other.
 * D3. While one of them does not hold nothing goes by age. Size needs no clock.
 */
import { expires, unlimited } from '@sluice/metadata';
import type { TopicConfig } from '@sluice/metadata';
import type { RetentionLimits } from '@sluice/storage';

/** `jumped`: D1 does not hold. `apart`: by the controller leader D2 does not. `unheard`: it says nothing. */
export type ClockDoubt = 'jumped' | 'apart' | 'unheard';

export interface ClockFacts {
  readonly hasJumped: boolean;
  /** As the controller leader says; undefined when it says nothing. */
  readonly clocksAgree: boolean | undefined;
}

export function clockDoubt({ hasJumped, clocksAgree }: ClockFacts): ClockDoubt | undefined {
  if (hasJumped) return 'jumped';
  if (clocksAgree === undefined) return 'unheard';
  return clocksAgree ? undefined : 'apart';
}

/** Undefined when nothing may go. */
export function retentionLimits(
  config: Pick<TopicConfig, 'retentionMs' | 'retentionBytes' | 'cleanupPolicy'>,
  wallMs: number,
  doubt: ClockDoubt | undefined,
): RetentionLimits | undefined {
  const { retentionMs, retentionBytes } = config;
  if (!expires(config)) return undefined;
  const byAge = retentionMs !== unlimited && doubt === undefined;
  const bySize = retentionBytes !== unlimited;
  if (!byAge && !bySize) return undefined;
  return {
    ...(byAge ? { appendedBeforeMs: wallMs - retentionMs } : {}),
    ...(bySize ? { bytesMax: retentionBytes } : {}),
  };
}
