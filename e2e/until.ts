/** Waiting for a condition with a deadline; the sentence says what did not come true. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface UntilOptions {
  readonly what: string;
  readonly timeoutMs: number;
  readonly everyMs?: number;
  /** How things stand, for the message when time is up. */
  readonly standing?: () => string;
}

/** Resolves to the first value that is not undefined. */
export async function until<Value>(
  look: () => Value | undefined | Promise<Value | undefined>,
  { what, timeoutMs, everyMs = 20, standing = () => '' }: UntilOptions,
): Promise<Value> {
  const deadlineMs = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await look();
      if (value !== undefined) return value;
    } catch (error) {
      // While nodes are down, asking fails; the last reason is told when time is up.
      last = error;
    }
    if (performance.now() > deadlineMs) {
      const message = `${what} did not happen within ${timeoutMs} ms ${standing()}`.trimEnd();
      throw new Error(message, last === undefined ? undefined : { cause: last });
    }
    await sleep(everyMs);
  }
}
