/**
 * A cluster of real processes and the words to treat it badly: `cluster.kill(await cluster.leaderOf('orders', 0))`.
 * Started by `sluice dev`, so that tests and users have the same cluster; killed nodes start again from the
 * configuration that `dev` wrote.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Sluice } from '@sluice/client';
import type { ClusterDescription } from '@sluice/client';
import { freeBasePort } from '@sluice/cli/free-ports';
import { isNodeReady } from '@sluice/cli/node-ready';
import { end, isAlive, startDev, startNode } from './node-processes.ts';
import type { DevProcess, NodeFacts } from './node-processes.ts';
import { until } from './until.ts';

export interface ClusterOptions {
  readonly nodes?: number;
  /** Kept at the end; a temporary one, removed at the end, when absent. */
  readonly directory?: string | undefined;
  /** Default: some free ones. */
  readonly port?: number;
}

const stopPatienceMs = 12_000;
const nodeTimeoutMs = 30_000;

export class LocalCluster implements AsyncDisposable {
  readonly directory: string;
  readonly #isTemporary: boolean;
  readonly #dev: DevProcess;
  readonly #nodes = new Map<number, NodeFacts>();
  readonly #restarted: ChildProcess[] = [];
  #client: Sluice | undefined;

  private constructor(dev: DevProcess, directory: string, isTemporary: boolean) {
    this.#dev = dev;
    this.directory = directory;
    this.#isTemporary = isTemporary;
    for (const node of dev.nodes) this.#nodes.set(node.id, node);
  }

  static async start({ nodes = 3, directory, port }: ClusterOptions = {}): Promise<LocalCluster> {
    const place = directory ?? mkdtempSync(path.join(tmpdir(), 'sluice-cluster-'));
    const base = port ?? (await freeBasePort(nodes));
    try {
      const dev = await startDev({ nodes, directory: place, port: base });
      return new LocalCluster(dev, place, directory === undefined);
    } catch (error) {
      if (directory === undefined) rmSync(place, { recursive: true, force: true });
      throw error;
    }
  }

  get nodes(): readonly NodeFacts[] {
    return [...this.#nodes.values()];
  }

  get bootstrap(): readonly string[] {
    return this.nodes.map((node) => node.client);
  }

  node(id: number): NodeFacts {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`the cluster has no node ${id}`);
    return node;
  }

  /** A client of the cluster's own, for asking; loads bring theirs. */
  get client(): Sluice {
    this.#client ??= new Sluice({ bootstrap: this.bootstrap, clientId: 'e2e-cluster', requestTimeoutMs: 5000 });
    return this.#client;
  }

  /** Waits until there is one. */
  leaderOf(topic: string, partition: number): Promise<number> {
    const look = async (): Promise<number | undefined> => {
      const { partitions } = await this.client.admin.describeTopic(topic);
      return partitions[partition]?.leader ?? undefined;
    };
    return until(look, { what: `a leader of ${topic} ${partition}`, timeoutMs: nodeTimeoutMs });
  }

  controllerLeader(): Promise<number> {
    const look = async (): Promise<number | undefined> =>
      (await this.client.admin.describeCluster()).controllerLeader ?? undefined;
    return until(look, { what: 'a controller leader', timeoutMs: nodeTimeoutMs });
  }

  /** SIGKILL to all of them at once; resolves when the processes are gone. */
  async kill(...ids: readonly number[]): Promise<void> {
    const pids = ids.map((id) => this.node(id).pid);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    const gone = (): true | undefined => (pids.some(isAlive) ? undefined : true);
    await until(gone, { what: `the end of ${pids.join(', ')}`, timeoutMs: 5000, everyMs: 1 });
  }

  restart(...ids: readonly number[]): void {
    for (const id of ids) {
      const node = this.node(id);
      const child = startNode(node, this.directory);
      this.#restarted.push(child);
      this.#nodes.set(id, { ...node, pid: child.pid ?? 0 });
    }
  }

  /** All nodes up, and nothing under-replicated: who was away has caught up and is in sync again. */
  async waitHealthy(timeoutMs: number = nodeTimeoutMs): Promise<void> {
    let status: ClusterDescription | undefined;
    const look = async (): Promise<true | undefined> => {
      // One that was just killed and started again is up in the eyes of the others until they notice.
      const ready = await Promise.all(this.nodes.map(({ admin }) => isNodeReady(admin)));
      if (ready.includes(false)) return undefined;
      status = await this.client.admin.describeCluster();
      const up = status.nodes.length === this.nodes.length && status.nodes.every((node) => node.state === 'up');
      const whole = status.underReplicated + status.underMinIsr + status.leaderless === 0;
      // Without a controller leader nobody can say that a node is gone.
      return up && whole && status.controllerLeader !== null ? true : undefined;
    };
    const standing = (): string => JSON.stringify(status);
    await until(look, { what: 'a healthy cluster', timeoutMs, everyMs: 50, standing });
  }

  /** Resolves when no process and, unless a directory was given, no file is left. */
  async stop(): Promise<void> {
    await this.#client?.close();
    await Promise.all([this.#dev.child, ...this.#restarted].map((child) => end(child, stopPatienceMs)));
    // `dev` has ended its own nodes; this is for the case that it was killed.
    for (const { pid } of this.nodes) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    if (this.#isTemporary) rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
