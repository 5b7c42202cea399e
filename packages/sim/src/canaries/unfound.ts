/**
 * Canaries that the default distribution is not known to find within 1,000 seeds: planted by name, and not among those
 * that `--canaries` runs. Why each: `docs/canaries.md`.
 */
export const unfoundCanaries: ReadonlySet<string> = new Set([
  'answer-without-confirmation',
  'read-without-quorum',
  'stale-broker-epoch-joins',
  'join-without-position',
  'change-rolled-back-on-time-out',
  'stale-replica-session',
  'durable-of-another-generation',
]);
