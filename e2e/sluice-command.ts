/** Runs the `sluice` command as a shell would. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url));

export interface CommandOptions {
  /** Text, or `{file}` to stream. */
  readonly input?: string | Uint8Array | { readonly file: string };
  /** File descriptor for stdout instead of collecting it. */
  readonly outputTo?: number;
  readonly bootstrap?: readonly string[];
}

export interface Finished {
  readonly exit: number | null;
  readonly out: string;
  readonly err: string;
  /** JSON lines of `out`. */
  lines<Line>(): Line[];
}

export interface Running {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
}

export function startSluice(words: readonly string[], options: CommandOptions = {}): Running {
  const { input = '', outputTo = 'pipe', bootstrap } = options;
  const env = { ...process.env, ...(bootstrap === undefined ? {} : { SLUICE_BOOTSTRAP: bootstrap.join(',') }) };
  const child = spawn(process.execPath, [main, ...words], { env, stdio: ['pipe', outputTo, 'pipe'] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  // A command that ends early closes its end; its exit code tells why.
  child.stdin?.on('error', () => undefined);
  if (typeof input === 'object' && 'file' in input) createReadStream(input.file).pipe(child.stdin ?? process.stdout);
  else child.stdin?.end(input);
  const finished = new Promise<Finished>((resolve) => {
    child.once('close', (exit) => {
      const text = Buffer.concat(out).toString();
      resolve({
        exit,
        out: text,
        err: Buffer.concat(err).toString(),
        lines: <Line>() =>
          text
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => JSON.parse(line) as Line),
      });
    });
  });
  return { child, finished };
}

export const sluice = (words: readonly string[], options: CommandOptions = {}): Promise<Finished> =>
  startSluice(words, options).finished;
