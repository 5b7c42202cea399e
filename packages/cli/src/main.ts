/** The `sluice` process: its streams, signals, environment and exit code. Everything else is in `program.ts`. */
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { tuneCollector } from '@sluice/server/collector';
import { parse } from 'yaml';
import type { ReadContexts } from './command-context.ts';
import { exitCodes } from './exit-code.ts';
import { runCommandLine } from './program.ts';
import type { Terminal } from './terminal.ts';

const { stdin, stdout, stderr } = process;

// The reader of our output has seen enough: `sluice consume … | head`.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exitCodes.done);
});

tuneCollector();

let interrupted: AbortController | undefined;

const terminal: Terminal = {
  stdin,
  writeOut: (bytes) =>
    new Promise((resolve) => {
      if (stdout.write(bytes)) resolve();
      else stdout.once('drain', resolve);
    }),
  writeErr: (text) => void stderr.write(text),
  watched: stderr.isTTY,
  pid: process.pid,
  environment: process.env,
  interruption() {
    if (interrupted !== undefined) return interrupted.signal;
    const controller = new AbortController();
    interrupted = controller;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort());
    return controller.signal;
  },
};

/** `contexts.yaml`: `{name: {bootstrap: ['host:port', …]}}`. */
const readContexts: ReadContexts = () => {
  const base = process.env['XDG_CONFIG_HOME'] ?? path.join(homedir(), '.config');
  const file = path.join(base, 'sluice', 'contexts.yaml');
  return existsSync(file) ? (parse(readFileSync(file, 'utf8')) as ReturnType<ReadContexts>) : {};
};

const code = await runCommandLine(process.argv.slice(2), { terminal, readContexts });
// Whatever is still queued for a pipe goes out before the exit, which cuts open connections.
await new Promise<void>((resolve) => stdout.write('', () => resolve()));
process.exit(code);
