/**
 * A cluster of real processes and the words to treat it badly: `cluster.kill(await cluster.leaderOf('orders', 0))`.
 * Started by `sluice dev`, so that tests and users have the same cluster; killed nodes start again from the
 * configuration that `dev` wrote.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Sluice } from '@sluice/client';
import { freeBasePort } from '@sluice/cli/free-ports';
import { ClusterInquiry } from './cluster-inquiry.ts';
import type { TestCluster } from './cluster-inquiry.ts';
import { end, isAlive, startDev, startNode } from './node-processes.ts';
import type { DevProcess, NodeFacts } from './node-processes.ts';
import { until } from './until.ts';

export interface ClusterOptions {
  readonly nodes?: number;
  /** Kept at the end; a temporary one, removed at the end, when absent. */
  readonly directory?: string | undefined;
  /** Default: some free ones. */
  readonly port?: number;
  /** Configuration of all nodes beside what `dev` writes. */
  readonly environment?: Readonly<Record<string, string>>;
}

interface Place {
  readonly directory: string;
  readonly isTemporary: boolean;
  readonly environment: Readonly<Record<string, string>>;
}

const stopPatienceMs = 12_000;

export class LocalCluster implements TestCluster, AsyncDisposable {
  readonly directory: string;
  readonly #isTemporary: boolean;
  readonly #dev: DevProcess;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #nodes = new Map<number, NodeFacts>();
  readonly #restarted: ChildProcess[] = [];
  readonly #inquiry: ClusterInquiry;

  private constructor(dev: DevProcess, { directory, isTemporary, environment }: Place) {
    this.#dev = dev;
    this.#environment = environment;
    this.directory = directory;
    this.#isTemporary = isTemporary;
    for (const node of dev.nodes) this.#nodes.set(node.id, node);
    this.#inquiry = new ClusterInquiry(dev.nodes);
  }

  static async start({ nodes = 3, directory, port, environment = {} }: ClusterOptions = {}): Promise<LocalCluster> {
    const place = directory ?? mkdtempSync(path.join(tmpdir(), 'sluice-cluster-'));
    const base = port ?? (await freeBasePort(nodes));
    try {
      const dev = await startDev({ nodes, directory: place, port: base, environment });
      return new LocalCluster(dev, { directory: place, isTemporary: directory === undefined, environment });
    } catch (error) {
      if (directory === undefined) rmSync(place, { recursive: true, force: true });
      throw error;
    }
  }

  get nodes(): readonly NodeFacts[] {
    return [...this.#nodes.values()];
  }

  get bootstrap(): readonly string[] {
    return this.#inquiry.bootstrap;
  }

  node(id: number): NodeFacts {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`the cluster has no node ${id}`);
    return node;
  }

  get client(): Sluice {
    return this.#inquiry.client;
  }

  get logsAt(): string {
    return this.directory;
  }

  leaderOf(topic: string, partition: number): Promise<number> {
    return this.#inquiry.leaderOf(topic, partition);
  }

  controllerLeader(): Promise<number> {
    return this.#inquiry.controllerLeader();
  }

  waitHealthy(timeoutMs?: number): Promise<void> {
    return this.#inquiry.waitHealthy(timeoutMs);
  }

  async kill(...ids: readonly number[]): Promise<void> {
    const pids = ids.map((id) => this.node(id).pid);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    const gone = (): true | undefined => (pids.some(isAlive) ? undefined : true);
    await until(gone, { what: `the end of ${pids.join(', ')}`, timeoutMs: 5000, everyMs: 1 });
  }

  async start(...ids: readonly number[]): Promise<void> {
    for (const id of ids) {
      const node = this.node(id);
      const child = startNode(node, this.directory, this.#environment);
      this.#restarted.push(child);
      this.#nodes.set(id, { ...node, pid: child.pid ?? 0 });
    }
  }

  /** SIGSTOP: it is silent, and its sockets stay open. */
  pause(...ids: readonly number[]): void {
    for (const id of ids) process.kill(this.node(id).pid, 'SIGSTOP');
  }

  resume(...ids: readonly number[]): void {
    for (const id of ids) process.kill(this.node(id).pid, 'SIGCONT');
  }

  /** SIGTERM; resolves when the process is gone, and rejects when it takes too long. */
  async terminate(id: number): Promise<void> {
    const { pid } = this.node(id);
    process.kill(pid, 'SIGTERM');
    const gone = (): true | undefined => (isAlive(pid) ? undefined : true);
    await until(gone, { what: `the end of node ${id} after SIGTERM`, timeoutMs: stopPatienceMs });
  }

  /** Resolves when no process and, unless a directory was given, no file is left. */
  async stop(): Promise<void> {
    await this.#inquiry[Symbol.asyncDispose]();
    // A paused one hears no SIGTERM.
    for (const { id, pid } of this.nodes) if (isAlive(pid)) this.resume(id);
    await Promise.all([this.#dev.child, ...this.#restarted].map((child) => end(child, stopPatienceMs)));
    // `dev` has ended its own nodes; this is for the case that it was killed.
    for (const { pid } of this.nodes) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    if (this.#isTemporary) rmSync(this.directory, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
