/**
 * Containers that die under load: the others serve, who died comes back, and every acked record is counted. A leader that
 * only dies has sent its followers what it acked too early, too: that nothing is, `silence.test.ts` shows, by a cut.
 */
import { expect, test } from 'vitest';
import { clusterOfFile, say } from '../container-suite.ts';
import { killKinds, killRound } from '../kill-round.ts';
import type { Fault, KillKind } from '../kill-round.ts';

const cluster = clusterOfFile();

const killed = 137;

/** As `docker kill` and `docker start`. */
const kill: Fault = {
  strike: async (victims) => {
    await cluster().kill(...victims);
    for (const id of victims) expect(await cluster().state(id)).toMatchObject({ Running: false, ExitCode: killed });
  },
  mend: (victims) => cluster().start(...victims),
};

/** As `docker rm --force`, and a new container on the old volume: another address, another life. */
const remove: Fault = {
  strike: async (victims) => {
    await cluster().remove(...victims);
    for (const id of victims) await expect(cluster().state(id)).rejects.toThrow('was removed');
  },
  mend: (victims) => cluster().start(...victims),
};

/**
 * The longest pause of acks. Followers that are gone stop acks as well, until they are fenced. Who is gone, the controller
 * leader too, is noticed by its closed connections: in less than the session timeout, 1.5 s, and than any election timeout.
 */
const pauseMsMax: Readonly<Record<KillKind, number>> = {
  'partition-leader': 1400,
  'controller-leader': 1400,
  both: 1400,
  all: 20_000,
};

/** Resolves with the longest pause of acks; nothing else of the round may be worth telling. */
async function round(kind: KillKind, name: string, fault: Fault): Promise<number> {
  const result = await killRound(cluster(), kind, { fault });
  const { failoverMs, rejoinMs, afterwards } = result;
  say(`${name} of ${kind}: acks paused ${failoverMs} ms, whole after ${rejoinMs} ms, acked ${afterwards.acked}`);
  const clean = { lost: 0, duplicated: 0, reordered: 0, unexpected: 0 };
  expect(result).toMatchObject({ ok: true, failures: {}, during: clean, afterwards: clean });
  expect(afterwards.acked).toBeGreaterThan(500);
  // The controller leader alone leads no partition of the topic.
  expect(result.elections > 0).toBe(kind !== 'controller-leader');
  return failoverMs;
}

test.each(killKinds)('a container killed, with %s in it: nothing acked is lost, and it comes back', async (kind) => {
  expect(await round(kind, 'kill', kill)).toBeLessThan(pauseMsMax[kind]);
});

test.each(['partition-leader', 'both'] as const)(
  'a container removed, with %s in it, and made anew from its volume',
  async (kind) => {
    expect(await round(kind, 'removal', remove)).toBeLessThan(pauseMsMax[kind]);
  },
);
