/** Does to a cluster what a chaos plan says, one fault after the other, until it is told to end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryRecorder } from '@sluice/sim/history-recorder';
import type { PlannedChaos } from './chaos-plan.ts';
import type { TestCluster } from './cluster-inquiry.ts';

/** What chaos needs of a cluster beside what every test does. */
export interface ChaosCluster extends TestCluster {
  pause(...ids: readonly number[]): void;
  resume(...ids: readonly number[]): void;
  /** SIGTERM; resolves when it is gone, and rejects when it takes too long. */
  terminate(id: number): Promise<void>;
}

export interface ChaosFaultsOptions {
  readonly cluster: ChaosCluster;
  readonly recorder: HistoryRecorder;
  readonly say: (line: string) => void;
}

const wholeTimeoutMs = 90_000;

/** Resolves when the time is over and everybody was brought back; rejects when the cluster does not become whole again. */
export async function runChaos(
  plan: Iterator<PlannedChaos, never>,
  forMs: number,
  { cluster, recorder, say }: ChaosFaultsOptions,
): Promise<void> {
  const endMs = performance.now() + forMs;
  while (performance.now() < endMs) {
    const planned = plan.next().value;
    if (planned.waitsForWhole) await cluster.waitHealthy(wholeTimeoutMs);
    await sleep(planned.calmMs);
    const leftSeconds = Math.max(0, Math.round((endMs - performance.now()) / 1000));
    say(
      `${planned.kind} of ${planned.victims.join(', ')} for ${planned.forMs} ms; ${recorder.acked} acked, ${leftSeconds} s left`,
    );
    recorder.fault(planned.kind, planned.victims.map((id) => `node ${id}`).join(', '));
    await strike(cluster, planned);
  }
  await cluster.waitHealthy(wholeTimeoutMs);
}

async function strike(cluster: ChaosCluster, { kind, victims, forMs }: PlannedChaos): Promise<void> {
  switch (kind) {
    case 'pause':
      cluster.pause(...victims);
      await sleep(forMs);
      cluster.resume(...victims);
      return;
    case 'restart':
      for (const id of victims) await cluster.terminate(id);
      break;
    case 'kill':
    case 'kill-all':
      await cluster.kill(...victims);
  }
  await sleep(forMs);
  await cluster.start(...victims);
}
