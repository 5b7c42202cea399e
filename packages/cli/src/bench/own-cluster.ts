/**
 * Three processes for one measurement, on free ports, with data in a temporary directory. Made by the benchmarks that
 * stop nodes or measure their start; `sluice dev` never starts a node again, this does.
 *
 * W1 After `stop` resolved no process and no file of this cluster is left.
 */
import type { ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { SluiceError } from '@sluice/base';
import { Sluice } from '@sluice/client';
import type { OnStatus } from '@sluice/client';
import type { CommandContext } from '../command-context.ts';
import { devConfig, devLayout } from '../dev-layout.ts';
import type { DevNodeLayout } from '../dev-layout.ts';
import { freeBasePort } from '../free-ports.ts';
import { startNodeProcess } from '../node-process.ts';
import { isNodeReady } from '../node-ready.ts';
import { sleep } from '../sleep.ts';
import { orInterrupted } from './interruption.ts';

export interface OwnClusterOptions {
  /** Where the temporary directory is made; default: the system's place for them. */
  readonly data?: string;
}

/** What one benchmark wants of its cluster, besides what its user chose. */
export interface OwnClusterNeeds {
  /** Added to the environment of the nodes. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly onStatus?: OnStatus;
}

/** How long the log of each node was, by its path. */
export type LogMark = ReadonlyMap<string, number>;

interface NodeProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

const nodes = 3;
const readyPollMs = 25;
const stopMsMax = 9000;

export class OwnCluster {
  readonly #directory: string;
  readonly #layout: readonly DevNodeLayout[];
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #running = new Map<number, NodeProcess>();
  #stopping = false;

  private constructor(
    directory: string,
    layout: readonly DevNodeLayout[],
    environment: Readonly<Record<string, string | undefined>>,
  ) {
    this.#directory = directory;
    this.#layout = layout;
    this.#environment = environment;
  }

  /** Writes the configurations; no node runs yet. */
  static async prepare(
    { terminal }: CommandContext,
    { data = tmpdir() }: OwnClusterOptions,
    { environment = {} }: OwnClusterNeeds,
  ): Promise<OwnCluster> {
    if (!existsSync(data)) {
      const message = `${data} does not exist; make it, or choose another --data.`;
      throw new SluiceError('INVALID_CONFIG', { message, details: { key: 'data' } });
    }
    const port = await freeBasePort(nodes);
    const directory = mkdtempSync(path.join(data, 'sluice-bench-'));
    const layout = devLayout(directory, nodes, port);
    for (const node of layout) writeFileSync(node.config, devConfig(node, layout));
    return new OwnCluster(directory, layout, { ...terminal.environment, ...environment });
  }

  get bootstrap(): readonly string[] {
    return this.#layout.map(({ client }) => client);
  }

  get pids(): readonly number[] {
    return this.#layout.map(({ id }) => this.#running.get(id)?.child.pid ?? 0);
  }

  get ids(): readonly number[] {
    return this.#layout.map(({ id }) => id);
  }

  markLogs(): LogMark {
    return new Map(this.#layout.map(({ log }) => [log, existsSync(log) ? statSync(log).size : 0]));
  }

  /** What all nodes wrote since then, node by node. */
  linesSince(mark: LogMark): readonly string[] {
    return [...mark].flatMap(([log, from]) => textFrom(log, from).split('\n'));
  }

  spawnAll(): void {
    for (const { id } of this.#layout) this.spawn(id);
  }

  /** Starts a node that does not run. */
  spawn(id: number): void {
    if (this.#stopping) return;
    const { config, log } = this.#node(id);
    const child = startNodeProcess({ config, log, environment: this.#environment });
    const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
    this.#running.set(id, { child, ended });
  }

  /** Resolves when every `/readyz` answers 200. Rejects when a node has ended, or with `TIMEOUT`. */
  async ready(timeoutMs: number): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (const { id, admin, log } of this.#layout) {
      while (!(await isNodeReady(admin))) {
        const { child } = this.#process(id);
        if (child.exitCode !== null || child.signalCode !== null) {
          const last = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1) ?? '';
          throw new SluiceError('INTERNAL', { message: `Node ${id} did not start: ${last}`, definite: true });
        }
        if (performance.now() > deadlineMs) {
          throw new SluiceError('TIMEOUT', { message: `Node ${id} is not ready after ${timeoutMs} ms.` });
        }
        await sleep(readyPollMs);
      }
    }
  }

  signal(id: number, signal: NodeJS.Signals): void {
    this.#process(id).child.kill(signal);
  }

  /** Resolves when the node's process is gone. */
  ended(id: number): Promise<void> {
    return this.#process(id).ended;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#running.values()];
    for (const { child } of all) {
      child.kill('SIGCONT'); // A stopped process hears nothing else.
      child.kill('SIGTERM');
    }
    const patience = new AbortController();
    const over = Promise.all(all.map(({ ended }) => ended)).then(() => patience.abort());
    await sleep(stopMsMax, patience.signal);
    for (const { child } of all) child.kill('SIGKILL');
    await over;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #node(id: number): DevNodeLayout {
    const node = this.#layout.find((each) => each.id === id);
    if (node === undefined) throw new Error(`the cluster has no node ${id}`);
    return node;
  }

  #process(id: number): NodeProcess {
    const found = this.#running.get(id);
    if (found === undefined) throw new Error(`node ${id} was never started`);
    return found;
  }
}

function textFrom(file: string, from: number): string {
  const bytes = Buffer.alloc(Math.max(0, statSync(file).size - from));
  const descriptor = openSync(file, 'r');
  try {
    return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, bytes.length, from));
  } finally {
    closeSync(descriptor);
  }
}

export interface OwnTarget {
  readonly cluster: OwnCluster;
  readonly sluice: Sluice;
  /** Aborts when the command is told to stop. */
  readonly stop: AbortSignal;
}

/** Rejects with `CANCELLED` when the command is told to stop; nothing is left behind then, either. */
export async function onOwnCluster(
  context: CommandContext,
  options: OwnClusterOptions,
  measure: (target: OwnTarget) => Promise<void>,
  needs: OwnClusterNeeds = {},
): Promise<void> {
  const stop = context.terminal.interruption();
  const cluster = await OwnCluster.prepare(context, options, needs);
  const sluice = new Sluice({
    bootstrap: cluster.bootstrap,
    clientId: 'sluice-bench',
    requestTimeoutMs: context.timeoutMs,
    ...(needs.onStatus === undefined ? {} : { onStatus: needs.onStatus }),
  });
  try {
    await orInterrupted(measure({ cluster, sluice, stop }), stop);
  } finally {
    // What is under way is not waited for: it was measured, or it is of no use.
    await sluice.close({ timeoutMs: 0 }).catch(() => undefined);
    await cluster.stop();
  }
}
