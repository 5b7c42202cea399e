/**
 * Canaries that the default distribution is not known to find within 1,000 seeds: planted by name, and not among those
 * that `--canaries` runs. Why each: `docs/canaries.md`.
 */
export const unfoundCanaries: ReadonlySet<string> = new Set([
  'vote-ignores-last-term',
  'stale-session',
  'change-not-reverted',
  'doubt-ignored',
  'answer-without-confirmation',
  'read-without-quorum',
  'stale-broker-epoch-joins',
  'join-without-position',
  'change-rolled-back-on-time-out',
  'producers-not-truncated',
  'stale-replica-session',
  'orphans-deleted',
  'durable-of-another-generation',
  'join-below-epoch-start',
  'lossy-not-marked',
]);
