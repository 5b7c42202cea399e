/**
 * SIGTERM of the controller leader while metadata is changed through another node: how long nobody was answered, and what
 * failed.
 */
import { randomUUID } from 'node:crypto';
import { toSluiceError } from '@sluice/base';
import { methods } from '@sluice/wire';
import type { LocalCluster } from './cluster.ts';
import { isAlive } from './node-processes.ts';
import { RawClient } from './raw-client.ts';
import { until } from './until.ts';

export interface StopResult {
  readonly stopped: number;
  /** The longest time without an answer. */
  readonly gapMs: number;
  readonly answers: number;
  readonly failures: readonly string[];
}

const answerTimeoutMs = 20_000;
const endTimeoutMs = 15_000;
/** Not what is measured: a restart on a busy machine takes its time. */
const wholeTimeoutMs = 120_000;
/** Before the signal, and after the end. */
const answersAround = 20;

export async function stopRound(cluster: LocalCluster): Promise<StopResult> {
  await cluster.waitHealthy(wholeTimeoutMs);
  const stopped = await cluster.controllerLeader();
  const asked = cluster.nodes.find(({ id }) => id !== stopped);
  if (asked === undefined) throw new Error('a cluster of one node has no other leader');
  const { pid } = cluster.node(stopped);
  const changes = new Changes(asked.client);
  try {
    await changes.answered(answersAround);
    process.kill(pid, 'SIGTERM');
    const gone = (): true | undefined => (isAlive(pid) ? undefined : true);
    await until(gone, { what: `the end of node ${stopped}`, timeoutMs: endTimeoutMs, everyMs: 5 });
    await changes.answered(answersAround);
  } finally {
    await changes.finish();
  }
  await cluster.start(stopped);
  await cluster.waitHealthy(wholeTimeoutMs);
  for (const name of changes.made) await cluster.client.admin.deleteTopic(name);
  return { stopped, gapMs: Math.round(changes.gapMs), answers: changes.made.length, failures: changes.failures };
}

/** One after the other. */
class Changes {
  readonly made: string[] = [];
  readonly failures: string[] = [];
  gapMs = 0;
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(address: string) {
    this.#running = this.#run(address);
  }

  /** Resolves when so many more were. */
  async answered(count: number): Promise<void> {
    const wanted = this.made.length + count;
    const look = (): true | undefined => (this.made.length >= wanted ? true : undefined);
    const standing = (): string => `(${this.failures.slice(-3).join('; ')})`;
    await until(look, { what: `${count} more changes`, timeoutMs: answerTimeoutMs, everyMs: 5, standing });
  }

  async finish(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(address: string): Promise<void> {
    using raw = new RawClient();
    let lastMs = performance.now();
    while (!this.#stopped) {
      const name = `stop-${randomUUID()}`;
      const request = { name, partitions: 1, replication: 2 };
      try {
        await raw.rpc.unary(methods.admin.createTopic, address, request, { timeoutMs: answerTimeoutMs });
        this.made.push(name);
      } catch (thrown) {
        const { code, message, definite } = toSluiceError(thrown);
        this.failures.push(`${code} ${definite ? 'definite' : 'in doubt'} ${message}`);
      }
      const nowMs = performance.now();
      this.gapMs = Math.max(this.gapMs, nowMs - lastMs);
      lastMs = nowMs;
    }
  }
}
