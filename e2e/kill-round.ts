/**
 * One round of killing under load: somebody dies by SIGKILL, the cluster must serve again unaided, who died comes back
 * and catches up, and at the end everything acked is read back and counted.
 */
import { randomUUID } from 'node:crypto';
import { Sluice } from '@sluice/client';
import { isClean, verdict } from '@sluice/sim/ledger';
import type { Verdict } from '@sluice/sim/ledger';
import type { LocalCluster } from './cluster.ts';
import { Load } from './load.ts';
import { Reader } from './reader.ts';
import { until } from './until.ts';

export const killKinds = ['partition-leader', 'controller-leader', 'both', 'all'] as const;
export type KillKind = (typeof killKinds)[number];

export interface RoundResult {
  readonly ok: boolean;
  readonly kind: KillKind;
  readonly killed: readonly number[];
  /** The longest pause of acks on a partition of the topic that the kill caused, the restart included for `all`. */
  readonly failoverMs: number;
  /** From the restart until all replicas were in sync again. */
  readonly rejoinMs: number;
  /** Of a consumer that read all along, and of one that read everything afterwards. */
  readonly during: Verdict;
  readonly afterwards: Verdict;
  /** Records that the producer gave up, by error code. */
  readonly failures: Readonly<Record<string, number>>;
}

const partitions = 6;
const rate = 500;
const ackedBeforeKill = 500;
const serveTimeoutMs = 30_000;
const readTimeoutMs = 30_000;

export async function killRound(cluster: LocalCluster, kind: KillKind): Promise<RoundResult> {
  await cluster.waitHealthy();
  const { topic, victims, count } = await prepare(cluster, kind);
  await using sluice = new Sluice({ bootstrap: cluster.bootstrap, clientId: `kills-${kind}` });
  await using reader = new Reader(sluice, topic, count);
  await using load = new Load({ sluice, topic, rate });
  const flowing = (): true | undefined => (load.acked.length >= ackedBeforeKill ? true : undefined);
  await until(flowing, { what: 'load before the kill', timeoutMs: serveTimeoutMs });

  const killedAtMs = performance.now();
  await cluster.kill(...victims);
  if (kind === 'all') cluster.restart(...victims);
  const all = Array.from({ length: count }, (_, partition) => partition);
  const failoverMs = await until(() => load.gaps.longestMs(all, killedAtMs + settleMs), {
    what: 'acks on every partition after the kill',
    timeoutMs: serveTimeoutMs,
    standing: () =>
      `(killed ${victims.join(', ')} of ${cluster.directory}; silent: ${load.gaps.silentSince(killedAtMs + settleMs, all).join(', ')})`,
  });

  const restartedAtMs = performance.now();
  if (kind !== 'all') cluster.restart(...victims);
  await cluster.waitHealthy();
  const rejoinMs = performance.now() - restartedAtMs;

  await load.stop();
  await reader.readToEnd(readTimeoutMs);
  await using fresh = new Reader(sluice, topic, count);
  await fresh.readToEnd(readTimeoutMs);
  const during = verdict(load.acked, reader.consumed, load.sent);
  const afterwards = verdict(load.acked, fresh.consumed, load.sent);
  await cluster.client.admin.deleteTopic(topic);
  return {
    ok: isClean(during) && isClean(afterwards) && load.failures.size === 0,
    kind,
    killed: victims,
    failoverMs: Math.round(failoverMs),
    rejoinMs: Math.round(rejoinMs),
    during,
    afterwards,
    failures: Object.fromEntries(load.failures),
  };
}

/** Acks that were on their way when the process died arrive within this time. */
const settleMs = 20;

interface Prepared {
  readonly topic: string;
  readonly count: number;
  readonly victims: readonly number[];
}

async function prepare(cluster: LocalCluster, kind: KillKind): Promise<Prepared> {
  const controller = await cluster.controllerLeader();
  const count = kind === 'controller-leader' ? 1 : partitions;
  const unfit: string[] = [];
  for (;;) {
    const topic = `kills-${kind}-${randomUUID()}`;
    const created = await cluster.client.admin.createTopic({ name: topic, partitions: count, replication: 3 });
    const leaders = created.partitions.map((each) => each.leader);
    const victims = victimsOf(cluster, kind, { leaders, controller });
    if (victims === undefined) {
      // The leaders do not lie as this kind needs them. While this topic exists, the next is placed elsewhere.
      unfit.push(topic);
      continue;
    }
    for (const name of unfit) await cluster.client.admin.deleteTopic(name);
    return { topic, count, victims };
  }
}

interface Roles {
  readonly leaders: readonly (number | null)[];
  readonly controller: number;
}

/** Undefined when no node has the roles that this kind kills. */
function victimsOf(cluster: LocalCluster, kind: KillKind, { leaders, controller }: Roles): number[] | undefined {
  switch (kind) {
    case 'partition-leader': {
      const victim = leaders.find((leader) => leader !== null && leader !== controller);
      return victim === undefined || victim === null ? undefined : [victim];
    }
    case 'controller-leader':
      return leaders.includes(controller) ? undefined : [controller];
    case 'both':
      return leaders.includes(controller) ? [controller] : undefined;
    case 'all':
      return cluster.nodes.map((node) => node.id);
  }
}
