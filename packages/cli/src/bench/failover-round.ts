/**
 * One round of `bench failover`: waits until the cluster is whole and acks flow, strikes one node, waits until acks flow
 * again, and brings the node back.
 */
import { SluiceError } from '@sluice/base';
import type { PartitionDescription } from '@sluice/client';
import { sleep } from '../sleep.ts';
import { momentsOf, stagesOf } from './failover-stages.ts';
import type { AckMoment, RoundStages } from './failover-stages.ts';
import type { OwnTarget } from './own-cluster.ts';
import type { PartitionPauses } from './partition-pauses.ts';
import { percentiles } from './percentiles.ts';
import type { Percentiles } from './percentiles.ts';
import type { Fault, Role } from './work.ts';

export interface RoundOptions {
  readonly topic: string;
  readonly fault: Fault;
  readonly role: Role;
  readonly steadyMs: number;
}

export interface RoundTarget extends OwnTarget {
  readonly pauses: PartitionPauses;
  readonly news: ClientNews;
}

/** The longest time without an ack of each partition, those that the node led apart from the others. */
export interface RoundPauses extends Percentiles {
  readonly round: number;
  readonly node: number;
  /** What the node was, besides a leader of partitions. */
  readonly role: 'controller' | 'broker';
  /** How many it led. */
  readonly partitions: number;
  readonly all: readonly number[];
  readonly others: Percentiles | null;
}

export interface RoundResult {
  readonly pauses: RoundPauses;
  readonly stages: RoundStages;
  /** The longest pause of any partition while the node came back. */
  readonly backMs: number;
  /** Why batches were sent again, and how often. */
  readonly retries: Readonly<Record<string, number>>;
}

const flowTimeoutMs = 90_000;
const wholeTimeoutMs = 120_000;
const wholePollMs = 100;
const nodeCount = 3;

/** What the client said of itself since `mark`. */
export class ClientNews {
  readonly #learntMs = new Map<number, number>();
  readonly #retries = new Map<string, number>();

  mark(): void {
    this.#learntMs.clear();
    this.#retries.clear();
  }

  /** There may be several leaders, one after the other: the last is the one that acks. */
  onLeader(partition: number, leader: number): void {
    if (leader !== 0) this.#learntMs.set(partition, Date.now());
  }

  onRetry(code: string): void {
    this.#retries.set(code, (this.#retries.get(code) ?? 0) + 1);
  }

  learntMs(partition: number): number | undefined {
    return this.#learntMs.get(partition);
  }

  get retries(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#retries);
  }
}

export async function oneRound(round: number, options: RoundOptions, target: RoundTarget): Promise<RoundResult> {
  const { cluster, stop, pauses, news } = target;
  const { fault, steadyMs, topic } = options;
  await pauses.steady(steadyMs, flowTimeoutMs, stop);
  const struck = await choose(round, options, target);
  const mark = cluster.markLogs();
  pauses.mark();
  news.mark();
  const atMs = Date.now();
  await strike(target, struck.node, fault);
  await pauses.steady(steadyMs, flowTimeoutMs, stop);
  const found = pausesOf(round, struck, pauses);
  const { retries } = news;
  const moments = momentsOf(cluster.linesSince(mark), { node: struck.node, topic, atMs });
  const inOrder = fault === 'shutdown' ? { goneMs: undefined, fencedMs: undefined } : {};
  const stages = stagesOf(atMs, { ...moments, ...inOrder }, ackMoments(struck.led, target));
  pauses.mark();
  if (fault === 'pause') cluster.signal(struck.node, 'SIGCONT');
  else cluster.spawn(struck.node);
  await whole(topic, target);
  return { pauses: found, stages, backMs: pauses.worstMs(), retries };
}

interface Struck {
  readonly node: number;
  readonly role: 'controller' | 'broker';
  readonly led: readonly number[];
}

async function choose(round: number, { role, topic }: RoundOptions, { cluster, sluice }: OwnTarget): Promise<Struck> {
  const { partitions } = await sluice.admin.describeTopic(topic);
  const { controllerLeader } = await sluice.admin.describeCluster();
  const node = chosenNode(role, { round, ids: cluster.ids, controllerLeader, partitions });
  const led = partitions.filter(({ leader }) => leader === node).map(({ partition }) => partition);
  if (node === undefined || led.length === 0) {
    const message = `No node fits the role ${role}: node ${node ?? 'none'} leads no partition; give the topic more of them.`;
    throw new SluiceError('INVALID_CONFIG', { message, details: { key: 'partitions' } });
  }
  return { node, role: node === controllerLeader ? 'controller' : 'broker', led };
}

export interface Choice {
  readonly round: number;
  readonly ids: readonly number[];
  readonly controllerLeader: number | null;
  readonly partitions: readonly Pick<PartitionDescription, 'leader'>[];
}

/** `any` takes the nodes in turn, and passes over one that leads nothing: it has come back a moment ago. */
export function chosenNode(role: Role, { round, ids, controllerLeader, partitions }: Choice): number | undefined {
  if (role === 'controller') return controllerLeader ?? undefined;
  if (role === 'leader') return partitions[0]?.leader ?? undefined;
  const turn = ids.map((_, at) => ids[(round - 1 + at) % ids.length]);
  return turn.find((id) => partitions.some(({ leader }) => leader === id));
}

/** Resolves when a process that ends has ended. */
async function strike({ cluster }: OwnTarget, node: number, fault: Fault): Promise<void> {
  if (fault === 'pause') return cluster.signal(node, 'SIGSTOP');
  cluster.signal(node, fault === 'kill' ? 'SIGKILL' : 'SIGTERM');
  await cluster.ended(node);
}

function pausesOf(round: number, { node, role, led }: Struck, pauses: PartitionPauses): RoundPauses {
  const all = led.map((partition) => pauses.longestMs(partition));
  const others = pauses.partitions.filter((partition) => !led.includes(partition));
  const found = percentiles(all);
  if (found === undefined) throw new Error('a round struck a node that led nothing');
  const ofOthers = percentiles(others.map((partition) => pauses.longestMs(partition))) ?? null;
  return { round, node, role, partitions: led.length, ...found, all, others: ofOthers };
}

/** On the wall clock, as the lines of logs are. */
function ackMoments(led: readonly number[], { pauses, news }: RoundTarget): readonly AckMoment[] {
  const offsetMs = Date.now() - performance.now();
  return led.flatMap((partition) => {
    const end = pauses.endOfLongest(partition);
    if (end === undefined) return [];
    const { atMs, dueMs } = end;
    return [{ partition, learntMs: news.learntMs(partition), atMs: atMs + offsetMs, dueMs: dueMs + offsetMs }];
  });
}

/** Every node up, every replica in sync. */
async function whole(topic: string, { sluice, stop }: OwnTarget): Promise<void> {
  const deadlineMs = performance.now() + wholeTimeoutMs;
  while (!stop.aborted) {
    const { nodes, membersCurrent } = await sluice.admin.describeCluster();
    const up = nodes.filter(({ state }) => state === 'up').length;
    const { partitions } = await sluice.admin.describeTopic(topic);
    const lagging = partitions.filter(({ isr }) => isr.length < nodeCount).length;
    if (membersCurrent && up === nodeCount && lagging === 0) return;
    if (performance.now() > deadlineMs) {
      const message = `The cluster is not whole after two minutes: ${up} nodes are up, ${lagging} partitions miss a replica.`;
      throw new SluiceError('TIMEOUT', { message });
    }
    await sleep(wholePollMs, stop);
  }
}
