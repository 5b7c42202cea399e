import { describe, expect, test } from 'vitest';
import { clockDoubt, retentionLimits } from './retention-limits.ts';

test.each([
  [false, true, undefined],
  [false, false, 'apart'],
  [false, undefined, 'unheard'],
  [true, true, 'jumped'],
  [true, false, 'jumped'],
] as const)(
  'a clock that has jumped: %s, and agrees with the others: %s, is in doubt: %s',
  (hasJumped, clocksAgree, doubt) => {
    expect(clockDoubt({ hasJumped, clocksAgree })).toBe(doubt);
  },
);

describe('what may go', () => {
  test.each([
    [-1, -1, undefined, undefined],
    [1000, -1, undefined, { appendedBeforeMs: 9000 }],
    [-1, 4096, undefined, { bytesMax: 4096 }],
    [1000, 4096, undefined, { appendedBeforeMs: 9000, bytesMax: 4096 }],
    [1000, -1, 'jumped', undefined],
    [1000, -1, 'apart', undefined],
    [1000, -1, 'unheard', undefined],
    [1000, 4096, 'jumped', { bytesMax: 4096 }],
    [1000, 4096, 'apart', { bytesMax: 4096 }],
  ] as const)('retentionMs %s, retentionBytes %s, doubt %s: %j', (retentionMs, retentionBytes, doubt, limits) => {
    const config = { retentionMs, retentionBytes };
    expect(retentionLimits({ ...config, cleanupPolicy: 'delete' }, 10_000, doubt)).toEqual(limits);
    expect(retentionLimits({ ...config, cleanupPolicy: 'compact,delete' }, 10_000, doubt)).toEqual(limits);
    expect(retentionLimits({ ...config, cleanupPolicy: 'compact' }, 10_000, doubt)).toBeUndefined();
  });
});
