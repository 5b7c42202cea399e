/**
 * Where the time of one failover goes, from the logs of the nodes, the events of the client and the acks. All moments
 * are of one machine's wall clock.
 *
 * G1 A stage that left no line in a log is null: a node that is paused is missed by its silence, which no line tells
 *    apart from the decision, and one that is stopped in order is missed by nobody.
 */
import { percentiles } from './percentiles.ts';
import type { Percentiles } from './percentiles.ts';

/** Milliseconds; from the strike, then each from the end of the one before. */
export interface RoundStages {
  /** A new controller leader, when the node that failed was one. Part of `detect`. */
  readonly elect: number | null;
  /** Until the controller leader knows that the node is gone. */
  readonly detect: number | null;
  /** Until that is committed: the node is fenced, its partitions have other leaders. */
  readonly decide: number | null;
  /** Of each partition that it led, until the new leader leads. */
  readonly propagate: readonly number[];
  /** Until the client knows of it; 0 when it knew before the leader did. */
  readonly learn: readonly number[];
  /** From when both know, and a record is due, to the first ack. */
  readonly firstAck: readonly number[];
}

export interface StageSummary {
  readonly elect: Percentiles | null;
  readonly detect: Percentiles | null;
  readonly decide: Percentiles | null;
  readonly propagate: Percentiles | null;
  readonly learn: Percentiles | null;
  readonly firstAck: Percentiles | null;
}

export interface FailoverMoments {
  readonly electedMs: number | undefined;
  readonly goneMs: number | undefined;
  readonly fencedMs: number | undefined;
  /** By partition: the first new leader that served. */
  readonly ledMs: ReadonlyMap<number, number>;
}

export interface AckMoment {
  readonly partition: number;
  readonly learntMs: number | undefined;
  readonly atMs: number;
  readonly dueMs: number;
}

/** What the logs said since the strike, by node. */
export function momentsOf(
  lines: Iterable<string>,
  struck: { readonly node: number; readonly topic: string; readonly atMs: number },
): FailoverMoments {
  let [electedMs, goneMs, fencedMs]: (number | undefined)[] = [];
  const ledMs = new Map<number, number>();
  const first = (before: number | undefined, now: number): number => Math.min(before ?? now, now);
  for (const text of lines) {
    const line = stageLine(text);
    if (line === undefined) continue;
    const ms = Date.parse(line.time);
    if (!(ms >= struck.atMs) || line.node === struck.node) continue;
    if (line.msg === 'controller leadership began') electedMs = first(electedMs, ms);
    else if (line.msg === 'node is gone' && line.nodeId === struck.node) goneMs = first(goneMs, ms);
    else if (line.msg === 'nodes fenced' && line.nodes?.includes(struck.node) === true) fencedMs = first(fencedMs, ms);
    else if (line.kind === 'role' && line.role === 'leader' && line.topic === struck.topic) {
      ledMs.set(line.partition, first(ledMs.get(line.partition), ms));
    }
  }
  return { electedMs, goneMs, fencedMs, ledMs };
}

interface StageLine {
  readonly time: string;
  readonly msg: string;
  /** Who wrote it. */
  readonly node: number;
  readonly nodeId?: number;
  readonly nodes?: readonly number[];
  readonly kind?: string;
  readonly role?: string;
  readonly topic?: string;
  readonly partition: number;
}

const phrases = ['"controller leadership began"', '"node is gone"', '"nodes fenced"', '"partition event"'];

function stageLine(text: string): StageLine | undefined {
  // A line may be cut off where its node was killed; those of a stage never are, their writer lives.
  if (!text.endsWith('}') || !phrases.some((phrase) => text.includes(phrase))) return undefined;
  return JSON.parse(text) as StageLine;
}

/** A node that stops in order hands over before it is gone: then `goneMs` and `fencedMs` are not passed. */
export function stagesOf(struckMs: number, moments: FailoverMoments, acks: readonly AckMoment[]): RoundStages {
  const { electedMs, goneMs, fencedMs, ledMs } = moments;
  const since = (fromMs: number | undefined, toMs: number | undefined): number | null =>
    fromMs === undefined || toMs === undefined ? null : Math.max(0, Math.round(toMs - fromMs));
  const propagate: number[] = [];
  const learn: number[] = [];
  const firstAck: number[] = [];
  const decidedMs = fencedMs ?? goneMs ?? struckMs;
  for (const { partition, learntMs, atMs, dueMs } of acks) {
    const led = ledMs.get(partition);
    if (led === undefined) continue;
    propagate.push(Math.max(0, led - decidedMs));
    if (learntMs !== undefined) learn.push(Math.max(0, Math.round(learntMs - led)));
    firstAck.push(Math.max(0, Math.round(atMs - Math.max(led, dueMs, learntMs ?? led))));
  }
  return {
    elect: since(struckMs, electedMs),
    detect: since(struckMs, goneMs),
    decide: since(goneMs ?? struckMs, fencedMs),
    propagate,
    learn,
    firstAck,
  };
}

export function stageSummary(rounds: readonly RoundStages[]): StageSummary {
  const of = (key: 'elect' | 'detect' | 'decide'): Percentiles | null =>
    percentiles(rounds.flatMap((round) => round[key] ?? [])) ?? null;
  const ofEach = (key: 'propagate' | 'learn' | 'firstAck'): Percentiles | null =>
    percentiles(rounds.flatMap((round) => round[key])) ?? null;
  return {
    elect: of('elect'),
    detect: of('detect'),
    decide: of('decide'),
    propagate: ofEach('propagate'),
    learn: ofEach('learn'),
    firstAck: ofEach('firstAck'),
  };
}
