/**
 * Processes of one test cluster. Owned by `LocalCluster`.
 *
 * P1 Whatever happens to the test, no process outlives it: each has a channel to this one and stops when it closes, and
 *    `stop` ends by killing what is left, by process id.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const sluice = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url));

export interface NodeFacts {
  readonly id: number;
  readonly pid: number;
  readonly client: string;
  readonly peer: string;
  readonly admin: string;
  readonly data: string;
  /** Configuration file, for `sluice server --config`. */
  readonly config: string;
}

export interface DevProcess {
  readonly child: ChildProcess;
  readonly nodes: readonly NodeFacts[];
}

interface ReadyLine {
  readonly ready?: true;
  readonly nodes?: readonly NodeFacts[];
  readonly error?: { readonly message: string };
}

export interface DevOptions {
  readonly nodes: number;
  readonly directory: string;
  readonly port: number;
  readonly environment: Readonly<Record<string, string>>;
}

/** `sluice dev --json`; resolves with its ready line. */
export function startDev({ nodes, directory, port, environment }: DevOptions): Promise<DevProcess> {
  const words = ['dev', '--nodes', `${nodes}`, '--data', directory, '--port', `${port}`, '--json'];
  const child = spawn(process.execPath, [sluice, ...words], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    env: { ...process.env, ...environment },
  });
  return new Promise((resolve, reject) => {
    // `close` comes after the last line of its output: the reason that it gave is read first.
    child.once('close', (code, signal) => {
      reject(new Error(`sluice dev ended (${signal ?? `code ${code}`}) before it was ready`));
    });
    if (child.stdout === null) throw new Error('sluice dev has no stdout');
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as ReadyLine;
      if (line.nodes !== undefined) resolve({ child, nodes: line.nodes });
      if (line.error !== undefined) reject(new Error(line.error.message));
    });
  });
}

export const nodeCommand = ({ config }: NodeFacts): readonly [string, ...string[]] => [
  process.execPath,
  sluice,
  'server',
  '--config',
  config,
];

/** Starts a node again from its configuration, as an operator would by hand. */
export function startNode(
  node: NodeFacts,
  directory: string,
  environment: DevOptions['environment'] = {},
): ChildProcess {
  const log = openSync(`${directory}/node-${node.id}.log`, 'a');
  try {
    const [program, ...words] = nodeCommand(node);
    return spawn(program, words, {
      stdio: ['ignore', log, log, 'ipc'],
      env: { ...process.env, ...environment },
    });
  } finally {
    closeSync(log);
  }
}

export const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // No such process.
  }
}

/** SIGTERM, then SIGKILL for what has not ended within `patienceMs`. */
export async function end(child: ChildProcess, patienceMs: number): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await ended;
  clearTimeout(timer);
}
