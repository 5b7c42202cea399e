/**
 * One round of killing under load: somebody dies by SIGKILL or another fault, the cluster must serve again unaided, who
 * died comes back and catches up, and at the end everything acked is read back and counted.
 */
import { randomUUID } from 'node:crypto';
import type { Durability } from '@sluice/base';
import { Sluice } from '@sluice/client';
import { isClean, verdict } from '@sluice/sim/ledger';
import type { Verdict } from '@sluice/sim/ledger';
import { ackPause } from './ack-pause.ts';
import type { TestCluster } from './cluster-inquiry.ts';
import { Load } from './load.ts';
import { Reader } from './reader.ts';
import { until } from './until.ts';

export const killKinds = ['partition-leader', 'controller-leader', 'both', 'all'] as const;
export type KillKind = (typeof killKinds)[number];

/** What happens to the victims, and how they come back. */
export interface Fault {
  readonly strike: (victims: readonly number[]) => Promise<void>;
  readonly mend: (victims: readonly number[]) => Promise<void>;
}

export interface RoundOptions {
  /** SIGKILL and a start, when nothing is said. */
  readonly fault?: Fault;
  /** Of the topic. */
  readonly durability?: Durability;
}

export interface RoundResult {
  readonly ok: boolean;
  readonly kind: KillKind;
  readonly killed: readonly number[];
  /** The longest pause of acks on a partition of the topic that the kill caused, the restart included for `all`. */
  readonly failoverMs: number;
  /** Partitions whose leader epoch moved. */
  readonly elections: number;
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

export async function killRound(
  cluster: TestCluster,
  kind: KillKind,
  { fault: { strike, mend } = sigkill(cluster), durability = 'fsync' }: RoundOptions = {},
): Promise<RoundResult> {
  await cluster.waitHealthy();
  const { topic, epochs, victims } = await prepare(cluster, kind, durability);
  const count = epochs.length;
  await using sluice = new Sluice({ bootstrap: cluster.bootstrap, clientId: `kills-${kind}` });
  await using reader = new Reader(sluice, topic, count);
  await using load = new Load({ sluice, topic, rate });
  const flowing = (): true | undefined => (load.acked.length >= ackedBeforeKill ? true : undefined);
  await until(flowing, { what: 'load before the kill', timeoutMs: serveTimeoutMs });

  const fault = async (): Promise<void> => {
    await strike(victims);
    // Nobody is left who could serve without them.
    if (kind === 'all') await mend(victims);
  };
  const standing = (): string => `(killed ${victims.join(', ')}; logs: ${cluster.logsAt})`;
  const failoverMs = await ackPause(load, fault, { partitions: count, timeoutMs: serveTimeoutMs, standing });

  const restartedAtMs = performance.now();
  if (kind !== 'all') await mend(victims);
  await cluster.waitHealthy();
  const rejoinMs = performance.now() - restartedAtMs;
  const { partitions: described } = await cluster.client.admin.describeTopic(topic);
  const elections = described.filter(({ leaderEpoch }, partition) => leaderEpoch > (epochs[partition] ?? 0)).length;

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
    elections,
    rejoinMs: Math.round(rejoinMs),
    during,
    afterwards,
    failures: Object.fromEntries(load.failures),
  };
}

const sigkill = (cluster: TestCluster): Fault => ({
  strike: (victims) => cluster.kill(...victims),
  mend: (victims) => cluster.start(...victims),
});

interface Prepared {
  readonly topic: string;
  /** Leader epoch of each partition. */
  readonly epochs: readonly number[];
  readonly victims: readonly number[];
}

async function prepare(cluster: TestCluster, kind: KillKind, durability: Durability): Promise<Prepared> {
  const controller = await cluster.controllerLeader();
  const count = kind === 'controller-leader' ? 1 : partitions;
  const unfit: string[] = [];
  for (;;) {
    const topic = `kills-${kind}-${randomUUID()}`;
    const config = { durability };
    const created = await cluster.client.admin.createTopic({ name: topic, partitions: count, replication: 3, config });
    const leaders = created.partitions.map((each) => each.leader);
    const victims = victimsOf(cluster, kind, { leaders, controller });
    if (victims === undefined) {
      // The leaders do not lie as this kind needs them. While this topic exists, the next is placed elsewhere.
      unfit.push(topic);
      continue;
    }
    for (const name of unfit) await cluster.client.admin.deleteTopic(name);
    return { topic, epochs: created.partitions.map((each) => each.leaderEpoch), victims };
  }
}

interface Roles {
  readonly leaders: readonly (number | null)[];
  readonly controller: number;
}

/** Undefined when no node has the roles that this kind kills. */
function victimsOf(cluster: TestCluster, kind: KillKind, { leaders, controller }: Roles): number[] | undefined {
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
