/** What the health endpoints say. The node answers the questions; this turns them into a status and words. */

/** Each must hold before clients and load balancers may count on the node. */
export const readinessChecks = ['recovered', 'registered', 'unfenced', 'caughtUp', 'listenersOpen'] as const;
export type ReadinessCheck = (typeof readinessChecks)[number];
export type Readiness = Readonly<Record<ReadinessCheck, boolean>>;

export const isReady = (readiness: Readiness): boolean => readinessChecks.every((check) => readiness[check]);

/** One line a check, as `/readyz?verbose` prints it. */
export const readinessLines = (readiness: Readiness): string =>
  readinessChecks.map((check) => `${readiness[check] ? 'ok' : 'waiting'} ${check}\n`).join('');
