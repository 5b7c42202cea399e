/** One measuring program at a time, which Ctrl-C ends in order. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface ChildOptions {
  readonly command: string;
  readonly words: readonly string[];
  readonly directory?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly stop: AbortSignal;
  readonly onLine: (line: string) => void;
}

/**
 * Resolves with the exit code, null when a signal ended it, once its output was read. It leads a process group of its
 * own: a shell script would hear of an interruption only after the program that it runs.
 */
export function runChild(options: ChildOptions): Promise<number | null> {
  const { command, words, directory, environment, stop, onLine } = options;
  const child = spawn(command, [...words], {
    cwd: directory,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const interrupt = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
  };
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stdout });
    lines.on('line', onLine);
    stop.addEventListener('abort', interrupt);
    child.once('error', reject);
    child.once('close', (code) => {
      stop.removeEventListener('abort', interrupt);
      resolve(code);
    });
  });
}
