/** Where the recorded clients of real clusters live: the clock of this process, and clients over TCP. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '@sluice/base';
import { Sluice } from '@sluice/client';
import type { Surroundings } from '@sluice/sim/record-clients';
import { until } from './until.ts';

export function realSurroundings(bootstrap: readonly string[], random: Random): Surroundings {
  return {
    random,
    client: (name) => new Sluice({ bootstrap, clientId: name }),
    schedule: (delayUs, _, run) => void setTimeout(run, delayUs / 1000),
    until: async (what, limitMs, isDone) => {
      await until(() => (isDone() ? true : undefined), { what, timeoutMs: limitMs });
    },
    settle: (what, limitMs, promise) => settled(what, limitMs, promise),
  };
}

async function settled<T>(what: string, limitMs: number, promise: Promise<T>): Promise<T> {
  const over = new AbortController();
  const limit = sleep(limitMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what} did not happen within ${limitMs} ms`);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    over.abort();
    await limit.catch(() => undefined);
  }
}
