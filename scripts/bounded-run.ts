/**
 * Runs a command in a process group of its own and ends the whole group when its time is up or we are told to stop.
 *
 * B1 When a run is over, its group is gone: what a suite started does not stay behind.
 */
import { spawn } from 'node:child_process';

export interface RunOptions {
  readonly command: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly budgetMs: number;
  /** Where the command's output goes: its own two streams, or both to stderr. */
  readonly output: 'inherit' | 'stderr' | 'none';
  readonly stop?: AbortSignal;
  /** Between SIGTERM and SIGKILL. */
  readonly graceMs?: number;
}

export interface RunResult {
  readonly outcome: 'passed' | 'failed' | 'over-budget' | 'stopped';
  readonly ms: number;
}

const graceMsDefault = 5_000;

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    // Nobody is left in the group: that is what we want.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export async function boundedRun(options: RunOptions): Promise<RunResult> {
  const startMs = performance.now();
  const [program = '', ...args] = options.command;
  const streams = { inherit: [1, 2], stderr: [2, 2], none: ['ignore', 'ignore'] } as const;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', ...streams[options.output]],
  });
  let outcome: RunResult['outcome'] | undefined;
  let killTimer: NodeJS.Timeout | undefined;
  const end = (why: RunResult['outcome']): void => {
    if (outcome !== undefined || child.pid === undefined) return;
    outcome = why;
    const group = child.pid;
    signalGroup(group, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(group, 'SIGKILL'), options.graceMs ?? graceMsDefault);
  };
  const budgetTimer = setTimeout(() => end('over-budget'), options.budgetMs);
  const onStop = (): void => end('stopped');
  options.stop?.addEventListener('abort', onStop);
  if (options.stop?.aborted === true) end('stopped');

  const code = await new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      if (options.output !== 'none') process.stderr.write(`cannot start ${program}: ${error.message}\n`);
      resolve(1);
    });
    child.on('exit', resolve);
  });
  clearTimeout(budgetTimer);
  clearTimeout(killTimer);
  options.stop?.removeEventListener('abort', onStop);
  if (child.pid !== undefined) signalGroup(child.pid, 'SIGKILL'); // B1
  return { outcome: outcome ?? (code === 0 ? 'passed' : 'failed'), ms: performance.now() - startMs };
}
