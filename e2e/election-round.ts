/**
 * SIGKILL of the controller leader, and the time until another one serves: a change that is sent at that moment to a node
 * that is left is committed, and known there.
 */
import { randomUUID } from 'node:crypto';
import { toSluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { LocalCluster } from './cluster.ts';
import { RawClient } from './raw-client.ts';

export interface ElectionResult {
  readonly killed: number;
  /** From the signal to the answer. */
  readonly ms: number;
}

const answerTimeoutMs = 20_000;
/** Not what is measured: a restart on a busy machine takes its time. */
const wholeTimeoutMs = 120_000;

export async function electionRound(cluster: LocalCluster): Promise<ElectionResult> {
  await cluster.waitHealthy(wholeTimeoutMs);
  const killed = await cluster.controllerLeader();
  const asked = cluster.nodes.find(({ id }) => id !== killed);
  if (asked === undefined) throw new Error('a cluster of one node has no other leader');
  using raw = new RawClient();
  const startMs = performance.now();
  // The signal is on its way when this returns.
  const gone = cluster.kill(killed);
  const name = await committed(raw, asked.client);
  const ms = performance.now() - startMs;
  await gone;
  await cluster.start(killed);
  await cluster.waitHealthy(wholeTimeoutMs);
  await cluster.client.admin.deleteTopic(name);
  return { killed, ms: Math.round(ms) };
}

/** The name of the topic that was made. A first attempt may have been on its way to the one that died. */
async function committed(raw: RawClient, address: string): Promise<string> {
  const deadlineMs = performance.now() + answerTimeoutMs;
  for (;;) {
    const name = `election-${randomUUID()}`;
    const request = { name, partitions: 1, replication: 2 };
    try {
      await raw.rpc.unary(methods.admin.createTopic, address, request, { timeoutMs: answerTimeoutMs });
      return name;
    } catch (thrown) {
      const error = toSluiceError(thrown);
      const passes = error.retryable || error.code === 'CONTROLLER_CHANGED' || error.code === 'CONNECTION_LOST';
      if (!passes || performance.now() > deadlineMs) throw error;
    }
  }
}

/** Nearest rank. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
