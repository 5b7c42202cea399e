/**
 * A local cluster of processes. Owned by `sluice dev`.
 *
 * V1 A node that ends is reported once and never started again.
 * V2 After `stop` resolved no process of this cluster is left.
 * V3 Two clusters never share a directory: nothing in it changes before its lock is held. Else a second one with other
 *    ports would rewrite the configurations by which the nodes of the first are started again.
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isErrorCode, SluiceError } from '@sluice/base';
import type { DiskLock } from '@sluice/base';
import { NodeDisk } from '@sluice/storage';
import { devConfig, devLayout } from './dev-layout.ts';
import type { DevNodeLayout } from './dev-layout.ts';
import { startNodeProcess } from './node-process.ts';
import { isNodeReady } from './node-ready.ts';
import { checkPortsFree } from './port-check.ts';
import { sleep } from './sleep.ts';

export interface DevOptions {
  readonly directory: string;
  readonly nodes: number;
  readonly port: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly onExit: (exit: NodeExit) => void;
}

export interface NodeExit {
  readonly id: number;
  readonly code: number | null;
  readonly signal: string | null;
}

export interface DevNode extends DevNodeLayout {
  readonly pid: number;
}

interface RunningNode {
  readonly node: DevNode;
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
}

const readyPollMs = 25;
const stopMsMax = 9000;

/** Wrong usage: the directory holds a cluster of another size. */
export class OtherNodeCount extends Error {
  override readonly name = 'OtherNodeCount';
}

export class DevCluster {
  readonly #lock: DiskLock;
  readonly #running: readonly RunningNode[];

  private constructor(lock: DiskLock, running: readonly RunningNode[]) {
    this.#lock = lock;
    this.#running = running;
  }

  get nodes(): readonly DevNode[] {
    return this.#running.map(({ node }) => node);
  }

  /** Rejects with `OtherNodeCount`, `DIRECTORY_LOCKED` or `PORT_IN_USE` before any node is started. */
  static async start(options: DevOptions): Promise<DevCluster> {
    const { directory, nodes: count, port } = options;
    checkNodeCount(directory, count);
    mkdirSync(directory, { recursive: true });
    const lock = await new NodeDisk().lock(path.join(directory, 'lock'));
    try {
      const layout = devLayout(directory, count, port);
      await checkPortsFree(layout.flatMap(({ client, peer, admin }) => [client, peer, admin]));
      writeFileSync(nodeCountFile(directory), `${JSON.stringify({ nodes: count })}\n`);
      for (const node of layout) writeFileSync(node.config, devConfig(node, layout));
      return new DevCluster(
        lock,
        layout.map((node) => startNode(node, options)),
      );
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Resolves when every node is registered, a controller is elected and every `/readyz` answers 200. */
  async ready(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    for (const { node, child } of this.#running) {
      while (!signal.aborted && !(await isNodeReady(node.admin))) {
        if (child.exitCode !== null || child.signalCode !== null) throw didNotStart(node);
        if (performance.now() > deadlineMs) {
          throw new SluiceError('TIMEOUT', {
            message: `Node ${node.id} is not ready after ${timeoutMs} ms; see ${node.log}.`,
          });
        }
        await sleep(readyPollMs, signal);
      }
    }
  }

  /** SIGTERM to all at once, SIGKILL to those that have not ended in time. */
  async stop(): Promise<void> {
    for (const { child } of this.#running) child.kill('SIGTERM');
    const patience = new AbortController();
    const all = Promise.all(this.#running.map(({ ended }) => ended)).then(() => patience.abort());
    await sleep(stopMsMax, patience.signal);
    for (const { child } of this.#running) child.kill('SIGKILL');
    await all;
    await this.#lock.release();
  }
}

function startNode(node: DevNodeLayout, { environment, onExit }: DevOptions): RunningNode {
  const child = startNodeProcess({ config: node.config, log: node.log, environment });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      onExit({ id: node.id, code, signal });
      resolve();
    });
  });
  return { node: { ...node, pid: child.pid ?? 0 }, child, ended };
}

const nodeCountFile = (directory: string): string => path.join(directory, 'cluster.json');

function checkNodeCount(directory: string, nodes: number): void {
  const file = nodeCountFile(directory);
  if (!existsSync(file)) return;
  const { nodes: before } = JSON.parse(readFileSync(file, 'utf8')) as { readonly nodes: number };
  if (before === nodes) return;
  throw new OtherNodeCount(
    `${directory} holds a cluster of ${before} nodes; open it with --nodes ${before}, or choose another --data.`,
  );
}

/** The last line of a node that ended says why. */
function didNotStart({ id, log }: DevNode): SluiceError {
  const last = readFileSync(log, 'utf8').trimEnd().split('\n').at(-1) ?? '';
  const { code, reason, msg } = logLine(last);
  return new SluiceError(isErrorCode(code) ? code : 'INTERNAL', {
    message: `Node ${id} did not start: ${reason ?? msg ?? last} (log: ${log})`,
    definite: true,
  });
}

interface LogLine {
  readonly code?: string;
  readonly reason?: string;
  readonly msg?: string;
}

function logLine(text: string): LogLine {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    // Something that Node itself wrote.
    return {};
  }
}
